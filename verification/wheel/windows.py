"""Find the reasons why the libraries of a wheel cannot load on a clean Windows."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.tags import Tag

from verification.models.cause import Cause, FactValue
from verification.models.inspection import Library
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive, open_wheel
from verification.wheel.errors import BadWheel
from verification.wheel.library_names import is_extension_module
from verification.wheel.native_code import NativeCode
from verification.wheel.pe import required_assemblies
from verification.wheel.windows_facts import functions_of, has_library, is_known_in_any
from verification.wheel.wording import listing

_DRIVER_LIBRARIES = {
    "nvcuda.dll", "nvml.dll", "nvcuvid.dll", "nvencodeapi64.dll", "nvapi64.dll", "amfrt64.dll",
    "opencl.dll", "vulkan-1.dll", "ze_loader.dll",
}  # fmt: skip
"""Libraries of graphics drivers. A package that loads them on first use works without a driver."""
_WINDOWS_ASSEMBLIES = "microsoft.windows."
"""How the names of the assemblies of Windows start (Microsoft, Supported Microsoft Side-by-side
Assemblies)."""
_MERGED_FOLDER = re.compile(r"[^/]+\.data/data/lib/site-packages/", re.IGNORECASE)
"""The part of a wheel that becomes the folder of the packages in an environment. With ``--user``
and ``--target``, an installer puts it elsewhere (CPython, sysconfig.get_paths)."""
_OF_COMPILER = re.compile(r"_CI[a-z0-9]+|_libm_sse2_[a-z0-9]+_precise")
"""Functions for numbers that Microsoft's 32-bit compiler calls, and that ucrtbase.dll exports
(Microsoft, Universal C runtime routines by category, floating-point support)."""
_ADDS_FOLDER = re.compile(rb"add_dll_directory|\b(Win|C|Py|Ole)DLL\(|LoadLibrary|\b(c|win)dll\.")
"""How Python code loads a library, or adds a folder to the DLL search path."""


def causes(
    archive: Archive, code: NativeCode, subject: Subject, tags: Iterable[Tag]
) -> Iterator[Cause]:
    """Yield the reasons why libraries of a wheel with these tags cannot load on a clean Windows."""
    provided = _of_python(subject, tags, code.tag) | code.provided
    provided |= {name.lower() for name in code.absent}
    bundled_libraries = {
        posixpath.basename(path).lower(): library
        for library in code.libraries
        for path in library.paths
    }
    for library in code.matching:
        yield from _missing_assemblies(library, archive)
        folders = {*_search_folders(code, subject), *_own_folders(library)}
        for name in dict.fromkeys((*library.needed, *library.delayed)):
            lower = name.lower()
            if lower in provided or has_library(lower, code.tag):
                continue
            if _is_of_its_python(library, lower):
                continue  # `python_abi` reports a module for another Python
            bundled = bundled_libraries.get(lower)
            if bundled is None:
                yield from _missing_library(library, name)
            else:
                paths = [
                    path for path in bundled.paths if posixpath.basename(path).lower() == lower
                ]
                yield from _unreachable_library(library, name, paths, folders, archive)
        yield from _missing_symbols(library, code, bundled_libraries)
        yield from _unknown_functions(library, bundled_libraries)


def has_libraries_outside(wheels: Iterable[Path], package: str) -> bool:
    """Return whether a Windows wheel has a DLL that is not in its package.

    Whether Windows finds it depends on how the wheel is installed, for example with ``--user``.
    """
    return any(
        path.lower().endswith(".dll") and not path.lower().startswith(f"{package.lower()}/")
        for wheel in wheels
        if "-win" in wheel.name
        for path in _install_paths(wheel)
    )


def _install_paths(wheel: Path) -> Iterable[str]:
    """Return the install paths of a wheel's files. A file that is no archive has none."""
    try:
        return open_wheel(wheel).install_paths.values()
    except BadWheel:
        return ()  # the inspection reports it


def _is_of_its_python(library: Library, name: str) -> bool:
    """Return whether a library is the Python for which an extension module is, by its suffix."""
    match = re.fullmatch(r"python(3\d+t?)\.dll", name)
    return match is not None and any(f".cp{match[1]}-" in path for path in library.paths)


def _missing_library(library: Library, name: str) -> Iterator[Cause]:
    """Yield a cause for a library that neither Windows nor the wheel has."""
    delayed = name not in library.needed
    if not (delayed and name.lower() in _DRIVER_LIBRARIES):
        reason = "a clean Windows does not have it and the wheel does not contain it"
        yield _missing(library, name, reason, risk=delayed)


def _unreachable_library(
    library: Library, name: str, paths: list[str], folders: set[str], archive: Archive
) -> Iterator[Cause]:
    """Yield a cause if Windows does not search a folder that has the bundled library."""
    if any(posixpath.dirname(path) in folders for path in paths):
        return
    merged = next((path for path in paths if posixpath.dirname(_merged(path)) in folders), None)
    if merged:
        reason = f"Windows finds {merged} only in an environment, and not after an installation"
        yield _missing(
            library, name, f"{reason} with --user or --target", bundled=merged, risk=True
        )
    elif not _is_added(paths, archive):
        reason = f"Windows does not search the folder of {paths[0]}"
        risk = name not in library.needed
        yield _missing(library, name, reason, bundled=paths[0], risk=risk)


