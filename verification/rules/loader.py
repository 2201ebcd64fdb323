"""What the dynamic loaders say, read: why a library was not loaded, by the name of its cause."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from verification.rules import install_paths as paths

# glibc (elf/dl-load.c, elf/dl-version.c, elf/dl-lookup.c).
_NOT_FOUND = re.compile(r"([\w.+-]+\.so[\w.]*): cannot open shared object file")
_NO_LIBRARY = re.compile(
    r"([^\s:'\"]+\.so[\w.]*): (invalid ELF header|file too short|wrong ELF class: \w+|"
    r"only ET_DYN and ET_EXEC can be loaded|ELF file's phentsize not the expected size)"
)
_NO_SYMBOL = re.compile(r"([^\s:'\"]+\.so[\w.]*): undefined symbol: (\w+)")
_NO_VERSION = re.compile(r"version [`'](\w+?)_([\w.]+)' not found \(required by ([^)]+)\)")
_NO_VERSIONED = re.compile(
    r"([^\s:'\"]+\.so[\w.]*): symbol (\S+), version \S+ not defined in file (\S+)"
)
_OTHER_PROCESSOR = re.compile(
    r"([^\s:'\"]+\.so[\w.]*): (CPU ISA level is lower than required|ELF file OS ABI invalid|"
    r"ELF file data encoding not \S+|internal error: wrong ELF machine)"
)
_EXEC_STACK = re.compile(r"([^\s:'\"]+\.so[\w.]*): cannot enable executable stack")
_RUN_TIMES = {"GLIBCXX", "CXXABI", "GCC", "LIBATOMIC"}

# cffi (its message for ffi.dlopen) and ctypes; the numbers are Windows' own.
_NOT_LOCATED = re.compile(r"did not manage to locate a library called '([^']+)'")
_NO_FUNCTION = re.compile(r"function/symbol '(\w+)' not found in library '([^']+)'")
_IMPORTING = re.compile(r"DLL load failed while importing \w+")  # CPython, of an extension module
_NUMBERED = re.compile(r"cannot load library '([^']+)': error 0x([0-9a-fA-F]+)")
_CTYPES = re.compile(r"\[WinError (\d+)\].*'([^']+\.dll)'|Could not find module '([^']+)'")

# Windows' error codes (Microsoft, System Error Codes).
_ACCESS_DENIED = 5
_MODULE_NOT_FOUND = 126
_PROCEDURE_NOT_FOUND = 127
_BAD_FORMAT = 193
_FAILED_WHILE_LOADING = {
    998: "it touched memory that is not its own",
    1114: "its initialisation failed",
}
_NTSTATUS_ERROR = 0xC0000000  # an exception's code, of severity error ([MS-ERREF] 2.3)

# Wine (dlls/ntdll/loader.c); within L"..." a backslash is written twice.
_WINE_MISSING = re.compile(
    r"Library (\S+) \(which is needed by L\"([^\"]+)\"\) not found", re.IGNORECASE
)
_WINE_STUB = re.compile(r"No implementation for (\S+\.\w+)\.(\S+) imported from L\"([^\"]+)\"")
_WINE_CALLED = re.compile(r"to unimplemented function (\S+\.\w+)\.(\S+), aborting")


@dataclass(frozen=True)
class Missing:
    """A library that Wine's loader did not find, and the one that asked for it."""

    library: str
    needed_by: PurePath


@dataclass(frozen=True)
class Stub:
    """A symbol that Wine put a stub for, as no library exports it; Windows refuses to load."""

    library: str
    symbol: str
    needed_by: PurePath


def missing(told: Sequence[str]) -> list[Missing]:
    """Return the libraries that Wine's loader says it did not find, each once."""
    found = [
        Missing(match[1], _wide(match[2])) for line in told if (match := _WINE_MISSING.search(line))
    ]
    return list(dict.fromkeys(found))


def stubs(told: Sequence[str]) -> list[Stub]:
    """Return the symbols that Wine's loader says nothing exports, each once."""
    found = [
        Stub(match[1], match[2], _wide(match[3]))
        for line in told
        if (match := _WINE_STUB.search(line))
    ]
    return list(dict.fromkeys(found))


def called(told: Sequence[str]) -> list[tuple[str, str]]:
    """Return library and name of the functions that were called and that Wine has by name only."""
    found = [match.groups() for line in told if (match := _WINE_CALLED.search(line))]
    return [(library, name) for library, name in dict.fromkeys(found)]


def _wide(text: str) -> PureWindowsPath:
    return PureWindowsPath(text.replace("\\\\", "\\"))


def explain(
    message: str, evidence: Mapping[str, Any], libraries: tuple[str, ...]
) -> tuple[str, str] | None:
    """Return the name of the cause and what was seen, or None where no loader speaks."""
    for found in (
        *_windows(message, evidence, libraries),
        *_glibc(message, evidence, libraries),
        *_package(message, evidence, libraries),
    ):
        return found
    return None


