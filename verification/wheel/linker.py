"""Model the search of the dynamic linker of Linux for needed libraries.

The rules are those of glibc (ld.so(8); elf/dl-load.c, elf/dl-deps.c) and musl (ldso/dynlink.c).
LD_LIBRARY_PATH and LD_PRELOAD are not set, and the program has no run path. Folders for certain
processors (glibc-hwcaps) and the flag DF_1_NODEFLIB are not part of the model.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from verification.models.inspection import BinaryHeaders

_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
_MUSL_TOKEN = re.compile(r"\$(?:\{ORIGIN\}|ORIGIN)")
_UNKNOWN = BinaryHeaders(format="elf")


class Need(NamedTuple):
    """A library that a loaded library needs."""

    needed_by: str
    """The path of the library that needs it."""
    name: str
    path: str | None
    """The path where the linker finds it; None if the linker does not find it."""


@dataclass(frozen=True)
class _Loaded:
    """A library in a process."""

    path: str
    headers: BinaryHeaders
    loader: _Loaded | None
    """The library that needed it first; None if the program opened it."""


@dataclass(frozen=True)
class Process:
    """The libraries that a process has loaded."""

    libraries: Mapping[str, _Loaded] = field(default_factory=dict)
    """Each library by its path and by the names for which the linker does not search again."""


class Opened(NamedTuple):
    """The result of opening a library."""

    needs: tuple[Need, ...]
    """What it and the libraries that it loads need, in the order of the linker."""
    process: Process
    """The process afterwards."""
    paths: tuple[str, ...]
    """The loaded libraries, in the order of the linker."""

    @property
    def missing(self) -> tuple[Need, ...]:
        """The needs that the linker does not find."""
        return tuple(need for need in self.needs if need.path is None)


@dataclass(frozen=True)
class Linker:
    """The dynamic linker of a system with these libraries."""

    headers: Mapping[str, BinaryHeaders]
    """The headers of the libraries that it can load, by absolute path."""
    system: Callable[[str], str | None]
    """Return the path of a library in the default folders, or None."""
    musl: bool = False
    lib: str = "lib/x86_64-linux-gnu"
    """The value of ``$LIB``; the default is Debian's."""
    platform: str = "x86_64"
    """The value of ``$PLATFORM``."""

    def open(self, path: str, process: Process) -> Opened:
        """Open the library at this path, as ``dlopen`` does in this process.

        The search continues after a library that is not found, as in ldd(1).
        """
        libraries = dict(process.libraries)
        needs: list[Need] = []
        added: list[_Loaded] = []

        def load(path: str, loader: _Loaded | None) -> _Loaded:
            loaded = _Loaded(path, self.headers.get(path, _UNKNOWN), loader)
            libraries[path] = loaded
            if loaded.headers.soname and not self.musl:  # musl does not compare sonames
                libraries.setdefault(loaded.headers.soname, loaded)
            added.append(loaded)
            return loaded

        if path not in libraries:
            load(path, None)
        for loader in added:  # the loop adds to the list
            for name in loader.headers.needed:
                library = libraries.get(name)
                if library is None and (file := self._find(name, loader)):
                    library = libraries.get(file) or load(file, loader)
                    libraries.setdefault(name, library)
                needs.append(Need(loader.path, name, library.path if library else None))
        return Opened(tuple(needs), Process(libraries), tuple(loaded.path for loaded in added))

    def _find(self, name: str, library: _Loaded) -> str | None:
        if "/" in name:
            path = posixpath.normpath(self._expand(name, library))
            return path if path in self.headers else None
        paths = (posixpath.join(folder, name) for folder in self._folders(library))
        return next((path for path in paths if path in self.headers), None) or self.system(name)

    def _folders(self, library: _Loaded) -> Iterator[str]:
        """Yield the folders of the run paths that apply to the needs of a library, in order."""
        if self.musl:
            for loaded in _chain(library):
                yield from self._expanded(effective_run_path(loaded.headers), loaded)
        elif library.headers.runpath:
            yield from self._expanded(library.headers.runpath, library)
        else:
            for loaded in _chain(library):
                if not loaded.headers.runpath:
                    yield from self._expanded(loaded.headers.rpath, loaded)

    def _expanded(self, run_path: tuple[str, ...], library: _Loaded) -> Iterator[str]:
        if self.musl and "$" in _MUSL_TOKEN.sub("", ":".join(run_path)):
            return  # musl ignores a run path with another token
        for entry in run_path:
            if entry.startswith(("/", "$")):  # another folder is relative to the current folder
                yield posixpath.normpath(self._expand(entry, library))

    def _expand(self, text: str, library: _Loaded) -> str:
        origin = posixpath.dirname(library.path)
        if self.musl:
            return _MUSL_TOKEN.sub(lambda _: origin, text)
        values = {"ORIGIN": origin, "LIB": self.lib, "PLATFORM": self.platform}
        return _TOKEN.sub(lambda token: values[token[1] or token[2]], text)


def effective_run_path(headers: BinaryHeaders) -> tuple[str, ...]:
    """Return the folders that the linker searches for a library: RUNPATH disables RPATH."""
    return headers.runpath or headers.rpath


def _chain(library: _Loaded) -> Iterator[_Loaded]:
    """Yield a library, its loader, the loader of that, and so on."""
    loaded: _Loaded | None = library
    while loaded:
        yield loaded
        loaded = loaded.loader
