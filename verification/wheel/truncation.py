"""Find native code that is shorter than its headers state (System V ABI; Microsoft's PE Format).

Data after the end that the headers state, such as a signature or an archive, is no fault.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pefile

_ELF_HEADER = {1: "28xII6xHHHH2x", 2: "32xQQ6xHHHH2x"}
"""The offsets of program and section headers, then the size and number of each."""
_PT_LOAD, _SHT_NOBITS, _SHF_EXECINSTR = 1, 8, 4
_SECTOR, _PAGE = 0x200, 0x1000


class ElfEnds(NamedTuple):
    """The least length of an ELF file, in bytes."""

    segments: int
    """The end of the last byte that a loader maps."""
    sections: int
    """The end of the section headers, which no loader reads; 0 without any."""
    debug_only: bool
    """True if it has only debug information for code in another file. Nothing loads it."""


def elf_ends(data: bytes) -> ElfEnds:
    """Return where an ELF file must end.

    Raises:
        struct.error: the file header or the program headers are cut off.
        KeyError: the file is for neither 32 nor 64 bits.
    """
    wide, order = data[4:5] == b"\x02", ">" if data[5:6] == b"\x02" else "<"
    header = struct.unpack_from(order + _ELF_HEADER[data[4] if len(data) > 4 else 0], data)
    segments_at, sections_at, segment_size, segments, section_size, sections = header
    ends = [segments_at + segments * segment_size]
    layout = struct.Struct(order + ("I4xQ16xQ" if wide else "II8xI"))
    for number in range(segments):
        kind, offset, size = layout.unpack_from(data, segments_at + number * segment_size)
        if kind == _PT_LOAD:
            ends.append(offset + size)
    sections_end = sections_at + sections * section_size
    section_layout = struct.Struct(order + ("4xIQ" if wide else "4xII"))
    debug_only = 0 < sections_end <= len(data) and any(
        kind == _SHT_NOBITS and flags & _SHF_EXECINSTR
        for kind, flags in (
            section_layout.unpack_from(data, sections_at + number * section_size)
            for number in range(sections)
        )
    )
    return ElfEnds(max(ends), sections_end, debug_only)


def missing_pe_sections(image: pefile.PE, size: int) -> Iterator[str]:
    """Yield the sections of a PE file of ``size`` bytes that lie beyond its end.

    Like Windows, it counts in sectors of 512 bytes and reads no more than the section has in
    memory: linkers need not fill the last sector.
    """
    declared = image.FILE_HEADER.NumberOfSections
    if declared > len(image.sections):
        yield f"{declared - len(image.sections)} section headers"
    for section in image.sections:
        if not section.PointerToRawData or not section.SizeOfRawData:
            continue  # it has memory and no bytes in the file
        start = section.PointerToRawData & ~(_SECTOR - 1)
        in_memory = _rounded(section.Misc_VirtualSize or section.SizeOfRawData, _PAGE)
        if start + min(_rounded(section.SizeOfRawData, _SECTOR), in_memory) > _rounded(
            size, _SECTOR
        ):
            yield section.Name.rstrip(b"\0").decode("ascii", errors="replace")


def _rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit
