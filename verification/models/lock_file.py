"""A lock file: the exact version and the hashes of each dependency.

The format is that of pip's requirements files, with environment markers (PEP 508). A project has
more than one version if machines need different versions of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from verification.models.base import DataError, Model

_HASH = re.compile(r"\s--hash=sha256:(\S+)")
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)


class LockedRelease(Model):
    """One version of a dependency in a lock file."""

    name: str
    """The normalised name."""
    version: str
    marker: str = ""
    """The machines that need this version, as an environment marker; empty for all machines."""
    hashes: tuple[str, ...]
    """The sha256 of its files."""

    @property
    def requirement(self) -> str:
        """The requirement without the hashes."""
        return " ; ".join(filter(None, (f"{self.name}=={self.version}", self.marker)))


def read(path: Path) -> tuple[LockedRelease, ...]:
    """Return the entries of a lock file.

    Raises:
        DataError: the file cannot be read, or a line is not an exact version with a hash.
    """
    try:
        return parse(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def parse(text: str, name: str) -> tuple[LockedRelease, ...]:
    """Return the entries of the text of a lock file. ``name`` is the name of the file.

    Raises:
        DataError: a line is not an exact version with a hash.
    """
    lines = re.sub(r"\\\s*\n", " ", _COMMENT.sub("", text)).splitlines()
    return tuple(_entry(line.strip(), name) for line in lines if line.strip())


def _entry(line: str, name: str) -> LockedRelease:
    hashes = tuple(_HASH.findall(line))
    try:
        requirement = Requirement(_HASH.sub("", line))
        (specifier,) = requirement.specifier
    except (InvalidRequirement, ValueError):
        specifier = None
    if not specifier or specifier.operator != "==" or not hashes:
        message = "not NAME==VERSION with --hash=sha256:...; ./e2e lock makes such a file"
        raise DataError(f"{name}: {line[:80]}: {message}")
    return LockedRelease(
        name=canonicalize_name(requirement.name),
        version=specifier.version,
        marker=str(requirement.marker or ""),
        hashes=hashes,
    )


def format_text(releases: Iterable[LockedRelease], comment: str = "") -> str:
    """Return the text of a lock file with these entries, and with a comment at its top."""
    lines = [f"# {comment}\n"] if comment else []
    for release in releases:
        hashes = [f"    --hash=sha256:{digest}" for digest in release.hashes]
        lines.append(" \\\n".join([release.requirement, *hashes]) + "\n")
    return "".join(lines)
