"""Recognize and compare the file names of native libraries."""

from __future__ import annotations

import re

_LIBRARY = re.compile(r"\.(so(\.\d+[a-z]?)*|dll|pyd|dylib)$")
_EXTENSION_MODULE = re.compile(r"\.((cpython-\d[\w-]*|abi3t?)\.so|pyd)$")
_HASH = re.compile(r"-[0-9a-f]{6,}$")
_HASH_IN_NAME = re.compile(r"^([^.]*)-[0-9a-f]{6,}(?=\.)", re.IGNORECASE)


def is_library_name(name: str) -> bool:
    """Return whether a file has the name of a native library."""
    return _LIBRARY.search(name.lower()) is not None


def is_extension_module(path: str) -> bool:
    """Return whether CPython can import a file with this path as an extension module.

    CPython cannot import from a folder whose name is not an identifier, such as ``.debug``. The
    name of a module can start with a digit: mypyc makes such modules, and imports them by name.
    """
    *folders, name = path.split("/")
    names = (*folders, f"_{name.partition('.')[0]}")
    return _EXTENSION_MODULE.search(name.lower()) is not None and all(map(str.isidentifier, names))


def has_hash(name: str) -> bool:
    """Return whether auditwheel or delvewheel has added a hash to the name of a library."""
    return _HASH.search(name.lower().partition(".")[0]) is not None


def without_hash(name: str) -> str:
    """Return the file name of a library without the hash that auditwheel or delvewheel adds."""
    return _HASH_IN_NAME.sub(r"\1", name) if is_library_name(name) else name


def is_same_library(first: str, second: str) -> bool:
    """Return whether two file names differ only in version, ABI tag, hash and suffix."""
    kinds = {
        (name.lower().startswith("lib"), is_extension_module(name)) for name in (first, second)
    }
    return len(kinds) == 1 and base_name(first) == base_name(second)


def base_name(name: str) -> str:
    """Return the name of a library without prefix, version, ABI tag, hash and suffix.

    The result for ``libx.so.1``, ``libx-0a1b2c3d.so`` (auditwheel) and ``x.dll`` is ``x``.
    """
    stem = name.lower().partition(".")[0].removeprefix("lib")
    return _HASH.sub("", stem)
