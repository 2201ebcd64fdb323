"""Name the cause of a failed library load from the messages of the dynamic loaders."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from verification.models.cause import FactValue
from verification.models.evidence import CellEvidence
from verification.rules import install_paths as paths
from verification.rules.finding import Finding, finding

Libraries = tuple[str, ...]

# glibc (elf/dl-load.c, elf/dl-map-segments.h, elf/dl-version.c, elf/dl-lookup.c).
_NOT_FOUND = re.compile(r"([\w.+-]+\.so[\w.]*): cannot open shared object file")
_NO_LIBRARY = re.compile(
    r"([^\s:'\"]+\.so[\w.]*): (invalid ELF header|file too short|wrong ELF class: \w+|"
    r"only ET_DYN and ET_EXEC can be loaded|ELF file's phentsize not the expected size|"
    r"ELF load command past end of file|cannot read file data|cannot map zero-fill pages|"
    r"object file has no (dynamic section|loadable segments)|nonzero padding in e_ident|"
    r"cannot dynamically load (position-independent )?executable|"
    r"ELF file version (ident )?does not match current one|"
    r"ELF load command (address/offset|alignment) not (page-aligned|properly aligned))"
)
_OTHER_FILE_TYPE = "only ET_DYN"  # an undamaged file of another type, such as an object file
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
_TEXT_RELOCATIONS = re.compile(
    r"([^\s:'\"]+\.so[\w.]*): cannot (?:make segment writable for relocation"
    r"|restore segment prot after reloc)"
)
_VERSIONS = dict.fromkeys(("GLIBCXX", "CXXABI", "GCC", "LIBATOMIC"), "libstdcxx-floor")
_VERSIONS["GLIBC"] = "glibc-floor"

# cffi (its message for ffi.dlopen) and ctypes, with error codes of Windows.
_NOT_LOCATED = re.compile(r"did not manage to locate a library called '([^']+)'")
_NO_FUNCTION = re.compile(r"function/symbol '(\w+)' not found in library '([^']+)'")
_IMPORTING = re.compile(r"DLL load failed while importing \w+")  # CPython, for an extension module
_NUMBERED = re.compile(r"cannot load library '([^']+)': error 0x([0-9a-fA-F]+)")
_CTYPES = re.compile(r"\[WinError (\d+)\].*'([^']+\.dll)'|Could not find module '([^']+)'")

# Error codes of Windows (Microsoft, System Error Codes), with cause and form of its message.
_MODULE_NOT_FOUND = 126
_BAD_FORMAT = 193
_NTSTATUS_ERROR = 0xC0000000  # an exception's code, of severity error ([MS-ERREF] 2.3)
_WINDOWS_ERRORS = {
    5: ("permission", "windows"),
    127: ("symbol-not-found", "windows"),
    _BAD_FORMAT: ("wrong-architecture", "windows"),
    998: ("crash", "memory"),
    1114: ("crash", "initialisation"),
}
_START_UP_DIED = ("crash", "start-up")

# Wine (dlls/ntdll/loader.c, dlls/ntdll/unix/virtual.c); in L"..." a backslash is doubled.
_WINE_MISSING = re.compile(
    r"Library (\S+) \(which is needed by L\"([^\"]+)\"\) not found", re.IGNORECASE
)
_WINE_STUB = re.compile(r"No implementation for (\S+\.\w+)\.(\S+) imported from L\"([^\"]+)\"")
_WINE_CUT_OFF = re.compile(r"Could not map L\"([^\"]+)\" section (\S+), file probably truncated")
_WINE_CALLED = re.compile(r"to unimplemented function (\S+\.\w+)\.(\S+), aborting")


@dataclass(frozen=True)
class MissingLibrary:
    """A library that Wine's loader did not find, and the file that imports this library."""

    library: str
    needed_by: PurePath


@dataclass(frozen=True)
class StubSymbol:
    """A symbol that no library exports. Wine uses a stub for it; Windows refuses to load."""

    library: str
    symbol: str
    needed_by: PurePath


def missing_libraries(lines: Sequence[str]) -> list[MissingLibrary]:
    """Return the libraries that Wine's loader did not find, without duplicates."""
    matches = (_WINE_MISSING.search(line) for line in lines)
    return list(
        dict.fromkeys(MissingLibrary(match[1], _wide(match[2])) for match in matches if match)
    )


