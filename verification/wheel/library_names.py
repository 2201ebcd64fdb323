"""Compare the file names of native libraries without what a build adds to them."""

from __future__ import annotations

import re

_LIBRARY = re.compile(r"\.(so|dll|pyd|dylib)(\.|$)")
_HASH = re.compile(r"-[0-9a-f]{6,}$")


def is_library_name(name: str) -> bool:
    """Return whether a file name is that of a native library."""
    return _LIBRARY.search(name.lower()) is not None


def base_name(name: str) -> str:
    """Return the name of a library without prefix, version, ABI tag, hash and suffix.

    ``libx.so.1``, ``libx-0a1b2c3d.so`` (auditwheel) and ``x.dll`` are all ``x``.
    """
    first = name.lower().partition(".")[0].removeprefix("lib")
    return _HASH.sub("", first)
