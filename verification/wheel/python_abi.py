"""Compare the ABI of the extension modules of a wheel with the ABI tags of the wheel.

The data of abi3info has the symbols of the stable ABI (PEP 384; CPython, Misc/stable_abi.toml).
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping

import abi3info
from packaging.tags import Tag

from verification.models.cause import Cause
from verification.models.inspection import Import, Library
from verification.rules.catalogue import catalogue
from verification.wheel.library_names import is_extension_module
from verification.wheel.modules import without_flag_m
from verification.wheel.native_code import NativeCode
from verification.wheel.wording import listing

Version = tuple[int, int]

_PYTHON_SYMBOL = re.compile(r"_?Py[A-Z_]\w*")
_PYTHON_LIBRARY = re.compile(r"python3\d+t?\.dll", re.IGNORECASE)  # of one version of Python
_SUFFIX = re.compile(r"\.(?:cpython-|cp)(3\d+[a-z]*)[.-]")  # PEP 3149; on Windows .cp313-win_amd64


def causes(code: NativeCode, tags: Collection[Tag]) -> Iterator[Cause]:
    """Yield the extension modules that the Pythons of the wheel's tags cannot import or load."""
    abis = {tag.abi for tag in tags}
    accepted = abis | without_flag_m(abis)
    modules = {
        path: library
        for library in code.matching
        for path in library.paths
        if is_extension_module(path)
    }
    usable = {_module(path) for path in modules if _abi(path) in (None, "abi3", *accepted)}
    exports = frozenset[str]().union(*(library.exports for library in code.libraries))
    for path, library in modules.items():
        abi = _abi(path)
        if abi == "abi3" or (abi is None and abis == {"abi3"}):
            yield from _outside_stable_abi(path, library, _oldest(tags), exports)
        elif abi and not accepted & {abi, "none"} and _module(path) not in usable:
            tag = listing(sorted(map(str, tags)))
            message = f"is a module for the ABI {abi}, but the wheel is for {tag}"
            yield catalogue().cause(
                "abi-mismatch", path, message, abi=abi, tags=tuple(sorted(abis))
            )


def _outside_stable_abi(
    path: str, library: Library, oldest: Version | None, exports: Collection[str]
) -> Iterator[Cause]:
    """Yield one cause for the symbols that a module for the stable ABI must not import.

    ``oldest`` is the oldest Python of the wheel; ``exports`` are the symbols of the wheel itself.
    """
    symbols = sorted(
        imported.symbol
        for imported in library.imports
        if imported.symbol not in exports and not _is_stable(imported, oldest)
    )
    if symbols:
        python = ".".join(map(str, oldest)) if oldest else "every version"
        message = f"needs {listing(symbols)}, outside the stable ABI of CPython {python}"
        yield catalogue().cause("abi3-violation", path, message, symbols=tuple(symbols))


def _is_stable(imported: Import, oldest: Version | None) -> bool:
    if _PYTHON_LIBRARY.fullmatch(imported.library or ""):
        return False  # python3.dll has the stable ABI
    if not _PYTHON_SYMBOL.fullmatch(imported.symbol):
        return True
    added = _stable_abi().get(imported.symbol)
    return added is not None and (oldest is None or added <= oldest)


@functools.cache
def _stable_abi() -> Mapping[str, Version]:
    """Return the version of CPython that added each symbol to the stable ABI."""
    items = (*abi3info.FUNCTIONS.values(), *abi3info.DATAS.values())
    return {item.symbol.name: (item.added.major, item.added.minor) for item in items}


def _oldest(tags: Collection[Tag]) -> Version | None:
    """Return the oldest CPython that the tags name, or None."""
    names = (re.fullmatch(r"cp(\d)(\d+)", tag.interpreter) for tag in tags)
    return min(((int(name[1]), int(name[2])) for name in names if name), default=None)


def _abi(path: str) -> str | None:
    """Return the ABI in the file name of an extension module, as in a tag; None without ABI."""
    name = posixpath.basename(path).lower()
    if match := _SUFFIX.search(name):
        return f"cp{match[1]}"
    match = re.search(r"\.(abi3t?)\.so$", name)
    return match[1] if match else None


def _module(path: str) -> str:
    """Return the path without the suffixes of the file name."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, name.partition(".")[0])