def _windows(
    message: str, evidence: Mapping[str, Any], libraries: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if found := _NO_FUNCTION.search(message):
        yield "symbol-not-found", f"{PurePath(found[2]).name} does not export {found[1]}"
        return
    if _IMPORTING.search(message):
        for lost in missing(evidence.get("loader", ())):
            yield _lost(lost, libraries)
            return
    if found := _NUMBERED.search(message):
        path, number = PureWindowsPath(found[1]), int(found[2], 16)
    elif found := _CTYPES.search(message):
        path = PureWindowsPath(found[2] or found[3])
        number = int(found[1] or _MODULE_NOT_FOUND)
    else:
        return
    told = f"{path.name}: error 0x{number:x}"
    if number == _BAD_FORMAT:
        yield "wrong-architecture", f"{path.name} is no library of this machine (error 0xc1)"
    elif number == _PROCEDURE_NOT_FOUND:
        yield "symbol-not-found", f"{told}: it needs a symbol that nothing loaded provides"
    elif number == _ACCESS_DENIED:
        yield "permission", f"{told}: Windows does not let the user load it"
    elif number in _FAILED_WHILE_LOADING:
        yield "crash", f"{told}: {_FAILED_WHILE_LOADING[number]} while it was loaded"
    elif number >= _NTSTATUS_ERROR:
        yield "crash", f"{told}: the code that runs when it is loaded died"
    elif number == _MODULE_NOT_FOUND:
        yield _not_found(path, evidence, libraries)


def _not_found(
    path: PureWindowsPath, evidence: Mapping[str, Any], libraries: tuple[str, ...]
) -> tuple[str, str]:
    """Tell who is missing: Windows says only that the library, or one that it needs, is."""
    for lost in missing(evidence.get("loader", ())):
        return _lost(lost, libraries)
    there = paths.installed(evidence)
    bundled = paths.is_bundled(path.name, libraries)
    if path in there or any(path.name == own.name for own in there):
        seen = f"{path.name} is there, and a library that it imports was not found (error 0x7e)"
        return "missing-runtime-library", seen
    cause = "missing-bundled-library" if bundled else "missing-runtime-library"
    return cause, f"{path.name} is neither in the package nor on the system (error 0x7e)"


def _lost(lost: Missing, libraries: tuple[str, ...]) -> tuple[str, str]:
    bundled = paths.is_bundled(lost.library, libraries)
    cause = "missing-bundled-library" if bundled else "missing-runtime-library"
    seen = f"{lost.needed_by.name} imports {lost.library}, which was not found (error 0x7e)"
    return cause, seen


def _glibc(
    message: str, evidence: Mapping[str, Any], libraries: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if found := _NO_VERSION.search(message):
        family, version, library = found.groups()
        seen = f"{PurePosixPath(library).name} needs {family}_{version}"
        if family != "GLIBC" and family not in _RUN_TIMES:
            yield "symbol-not-found", f"{seen}, which nothing loaded provides"
        else:
            cause = "glibc-floor" if family == "GLIBC" else "libstdcxx-floor"
            yield cause, f"{seen}, the machine has older"
    if found := _OTHER_PROCESSOR.search(message):
        # glibc, where the library's own property asks for x86-64-v2 or later.
        cause = "illegal-instruction" if "ISA" in found[2] else "wrong-architecture"
        yield cause, f"{PurePosixPath(found[1]).name}: {found[2]}"
    if found := _NO_VERSIONED.search(message):
        seen = f"{found[1]} needs {found[2]} of {found[3]}, which does not have it"
        yield "symbol-not-found", seen
    if found := _EXEC_STACK.search(message):
        yield "executable-stack", found[0]
    if found := _NO_SYMBOL.search(message):
        seen = f"{PurePosixPath(found[1]).name} needs {found[2]}, which nothing loaded provides"
        yield "symbol-not-found", seen
    if found := _NO_LIBRARY.search(message):
        cause = "wrong-architecture" if "class" in found[2] else "missing-bundled-library"
        seen = f"{PurePosixPath(found[1]).name} is no library of this machine ({found[2]})"
        yield cause, seen
    if found := _NOT_FOUND.search(message):
        if any(f"{path}: cannot open shared" in message for path in evidence["installed"]["added"]):
            # glibc passes over a library for another processor as if it were not there.
            seen = f"{found[1]} is there and the loader does not take it: {message[:200]}"
            yield "wrong-architecture", seen
        bundled = paths.is_bundled(found[1], libraries)
        cause = "missing-bundled-library" if bundled else "missing-runtime-library"
        yield cause, f"{found[1]} is not found: {message[:200]}"


def _package(
    message: str, evidence: Mapping[str, Any], libraries: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if found := _NOT_LOCATED.search(message):
        there = paths.flavour(evidence)(found[1]) in paths.installed(evidence)
        seen = "is there and cannot be loaded"
        if not there:
            seen = "is neither in the package nor on the system"
        yield "missing-bundled-library", f"{found[1]} {seen}: {message[:300]}"
    for library in libraries:
        pattern = rf"{re.escape(library)}\S* (is missing|was not found|does not exist)"
        if re.search(pattern, message):
            yield "missing-bundled-library", message[:300]