def _missing(library: Library, name: str, reason: str, *, bundled: str = "", risk: bool) -> Cause:
    delayed = name in library.delayed and name not in library.needed
    message = f"needs {name}{' on first use' * delayed}, but {reason}"
    facts: dict[str, FactValue] = {"library": name, "delayed": delayed, "bundled": bundled}
    return catalogue().cause("missing-runtime-library", library.path, message, risk=risk, **facts)


def _merged(path: str) -> str:
    """Return the path that a file has in the folder of the packages of an environment."""
    return _MERGED_FOLDER.sub("", path, count=1)


def _is_added(paths: Iterable[str], archive: Archive) -> bool:
    """Return whether code of the wheel seems to load a library, or to add its folder.

    Python loads an extension module when code imports it. A machine shows whether the code works.
    """
    if any(map(is_extension_module, paths)):
        return True
    words = {part.encode() for path in paths for part in path.split("/")[-2:]}
    words |= {posixpath.splitext(posixpath.basename(path))[0].encode() for path in paths}
    named = re.compile(rb"(?<!\w)(" + b"|".join(map(re.escape, sorted(words))) + rb")(?!\w)", re.I)
    return any(
        _ADDS_FOLDER.search(data) and named.search(data)
        for path, member in archive.installed.items()
        if path.endswith((".py", ".pth")) and (data := member.data)
    )


def _missing_assemblies(library: Library, archive: Archive) -> Iterator[Cause]:
    """Yield a cause for each side-by-side assembly that is not in Windows and not in the wheel."""
    paths = {path.lower() for path in archive.install_paths.values()}
    embedded = library.assemblies
    for name in embedded or dict.fromkeys(_external_assemblies(library, archive)):
        lower = name.lower()
        # Windows searches an assembly in these files (Microsoft, Assembly Searching Sequence).
        files = {
            posixpath.join(folder, f"{start}{lower}{suffix}").lower()
            for folder in _own_folders(library)
            for start in ("", f"{lower}/")
            for suffix in (".manifest", ".dll")
        }
        if not lower.startswith(_WINDOWS_ASSEMBLIES) and not paths & files:
            reason = "a clean Windows does not have this side-by-side assembly"
            reason += " and the wheel does not contain it"
            yield _missing(library, name, reason, risk=not embedded)


def _external_assemblies(library: Library, archive: Archive) -> Iterator[str]:
    """Yield the assemblies that the manifest file next to a library or program requires.

    The name of the file has the number of the resource that the file replaces: 1 for a program,
    where the number can be missing, and 2 for a library (Microsoft, Application manifests). Wine
    does not read the file of a library, so no machine proves the fault.
    """
    installed = {path.lower(): member for path, member in archive.installed.items()}
    for path in map(str.lower, library.paths):
        names = (".manifest", ".1.manifest") if path.endswith(".exe") else (".2.manifest",)
        for name in names:
            if member := installed.get(f"{path}{name}"):
                yield from required_assemblies(member.data or b"")


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


def _unknown_functions(
    library: Library, bundled_libraries: Mapping[str, Library]
) -> Iterator[Cause]:
    """Yield a cause for the functions of Windows that the import libraries of mingw-w64 lack."""
    unknown: dict[bool, list[str]] = defaultdict(list)
    for imported in library.imports:
        name = imported.library or ""
        known = None if name.lower() in bundled_libraries else functions_of(name)
        # The sources list no decorated names of C++, and not all functions for the compiler.
        if known is None or imported.symbol in known.listed or imported.symbol.startswith("?"):
            continue
        if _OF_COMPILER.fullmatch(imported.symbol):
            continue
        # mingw-w64 lists for an API set only what its own run-time does not define.
        if "-ms-win-" in name.lower() and is_known_in_any(imported.symbol):
            continue
        is_risk = imported.symbol in known.others or name not in library.needed
        unknown[is_risk].append(f"{imported.symbol} of {name}")
    for is_risk, symbols in sorted(unknown.items()):
        message = f"imports {listing(symbols)}, which "
        message += "mingw-w64 does not list" if is_risk else "no list of Windows functions has"
        yield catalogue().cause(
            "unknown-windows-function",
            library.path,
            message,
            risk=is_risk,
            symbols=tuple(sorted(symbols)),
        )


def _search_folders(code: NativeCode, subject: Subject) -> set[str]:
    """Return the folders of the wheel that the package adds to the DLL search path."""
    folders = {posixpath.dirname(path) for library in code.libraries for path in library.paths}
    # delvewheel puts libraries into a .libs folder and adds it to the search path.
    return {subject.libs_path, *(folder for folder in folders if folder.endswith(".libs"))}


def _own_folders(library: Library) -> set[str]:
    """Return the folders of a library, and those of the assemblies that it names."""
    folders = {posixpath.dirname(path) for path in library.paths}
    return folders | {
        posixpath.join(folder, name) for folder in folders for name in library.assemblies
    }


def _of_python(subject: Subject, tags: Iterable[Tag], platform: str) -> set[str]:
    """Return the lower-case names of the libraries that Python brings for a wheel with these tags.

    CPython's installer puts its own library and the C run-time next to `python.exe`. Since version
    3.8 the run-time for 64 bits has two files. PyPy and GraalPy have the first of them.
    """
    names = {"python3.dll", "vcruntime140.dll"}
    abis = {tag.abi for tag in tags}
    threaded = f"{subject.python}t" in abis
    if threaded or "abi3t" in abis:
        names.add("python3t.dll")
    names.add(f"{subject.python.replace('cp', 'python')}{'t' * threaded}.dll")
    if platform != "win32" and subject.python_version >= (3, 8):
        names.add("vcruntime140_1.dll")
    return names
