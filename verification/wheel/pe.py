"""PE libraries: reading one, and what is wrong with those of a wheel.

What a clean Windows and a clean CPython provide is delvewheel's data.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pefile  # type: ignore[import-untyped]
from delvewheel import _dll_list  # type: ignore[import-untyped]

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.libraries import Import, Library, UnreadableLibrary, some

_MACHINES = {0x14C: "i686", 0x8664: "x86_64", 0xAA64: "aarch64"}

# delvewheel counts from Windows 7; CPython 3.13 starts on Windows 10 and later only, which has
# the universal C run-time as a part of the system.
_WINDOWS_10 = {"ucrtbase.dll"}


def read(library: Library, data: bytes) -> Library:
    """Return the library with what its PE file says.

    Raises:
        UnreadableLibrary: if the file is damaged.
    """
    try:
        image = pefile.PE(data=data, fast_load=True)
        image.parse_data_directories(
            [
                pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{name}"]
                for name in ("EXPORT", "IMPORT", "DELAY_IMPORT")
            ]
        )
    except (pefile.PEFormatError, AttributeError, IndexError, ValueError) as error:
        raise UnreadableLibrary(f"a damaged PE file ({error})") from error
    direct = list(getattr(image, "DIRECTORY_ENTRY_IMPORT", ()))
    delayed = list(getattr(image, "DIRECTORY_ENTRY_DELAY_IMPORT", ()))
    exports = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
    return replace(
        library,
        machine=_MACHINES.get(image.FILE_HEADER.Machine, hex(image.FILE_HEADER.Machine)),
        soname=_text(exports.name) if exports and exports.name else None,
        needed=tuple(_text(entry.dll) for entry in direct),
        delayed=tuple(_text(entry.dll) for entry in delayed),
        imports=tuple(
            Import(_text(symbol.name), _text(entry.dll))
            for entry in (*direct, *delayed)
            for symbol in entry.imports
            if symbol.name  # the others are imported by number
        ),
        exports=frozenset(
            _text(symbol.name) for symbol in (exports.symbols if exports else ()) if symbol.name
        ),
    )


def faults(
    libraries: Sequence[Library],
    *,
    carried: Sequence[Library],
    absent: Iterable[str],
    folders: Sequence[str],
    tag: str,
    python: str,
    abi: str,
) -> Iterator[Cause]:
    """Yield what keeps the libraries of one wheel from loading on a clean Windows.

    `carried` are all libraries of the wheel and `absent` the file names of those it should carry;
    what is wrong with these themselves is told elsewhere and not once more for each user.
    `folders` are the folders of the wheel where Windows is told to look.
    """
    provided = _provided(python, tag) | {name.lower() for name in absent}
    carriers = {
        posixpath.basename(path).lower(): library for library in carried for path in library.paths
    }
    for library in libraries:
        for name in (*library.needed, *library.delayed):
            lower = name.lower()
            if lower in provided or _is_provided(lower, abi):
                continue
            verb = "imports" if name in library.needed else "imports on first use"
            carrier = carriers.get(lower)
            if carrier is None:
                seen = f"{verb} {name}, which no clean Windows has and the wheel does not carry"
            elif not _reachable(carrier, lower, (*folders, posixpath.dirname(library.path))):
                seen = f"{verb} {name}, and Windows does not look where {carrier.path} is"
            else:
                continue
            yield catalogue().cause("missing-runtime-library", where=library.path, seen=seen)
        missing = [
            f"{wanted.symbol} of {wanted.library}"
            for wanted in library.imports
            if (carrier := carriers.get((wanted.library or "").lower()))
            and any(carrier is other for other in libraries)
            and wanted.symbol not in carrier.exports
        ]
        if missing:
            yield catalogue().cause(
                "symbol-not-found",
                where=library.path,
                seen=f"imports {some(sorted(missing))}, which it does not export",
            )


@functools.cache
def _provided(python: str, tag: str) -> frozenset[str]:
    """Return the libraries, in lower case, of a clean Windows with a clean CPython."""
    machine = _dll_list.MachineType.platform_tag_to_type(tag)
    names = _WINDOWS_10 | set(_dll_list.ignore_names.get(machine, ()))
    for pattern, more in _dll_list.ignore_by_abi_platform.items():
        if re.fullmatch(pattern, f"{python}-{tag}"):
            names |= more
    return frozenset(names)


def _is_provided(name: str, abi: str) -> bool:
    """Return whether Windows has a family of such names, or this Python brings the library."""
    if re.fullmatch(r"python3\d+t?\.dll", name):
        return name == f"{abi.replace('cp', 'python')}.dll"
    return any(pattern.fullmatch(name) for pattern in _dll_list.ignore_regexes)


def _reachable(library: Library, name: str, folders: Sequence[str]) -> bool:
    return any(
        posixpath.basename(path).lower() == name and posixpath.dirname(path) in folders
        for path in library.paths
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="replace")
