"""Detect that the package opens a library by a wrong path, although the wheel has the library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules.finding import Finding, finding
from verification.rules.loader_messages import missing_libraries
from verification.wheel.library_names import base_name, is_library_name

# Messages of cffi and ctypes, with the name that the code opened.
_OPENED = re.compile(r"cannot load library '([^']+)'|Could not find module '([^']+)'")
_ABSENT = (
    "{name}: cannot open shared object file",  # glibc
    "Error loading shared library {name}: No such file",  # musl
    "cannot load library '{name}': error 0x7e",  # cffi on Windows
    "Could not find module '{name}'",  # ctypes on Windows
)
_GLIBC_NAME = re.compile(r"OSError: ([\w.+-]+\.so[\w.]*): cannot open shared object file")
# The messages of packages that report a missing library themselves.
_REPORTED = re.compile(
    r"[Mm]issing:? '?([\w.+-]+)|([\w.+-]+)'? (?:is missing|was not found|does not exist)"
)
_WORD = re.compile(r"(?<![\\/\w.+-])[\w.+-]+(?![\\/])")  # not a part of a path
_FOLDER_ADDED = "add_dll_directory"
# The error of Windows for a missing folder, in a message of the package about its libraries.
_NO_FOLDER = re.compile(r"\b(?:librar(?:y|ies)|dlls?)\b.*\[WinError [23]\]", re.IGNORECASE)
_END_OF_PATH = r"[^\s'\"():;,]+"


def wrong_load_path(
    message: str, trace: str, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    """Return a finding if the package opens a library by a path where it is not installed.

    ``message`` and ``trace`` are those of the exception. A library that another library needs does
    not count: the package does not open it.
    """
    libraries = _libraries(evidence, expectation)
    if not libraries or missing_libraries(evidence.loader):
        return None
    message = message.replace("\\\\", "\\")
    missing = list(_missing_paths(message, evidence, expectation))
    if files := [path for path in missing if is_library_name(path.name)]:
        installed = _matching(files[0].name, libraries)
        return _finding(files[0], installed) if installed else None
    folder = next(iter(missing), None)
    names = [_opened_name(message, trace, evidence), *_reported_names(message, folder)]
    for name in filter(None, names):
        installed = _matching(name, libraries)
        if installed and (folder or installed.name != name or name == names[0]):
            return _finding(folder / name if folder else PurePath(name), installed)
    if folder and (_FOLDER_ADDED in trace or _NO_FOLDER.search(message)):
        return _finding(folder, libraries[0])
    return None


def _finding(sought: PurePath, installed: PurePath) -> Finding:
    facts = {"library": installed.name, "sought": str(sought), "path": str(installed)}
    return finding("wrong-load-path", "path", **facts)


def _libraries(evidence: CellEvidence, expectation: Expectation) -> list[PurePath]:
    """Return the installed libraries of the package, the declared ones first."""
    files = paths.package_files(evidence, expectation)
    libraries = [path for path in files if is_library_name(path.name) and not paths.is_cache(path)]
    declared = {base_name(name) for name in expectation.libraries}
    return sorted(libraries, key=lambda path: (base_name(path.name) not in declared, path))


def _matching(name: str, libraries: list[PurePath]) -> PurePath | None:
    """Return the library of this name, or of the same name with another version or hash."""
    same = [path for path in libraries if base_name(path.name) == base_name(name)]
    return min(same, key=lambda path: path.name != name, default=None)


def _missing_paths(
    message: str, evidence: CellEvidence, expectation: Expectation
) -> Iterator[PurePath]:
    """Yield the paths in the package's folder that the message names and that do not exist.

    The comparison uses the part of a path from the package's folder on, because one path can be
    written in several ways.
    """
    kind, module = paths.path_type(evidence), expectation.module
    present = set()
    for path in paths.added_paths(evidence):
        if tail := _tail(path, module):
            present |= {tail, *tail.parents}
    separator = r"[\\/]"
    pattern = rf"(?:[A-Za-z]:)?{separator}[^'\"\n]*?{separator}{re.escape(module)}{separator}"
    for match in re.finditer(pattern + _END_OF_PATH, message):
        path = kind(match[0].rstrip("."))
        tail = _tail(path, module)
        if tail and tail not in present:
            yield path


def _tail(path: PurePath, module: str) -> PurePath | None:
    """Return the part of a path from the package's folder on; None if it is outside the folder."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    if module not in parts:
        return None
    last = len(parts) - 1 - parts[::-1].index(module)
    return type(path)(*parts[last:])


def _reported_names(message: str, folder: PurePath | None) -> Iterator[str]:
    """Yield the libraries that a message reports as missing.

    If the message names a path in the package's ``folder``, yield all libraries that it names.
    """
    pattern = _WORD if folder else _REPORTED
    for match in pattern.finditer(message):
        name = next(filter(None, (*match.groups(), match[0]))).rstrip(".")
        if is_library_name(name):
            yield name


def _opened_name(message: str, trace: str, evidence: CellEvidence) -> str:
    """Return the name without a folder of a missing library that the package's code opened."""
    if match := _OPENED.search(message):
        name = match[1] or match[2]
        # Wine reports whether the library itself is missing or one that it needs. Windows does not.
        is_named = evidence.os != "windows" or bool(evidence.loader)
        if PurePath(name).name != name or "\\" in name or not is_named:
            return ""
        return name if any(text.format(name=name) in message for text in _ABSENT) else ""
    # ctypes names only the missing library. If this name is in the code, the package opened it.
    match = _GLIBC_NAME.search(message)
    code = trace.rpartition("\nOSError")[0]
    return match[1] if match and match[1] in code else ""
