"""Read native code of each known format: ELF, PE and Mach-O."""

from __future__ import annotations

import mmap

from verification.models.inspection import Binary, LibraryFormat
from verification.wheel import elf, macho, pe
from verification.wheel.errors import Program, UnreadableBinary

Content = bytes | mmap.mmap
"""The content of a file, in memory or mapped."""
_MAGIC: dict[bytes, LibraryFormat] = {
    b"\x7fELF": "elf",
    b"MZ": "pe",
    b"\xcf\xfa\xed\xfe": "mach-o",
    b"\xca\xfe\xba\xbe": "mach-o",
    b"\xca\xfe\xba\xbf": "mach-o",
}


def format_of(start: bytes) -> LibraryFormat | None:
    """Return the format of native code by its first bytes, or None for other data."""
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def read(content: Content) -> Binary | UnreadableBinary:
    """Return the contents of the headers, or the error if they cannot be read."""
    try:
        match format_of(content[:4]):
            case "elf":
                return elf.read(content)
            case "pe":
                return pe.read(content)
            case "mach-o":
                return macho.read(content)
            case None:
                return UnreadableBinary("it has no native code")
    except UnreadableBinary as error:
        return error


def program_fault(content: Content, binary: Binary | UnreadableBinary) -> Program | None:
    """Return why no process can load a readable file as a library, or None."""
    if isinstance(binary, Binary) and binary.format == "elf":
        try:
            elf.check_library(content)
        except Program as error:
            return error
    return None
