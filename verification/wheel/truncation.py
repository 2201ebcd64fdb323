"""Find native code that is shorter than its headers state (System V ABI; Microsoft's PE Format).

Additional data at the end, such as a signature or an archive, is not a fault.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

import pefile

_ELF_HEADER = {1: "28xII6xHHHH2x", 2: "32xQQ6xHHHH2x"}
"""The offsets of program and section headers, then the size and number of each."""
_PT_LOAD, _SHT_NOBITS, _SHF_EXECINSTR = 1, 8, 4
_SECTOR, _PAGE = 0x200, 0x1000


class ElfEnds(NamedTuple):
    """The minimum length of an ELF file, in bytes."""

    segments: int
    """The end of the last byte that a loader maps."""
    sections: int
    """The end of the section headers; 0 without section headers. No loader reads them."""
    debug_only: bool
    """True if the file has only debug information for the code of another file."""


def elf_ends(data: bytes | mmap.mmap) -> ElfEnds:
    """Return the minimum length of an ELF file.

    Raises:
        struct.error: the file header or the program headers are cut off.
        KeyError: the file header has neither the 32-bit nor the 64-bit class.
    """
    wide, order = data[4:5] == b"\x02", ">" if data[5:6] == b"\x02" else "<"
    header = struct.unpack_from(order + _ELF_HEADER[data[4] if len(data) > 4 else 0], data)
    segment_table, section_table, segment_size, segments, section_size, sections = header
    ends = [segment_table + segments * segment_size]
    layout = struct.Struct(order + ("I4xQ16xQ" if wide else "II8xI"))
    for number in range(segments):
        kind, offset, size = layout.unpack_from(data, segment_table + number * segment_size)
        if kind == _PT_LOAD:
            ends.append(offset + size)
    sections_end = section_table + sections * section_size
    section_layout = struct.Struct(order + ("4xIQ" if wide else "4xII"))
    debug_only = 0 < sections_end <= len(data) and any(
        kind == _SHT_NOBITS and flags & _SHF_EXECINSTR
        for kind, flags in (
            section_layout.unpack_from(data, section_table + number * section_size)
            for number in range(sections)
        )
    )
    return ElfEnds(max(ends), sections_end, debug_only)


def missing_pe_sections(image: pefile.PE, size: int) -> Iterator[str]:
    """Yield the sections of a PE file of ``size`` bytes that end after the end of the file.

    Like Windows, this function rounds to sectors of 512 bytes, because linkers need not fill the
    last sector. It counts at most the size of the section in memory.
    """
    declared = image.FILE_HEADER.NumberOfSections
    if declared > len(image.sections):
        yield f"{declared - len(image.sections)} section headers"
    for section in image.sections:
        if not section.PointerToRawData or not section.SizeOfRawData:
            continue  # the section has no bytes in the file
        start = section.PointerToRawData & ~(_SECTOR - 1)
        in_memory = _rounded(section.Misc_VirtualSize or section.SizeOfRawData, _PAGE)
        if start + min(_rounded(section.SizeOfRawData, _SECTOR), in_memory) > _rounded(
            size, _SECTOR
        ):
            yield section.Name.rstrip(b"\0").decode("ascii", errors="replace")


def _rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit
