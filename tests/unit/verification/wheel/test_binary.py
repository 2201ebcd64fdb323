"""Native code is recognized by its first bytes, and read by the reader of its format."""

from __future__ import annotations

import pytest

from tests.helpers.sample_wheels import linux_core
from verification.models.inspection import Binary
from verification.wheel import binary
from verification.wheel.errors import Program, UnreadableBinary


@pytest.mark.parametrize(
    ("start", "known"),
    [
        (b"\x7fELF", "elf"),
        (b"MZ\x90\x00", "pe"),
        (b"\xcf\xfa\xed\xfe", "mach-o"),
        (b"PK\x03\x04", None),
        (b"", None),
    ],
)
def test_format_is_known_by_the_first_bytes(start: bytes, known: str | None) -> None:
    assert binary.format_of(start) == known


def test_library_is_read() -> None:
    library = binary.read(linux_core())
    assert isinstance(library, Binary)
    assert library.format == "elf"
    assert binary.program_fault(linux_core(), library) is None


@pytest.mark.parametrize("content", [b"text", b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe"])
def test_content_that_no_reader_can_read_is_an_error(content: bytes) -> None:
    error = binary.read(content)
    assert isinstance(error, UnreadableBinary)
    assert not isinstance(error, Program)
