"""The limits for what a wheel unpacks to. They are found before anything is unpacked.

They are far above what wheels need: those of torch for CUDA unpack to several GB, in some ten
thousand files, by a ratio below 10.
"""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Sequence
from typing import IO

from verification.models.cause import FactValue
from verification.wheel.errors import WheelTooLarge

MIB = 1 << 20
MAX_TOTAL = 16 << 30
"""The bytes of all files together, uncompressed."""
MAX_RATIO = 100
"""The uncompressed bytes for each byte of the wheel. The default index accepts 50."""
RATIO_MIN_TOTAL = 256 * MIB
"""A smaller wheel can have any ratio."""
MAX_MEMBERS = 200_000
MAX_DIRECTORY = 64 * MIB
"""The bytes of the central directory, which lists the members."""
MAX_METADATA = {"METADATA": 16 * MIB, "WHEEL": MIB, "entry_points.txt": 4 * MIB, "RECORD": 32 * MIB}
"""The bytes of the files that installers read into memory."""
_LOCAL_HEADER = 30
"""The smallest size of the header before the data of a member (PKWARE, APPNOTE.TXT 4.3.7)."""
# The fields that `zipfile` reads from the end of an archive, also from a ZIP64 one.
_ENTRIES, _SIZE = 4, 5


def check_directory(stream: IO[bytes]) -> None:
    """Check the size of the central directory, before it is read.

    Raises:
        WheelTooLarge: a limit is met.
        BadZipFile, OSError, struct.error: the end of the archive is damaged.
    """
    # `zipfile` reads a directory of this size. A reader of our own can find another one.
    end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if end is None:
        raise zipfile.BadZipFile("File is not a zip file")
    if end[_SIZE] > MAX_DIRECTORY:
        _refuse("members", end[_ENTRIES], MAX_MEMBERS, f"lists {end[_ENTRIES]:,} members")
    stream.seek(0)


def check(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Check what the central directory of a wheel of ``size`` bytes announces.

    Raises:
        WheelTooLarge: a limit is met.
    """
    if len(members) > MAX_MEMBERS:
        _refuse("members", len(members), MAX_MEMBERS, f"has {len(members):,} members")
    total = sum(member.file_size for member in members)
    ratio = total // max(size, 1)
    if total > MAX_TOTAL:
        _refuse("total", total, MAX_TOTAL, f"unpacks to {total:,} bytes")
    if total > RATIO_MIN_TOTAL and ratio > MAX_RATIO:
        _refuse("ratio", ratio, MAX_RATIO, f"unpacks to {ratio} times its size")
    for member in members:
        folder, _, name = member.filename.rpartition("/")
        limit = MAX_METADATA.get(name)
        if folder.endswith(".dist-info") and limit and member.file_size > limit:
            _refuse(name, member.file_size, limit, f"has a {name} of {member.file_size:,} bytes")
    _check_overlap(members)


def _check_overlap(members: Sequence[zipfile.ZipInfo]) -> None:
    """Check that no two members share bytes, with which a small archive unpacks to much."""
    in_order = sorted(members, key=lambda member: member.header_offset)
    for member, following in itertools.pairwise(in_order):
        end = member.header_offset + _LOCAL_HEADER + member.compress_size
        if end > following.header_offset:
            shared = end - following.header_offset
            names = f"{member.filename} and {following.filename}"
            _refuse("overlap", shared, 0, f"has the same bytes for {names}")


def _refuse(limit: str, value: int, maximum: int, message: str) -> None:
    facts: dict[str, FactValue] = {"limit": limit, "value": value, "maximum": maximum}
    raise WheelTooLarge(f"{message}; the limit is {maximum:,}", facts)


def size_of(stream: IO[bytes]) -> int:
    """Return the size of a file in bytes. Its position is then the start."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size
