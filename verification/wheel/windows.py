"""Find the reasons why the libraries of a wheel cannot load on a clean Windows.

The data of delvewheel defines the libraries of a clean Windows and a clean CPython.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from delvewheel import _dll_list
from packaging.tags import Tag

from verification.models.cause import Cause
from verification.models.inspection import Library
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel.native_code import NativeCode
from verification.wheel.wording import listing

# The data of delvewheel is for Windows 7 and later. CPython 3.13 needs Windows 10, which includes
# the universal C runtime.
_WINDOWS_10 = {"ucrtbase.dll"}


def causes(code: NativeCode, subject: Subject, tags: Iterable[Tag]) -> Iterator[Cause]:
    """Yield the reasons why libraries of a wheel with these tags cannot load on a clean Windows."""
    provided = _provided(subject.python, code.tag) | {name.lower() for name in code.absent}
    python_library = _python_library(subject, tags)
    bundled_libraries = {
        posixpath.basename(path).lower(): library
        for library in code.libraries
        for path in library.paths
    }
    folders = _search_folders(code, subject)
    for library in code.matching:
        for name in (*library.needed, *library.delayed):
            lower = name.lower()
            if lower in provided or _is_provided(lower, python_library):
                continue
            delayed = name not in library.needed
            message = f"needs {name}{' on first use' * delayed}, but "
            bundled = bundled_libraries.get(lower)
            if bundled is None:
                message += "a clean Windows does not have it and the wheel does not contain it"
            elif not _is_in(bundled, lower, {*folders, posixpath.dirname(library.path)}):
                message += f"Windows does not search the folder of {bundled.path}"
            else:
                continue
            yield catalogue().cause(
                "missing-runtime-library",
                library.path,
                message,
                library=name,
                delayed=delayed,
                bundled=bundled.path if bundled else "",
            )
        yield from _missing_symbols(library, code, bundled_libraries)


def _missing_symbols(
    library: Library, code: NativeCode, bundled_libraries: Mapping[str, Library]
) -> Iterator[Cause]:
    missing = sorted(
        f"{imported.symbol} of {imported.library}"
        for imported in library.imports
        if (bundled := bundled_libraries.get((imported.library or "").lower()))
        and bundled in code.matching
        and imported.symbol not in bundled.exports
    )
    if missing:
        message = f"needs {listing(missing)}, but this library does not export it"
        yield catalogue().cause("symbol-not-found", library.path, message, symbols=tuple(missing))


def _search_folders(code: NativeCode, subject: Subject) -> set[str]:
    """Return the folders of the wheel that the package adds to the DLL search path."""
    folders = {posixpath.dirname(path) for library in code.libraries for path in library.paths}
    # delvewheel puts libraries into a .libs folder and adds it to the search path.
    return {subject.libs_path, *(folder for folder in folders if folder.endswith(".libs"))}


def _python_library(subject: Subject, tags: Iterable[Tag]) -> str:
    """Return the name of Python's library. For a free-threaded Python, it has a `t` at the end."""
    threaded = any(tag.abi == f"{subject.python}t" for tag in tags)
    return f"{subject.python.replace('cp', 'python')}{'t' * threaded}.dll"


@functools.cache
def _provided(python: str, tag: str) -> frozenset[str]:
    """Return the lower-case names of the libraries of a clean Windows with a clean CPython."""
    machine = _dll_list.MachineType.platform_tag_to_type(tag)
    names = _WINDOWS_10 | set(_dll_list.ignore_names.get(machine, ()))
    for pattern, python_names in _dll_list.ignore_by_abi_platform.items():
        if re.fullmatch(pattern, f"{python}-{tag}"):
            names |= python_names
    return frozenset(names)


def _is_provided(name: str, python_library: str) -> bool:
    """Return whether a library is Python's, or matches a name pattern of the Windows libraries."""
    if re.fullmatch(r"python3\d+t?\.dll", name):
        return name == python_library
    return any(pattern.fullmatch(name) for pattern in _dll_list.ignore_regexes)


def _is_in(library: Library, name: str, folders: set[str]) -> bool:
    return any(
        posixpath.basename(path).lower() == name and posixpath.dirname(path) in folders
        for path in library.paths
    )
