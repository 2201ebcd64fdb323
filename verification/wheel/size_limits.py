"""The limits for what a wheel unpacks to. They are checked before anything is unpacked.

They are far above what wheels need: those of torch for CUDA unpack to several GB, in some ten
thousand files, by a ratio below 10.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from verification.models.cause import FactValue

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


class Excess(NamedTuple):
    """A limit that a wheel exceeds."""

    limit: str
    """The name of the limit: members, total, ratio, overlap, or the name of a metadata file."""
    value: int
    maximum: int
    message: str

    def facts(self) -> dict[str, FactValue]:
        """Return the facts of the cause."""
        return {"limit": self.limit, "value": self.value, "maximum": self.maximum}


def directory_excess(stream: IO[bytes]) -> Iterator[Excess]:
    """Yield an excess if the central directory is too large to be read.

    Raises:
        BadZipFile, OSError, struct.error: the end of the archive is damaged.
    """
    # `zipfile` reads a directory of this size. A reader of our own can find another one.
    end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if end and end[_SIZE] > MAX_DIRECTORY:
        message = f"has a list of {end[_SIZE]:,} bytes of its members"
        yield Excess("members", end[_ENTRIES], MAX_MEMBERS, message)


def excesses(members: Sequence[zipfile.ZipInfo], size: int) -> Iterator[Excess]:
    """Yield the limits that a wheel of ``size`` bytes exceeds, by its central directory."""
    if (count := len(members)) > MAX_MEMBERS:
        yield Excess("members", count, MAX_MEMBERS, f"has {count:,} members")
    total = sum(member.file_size for member in members)
    ratio = total // max(size, 1)
    if total > MAX_TOTAL:
        yield Excess("total", total, MAX_TOTAL, f"unpacks to {total:,} bytes")
    if total > RATIO_MIN_TOTAL and ratio > MAX_RATIO:
        yield Excess("ratio", ratio, MAX_RATIO, f"unpacks to {ratio:,} times its size")
    for member in members:
        folder, _, name = member.filename.rpartition("/")
        limit, length = MAX_METADATA.get(name), member.file_size
        if folder.endswith(".dist-info") and limit and length > limit:
            yield Excess(name, length, limit, f"has a {name} of {length:,} bytes")
    yield from _overlaps(members)


def _overlaps(members: Sequence[zipfile.ZipInfo]) -> Iterator[Excess]:
    """Yield members that share bytes. With them a small archive unpacks to a large size."""
    in_order = sorted(members, key=lambda member: member.header_offset)
    for member, following in itertools.pairwise(in_order):
        end = member.header_offset + _LOCAL_HEADER + member.compress_size
        if (shared := end - following.header_offset) > 0:
            names = f"{member.filename} and {following.filename}"
            yield Excess("overlap", shared, 0, f"has the same bytes for {names}")
