"""Read the file WHEEL of a wheel (PEP 427)."""

from __future__ import annotations

import email
from dataclasses import dataclass

from packaging.tags import Tag

from verification.wheel.archive import Archive
from verification.wheel.tags import parse_tags


@dataclass(frozen=True)
class WheelFile:
    """The fields of WHEEL. A missing field is empty."""

    wheel_version: str
    root_is_purelib: str
    """The value of Root-Is-Purelib, in lower case."""
    tag_lines: tuple[str, ...]

    @property
    def tags(self) -> frozenset[Tag]:
        """The tags, without invalid lines."""
        return parse_tags(self.tag_lines)


def read_wheel_file(archive: Archive) -> WheelFile:
    """Return the fields of WHEEL. It has the format of e-mail headers."""
    message = email.message_from_string(archive.metadata_file("WHEEL") or "")
    return WheelFile(
        wheel_version=message.get("Wheel-Version", "").strip(),
        root_is_purelib=message.get("Root-Is-Purelib", "").strip().lower(),
        tag_lines=tuple(line.strip() for line in message.get_all("Tag", ())),
    )