def stub_symbols(lines: Sequence[str]) -> list[StubSymbol]:
    """Return the symbols for which Wine's loader reports a stub, without duplicates."""
    matches = (_WINE_STUB.search(line) for line in lines)
    return list(
        dict.fromkeys(StubSymbol(match[1], match[2], _wide(match[3])) for match in matches if match)
    )


def called_stubs(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return library and name of each called function that Wine does not implement."""
    matches = (_WINE_CALLED.search(line) for line in lines)
    return list(dict.fromkeys((match[1], match[2]) for match in matches if match))


def _wide(text: str) -> PureWindowsPath:
    return PureWindowsPath(text.replace("\\\\", "\\"))


def explain(message: str, evidence: CellEvidence, libraries: Libraries) -> Finding | None:
    """Return the fault that a loader reports in ``message``, or None if no loader wrote it.

    ``libraries`` are the native libraries of the package.
    """
    for rule in _RULES:
        if fault := rule(message, evidence, libraries):
            return fault
    return None


# ---- Windows ----


def _no_function(message: str, _evidence: CellEvidence, _libraries: Libraries) -> Finding | None:
    if not (match := _NO_FUNCTION.search(message)):
        return None
    library = PurePath(match[2]).name
    return finding("symbol-not-found", "call", library=library, symbol=match[1])


def _failed_import(message: str, evidence: CellEvidence, libraries: Libraries) -> Finding | None:
    return _first_missing(evidence, libraries) if _IMPORTING.search(message) else None


def _numbered(message: str, evidence: CellEvidence, libraries: Libraries) -> Finding | None:
    if match := _NUMBERED.search(message):
        path, number = PureWindowsPath(match[1]), int(match[2], 16)
    elif match := _CTYPES.search(message):
        path, number = PureWindowsPath(match[2] or match[3]), int(match[1] or _MODULE_NOT_FOUND)
    else:
        return None
    if number == _MODULE_NOT_FOUND:
        return _not_found_on_windows(path, evidence, libraries)
    if number == _BAD_FORMAT and (section := _cut_off_section(path, evidence)):
        facts: dict[str, FactValue] = {"section": section, "error": number}
        return finding("damaged-library", "section", library=path.name, **facts)
    known = _WINDOWS_ERRORS.get(number, _START_UP_DIED if number >= _NTSTATUS_ERROR else None)
    if known is None:
        return None
    cause, form = known
    return finding(cause, form, library=path.name, error=number)


def _cut_off_section(path: PureWindowsPath, evidence: CellEvidence) -> str:
    """Return the section that Wine's loader did not find in a library file; empty if none."""
    for line in evidence.loader:
        match = _WINE_CUT_OFF.search(line)
        if match and _wide(match[1]).name.lower() == path.name.lower():
            return match[2]
    return ""


def _not_found_on_windows(
    path: PureWindowsPath, evidence: CellEvidence, libraries: Libraries
) -> Finding:
    """Return which library is missing: this one, or one that it needs. Windows reports neither."""
    if fault := _first_missing(evidence, libraries):
        return fault
    if _is_installed(path, evidence):
        return finding("missing-runtime-library", "unknown", needed_by=path.name)
    return _missing_library(path.name, libraries, "absent")


def _is_installed(path: PureWindowsPath, evidence: CellEvidence) -> bool:
    added = paths.added_paths(evidence)
    return path in added or any(path.name == file.name for file in added)


def _first_missing(evidence: CellEvidence, libraries: Libraries) -> Finding | None:
    for missing in missing_libraries(evidence.loader):
        needed_by = missing.needed_by.name
        return _missing_library(missing.library, libraries, "needed", needed_by=needed_by)
    return None


def _missing_library(name: str, libraries: Libraries, form: str, **facts: str) -> Finding:
    is_bundled = paths.is_bundled(name, libraries)
    cause = "missing-bundled-library" if is_bundled else "missing-runtime-library"
    return finding(cause, form, library=name, **facts)


# ---- glibc ----


def _no_version(message: str, _evidence: CellEvidence, _libraries: Libraries) -> Finding | None:
    if not (match := _NO_VERSION.search(message)):
        return None
    family, number, path = match.groups()
    library, version = PurePosixPath(path).name, f"{family}_{number}"
    cause = _VERSIONS.get(family, "symbol-not-found")
    return finding(cause, "version", library=library, version=version)


def _other_processor(
    message: str, _evidence: CellEvidence, _libraries: Libraries
) -> Finding | None:
    if not (match := _OTHER_PROCESSOR.search(message)):
        return None
    facts = {"library": PurePosixPath(match[1]).name, "reason": match[2]}
    # glibc reports this if a property of the library requires x86-64-v2 or later.
    if "ISA" in match[2]:
        return finding("illegal-instruction", "required", **facts)
    return finding("wrong-architecture", "reason", **facts)


def _no_versioned(message: str, _evidence: CellEvidence, _libraries: Libraries) -> Finding | None:
    if not (match := _NO_VERSIONED.search(message)):
        return None
    needed_by, symbol, library = match.groups()
    facts = {"library": library, "symbol": symbol, "needed_by": needed_by}
    return finding("symbol-not-found", "versioned", **facts)


def _executable_stack(
    message: str, _evidence: CellEvidence, _libraries: Libraries
) -> Finding | None:
    if not (match := _EXEC_STACK.search(message)):
        return None
    library = PurePosixPath(match[1]).name
    return finding("executable-stack", "loader", library=library, message=match[0])


def _text_relocations(
    message: str, _evidence: CellEvidence, _libraries: Libraries
) -> Finding | None:
    if not (match := _TEXT_RELOCATIONS.search(message)):
        return None
    library = PurePosixPath(match[1]).name
    return finding("text-relocations", "loader", library=library, message=match[0])


def _no_symbol(message: str, _evidence: CellEvidence, _libraries: Libraries) -> Finding | None:
    if not (match := _NO_SYMBOL.search(message)):
        return None
    needed_by = PurePosixPath(match[1]).name
    return finding("symbol-not-found", "undefined", symbol=match[2], needed_by=needed_by)


def _no_library(message: str, _evidence: CellEvidence, _libraries: Libraries) -> Finding | None:
    if not (match := _NO_LIBRARY.search(message)):
        return None
    facts = {"library": PurePosixPath(match[1]).name, "reason": match[2]}
    if "class" in match[2]:
        return finding("wrong-architecture", "reason", **facts)
    if match[2].startswith(_OTHER_FILE_TYPE):
        return finding("missing-bundled-library", "no-library", **facts)
    return finding("damaged-library", "reason", **facts)


def _not_found(message: str, evidence: CellEvidence, libraries: Libraries) -> Finding | None:
    if not (match := _NOT_FOUND.search(message)):
        return None
    library, text = match[1], message[:200]
    record = evidence.steps.record
    for wrong in record.value.wrong if record and record.value else ():
        # The package removed the installed file before it loaded it.
        if wrong.observed == FileNotFoundError.__name__ and f"/{wrong.file}: cannot" in message:
            facts = {"file": wrong.file, "difference": wrong.observed}
            return finding("record-mismatch", "content", **facts)
    if any(f"{path}: cannot open shared" in message for path in evidence.installed.added):
        # glibc ignores a library for another processor as if it did not exist.
        return finding("wrong-architecture", "skipped", library=library, message=text)
    return _missing_library(library, libraries, "not-found", message=text)


# ---- cffi, and messages of the package ----


def _not_located(message: str, evidence: CellEvidence, _libraries: Libraries) -> Finding | None:
    if not (match := _NOT_LOCATED.search(message)):
        return None
    is_installed = paths.path_type(evidence)(match[1]) in paths.added_paths(evidence)
    form = "unloadable" if is_installed else "unlocated"
    return finding("missing-bundled-library", form, library=match[1], message=message[:300])


def _reported_missing(
    message: str, _evidence: CellEvidence, libraries: Libraries
) -> Finding | None:
    for library in libraries:
        name = re.escape(library)
        pattern = rf"{name}\S* (is missing|was not found|does not exist)|[Mm]issing: {name}"
        if re.search(pattern, message):
            facts = {"library": library, "message": message[:300]}
            return finding("missing-bundled-library", "reported", **facts)
    return None


_RULES: tuple[Callable[[str, CellEvidence, Libraries], Finding | None], ...] = (
    _no_function,
    _failed_import,
    _numbered,
    _no_version,
    _other_processor,
    _no_versioned,
    _executable_stack,
    _text_relocations,
    _no_symbol,
    _no_library,
    _not_found,
    _not_located,
    _reported_missing,
)
"""The first rule that applies returns the cause."""
