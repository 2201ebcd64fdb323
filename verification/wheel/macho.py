"""Read the headers of Mach-O files (Apple's mach-o/loader.h and mach-o/fat.h)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from verification.models.inspection import Binary
from verification.wheel.errors import UnreadableBinary

UNIVERSAL = "universal"
"""The value of ``machine`` for a file with code for several processors."""

_THIN = b"\xcf\xfa\xed\xfe"
_MACHINES = {0x0100_0007: "x86_64", 0x0100_000C: "aarch64"}
_HEADER = struct.Struct("<4xI8xII8x")
"""The processor, the number of load commands, and their total size in bytes."""
_COMMAND, _SEGMENT = struct.Struct("<II"), struct.Struct("<40xQQ")
_LC_SEGMENT_64 = 0x19
_SLICES = {  # the offset and size of each slice
    b"\xca\xfe\xba\xbe": struct.Struct(">8xII4x"),
    b"\xca\xfe\xba\xbf": struct.Struct(">8xQQ8x"),
}


def read(data: bytes | mmap.mmap) -> Binary:
    """Return the processor of a thin 64-bit file or of a universal file.

    The needed libraries are not read.

    Raises:
        UnreadableBinary: the file is cut off or damaged.
    """
    is_thin = data[:4] == _THIN
    try:
        end = max(_segment_ends(data) if is_thin else _slice_ends(data))
        machine = _machine(data) if is_thin else UNIVERSAL
    except struct.error as error:
        raise UnreadableBinary("a damaged Mach-O file (its headers are cut off)") from error
    except ValueError as error:
        raise UnreadableBinary(f"a damaged Mach-O file ({error})") from error
    if len(data) < end:
        reason = f"{len(data)} bytes, but its headers describe {end} bytes"
        raise UnreadableBinary(f"a damaged Mach-O file ({reason})")
    unread = "the suite does not read the needed libraries of Mach-O files"
    return Binary(format="mach-o", machine=machine, unread=unread)


def _machine(data: bytes | mmap.mmap) -> str:
    processor, _, _ = _HEADER.unpack_from(data)
    return _MACHINES.get(processor, hex(processor))


def _segment_ends(data: bytes | mmap.mmap) -> Iterator[int]:
    """Yield the end of the load commands and of each segment, in bytes from the start."""
    _, commands, size = _HEADER.unpack_from(data)
    end, offset = _HEADER.size + size, _HEADER.size
    yield end
    for _ in range(commands if end <= len(data) else 0):
        kind, length = _COMMAND.unpack_from(data, offset)
        if length < _COMMAND.size or offset + length > end:
            raise ValueError(f"a load command of {length} bytes at byte {offset}")
        if kind == _LC_SEGMENT_64:
            yield sum(_SEGMENT.unpack_from(data, offset))
        offset += length


def _slice_ends(data: bytes | mmap.mmap) -> Iterator[int]:
    """Yield where the code for each processor of a universal file ends, in bytes from the start."""
    (count,) = struct.unpack_from(">4xI", data)
    if not count:
        raise ValueError("it has no code for any processor")
    layout = _SLICES[data[:4]]
    for number in range(count):
        yield sum(layout.unpack_from(data, 8 + number * layout.size))
