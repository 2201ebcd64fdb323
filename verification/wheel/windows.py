"""Find what prevents the libraries of a wheel from loading on a clean Windows.

delvewheel's data defines the libraries of a clean Windows and a clean CPython.
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

# delvewheel counts from Windows 7; CPython 3.13 starts on Windows 10 and later only, which has
# the universal C run-time as a part of the system.
_WINDOWS_10 = {"ucrtbase.dll"}


def faults(code: NativeCode, subject: Subject, tags: Iterable[Tag]) -> Iterator[Cause]:
    """Yield what keeps the libraries of a wheel with these tags from loading on a clean Windows."""
    provided = _provided(subject.python, code.tag) | {name.lower() for name in code.absent}
    own_python = _python_library(subject, tags)
    carriers = {
        posixpath.basename(path).lower(): library
        for library in code.libraries
        for path in library.paths
    }
    folders = _search_folders(code, subject)
    for library in code.matching:
        for name in (*library.needed, *library.delayed):
            lower = name.lower()
            if lower in provided or _is_provided(lower, own_python):
                continue
            verb = "imports" if name in library.needed else "imports on first use"
            carrier = carriers.get(lower)
            if carrier is None:
                observed = f"{verb} {name}, which no clean Windows has and the wheel does not carry"
            elif not _is_in(carrier, lower, {*folders, posixpath.dirname(library.path)}):
                observed = f"{verb} {name}, and Windows does not look where {carrier.path} is"
            else:
                continue
            yield catalogue().cause(
                "missing-runtime-library", where=library.path, observed=observed, library=name
            )
        yield from _missing_symbols(library, code, carriers)


def _missing_symbols(
    library: Library, code: NativeCode, carriers: Mapping[str, Library]
) -> Iterator[Cause]:
    missing = sorted(
        f"{wanted.symbol} of {wanted.library}"
        for wanted in library.imports
        if (carrier := carriers.get((wanted.library or "").lower()))
        and carrier in code.matching
        and wanted.symbol not in carrier.exports
    )
    if missing:
        observed = f"imports {listing(missing)}, which it does not export"
        yield catalogue().cause(
            "symbol-not-found", where=library.path, observed=observed, symbols=tuple(missing)
        )


def _search_folders(code: NativeCode, subject: Subject) -> set[str]:
    """Return the folders of the wheel where Windows is told to look."""
    folders = {posixpath.dirname(path) for library in code.libraries for path in library.paths}
    # delvewheel puts its libraries in such a folder, and adds it to the search path.
    return {subject.libs_path, *(folder for folder in folders if folder.endswith(".libs"))}


def _python_library(subject: Subject, tags: Iterable[Tag]) -> str:
    """Return the library of the Python; that of a free-threaded one has a t in its name."""
    threaded = any(tag.abi == f"{subject.python}t" for tag in tags)
    return f"{subject.python.replace('cp', 'python')}{'t' * threaded}.dll"


@functools.cache
def _provided(python: str, tag: str) -> frozenset[str]:
    """Return the libraries, in lower case, of a clean Windows with a clean CPython."""
    machine = _dll_list.MachineType.platform_tag_to_type(tag)
    names = _WINDOWS_10 | set(_dll_list.ignore_names.get(machine, ()))
    for pattern, more in _dll_list.ignore_by_abi_platform.items():
        if re.fullmatch(pattern, f"{python}-{tag}"):
            names |= more
    return frozenset(names)


def _is_provided(name: str, own_python: str) -> bool:
    """Return whether it is this Python's library, or one of a family that Windows has."""
    if re.fullmatch(r"python3\d+t?\.dll", name):
        return name == own_python
    return any(pattern.fullmatch(name) for pattern in _dll_list.ignore_regexes)


def _is_in(library: Library, name: str, folders: set[str]) -> bool:
    return any(
        posixpath.basename(path).lower() == name and posixpath.dirname(path) in folders
        for path in library.paths
    )
