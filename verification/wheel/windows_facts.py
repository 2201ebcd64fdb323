"""Read what a clean Windows 10 or 11 has: its libraries, and the functions that they export.

tests/helpers/windows_facts.py writes the two files. docs/reference/windows-libraries.md names their
sources. The image of the Windows machines uses the same list.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

LIBRARIES = Path(__file__).with_name("windows_libraries.txt")
FUNCTIONS = Path(__file__).with_name("windows_functions.json.xz")
_WIN32 = "win32"


class Functions(NamedTuple):
    """The functions of a library of Windows."""

    listed: frozenset[str]
    """The functions that mingw-w64 lists."""
    others: frozenset[str]
    """The functions that only other sources name: Wine, or Microsoft's metadata."""


def has_library(name: str, tag: str) -> bool:
    """Return whether a clean Windows has a library of this name for the platform tag."""
    lower = name.lower()
    names, patterns = _libraries(tag == _WIN32)
    return lower in names or any(fnmatch.fnmatchcase(lower, pattern) for pattern in patterns)


def functions_of(library: str) -> Functions | None:
    """Return the known functions of a library, or None if mingw-w64 does not list them."""
    known = _functions().get(library.lower())
    return Functions(*map(frozenset, known)) if known else None


@functools.cache
def is_known_in_any(function: str) -> bool:
    """Return whether a source names the function for any library.

    The name of an API set stands for a library that the sources may not name with it.
    """
    return any(function in names for known in _functions().values() for names in known)


@functools.cache
def _libraries(is_32_bit: bool) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the names and the patterns of the list."""
    rows = [
        line.split()
        for line in LIBRARIES.read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    names = [row[0] for row in rows if is_32_bit or _WIN32 not in row]
    return frozenset(names), tuple(name for name in names if "*" in name)


@functools.cache
def _functions() -> Mapping[str, tuple[list[str], list[str]]]:
    data: Mapping[str, tuple[list[str], list[str]]] = json.loads(
        lzma.decompress(FUNCTIONS.read_bytes())
    )
    return data
