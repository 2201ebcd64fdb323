"""Compare the model of the dynamic linker with the dynamic linker of this host.

Install wheels into a folder (``pip install --target FOLDER lxml numpy ...``), and run
``python3 -m tests.benchmarks.linker FOLDER ...`` in the root folder of the repository, in the
environment of the suite. The host must be an x86-64 Linux with glibc. For each library in the
folders, ``ld.so`` with ``LD_TRACE_LOADED_OBJECTS`` (see ldd(1)) and the model must load the same
files in the same order, and must miss the same libraries.

The exit code is 0 if they agree on every library, 1 otherwise, and 4 without a library.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from verification.models.errors import ExitCode
from verification.models.inspection import BinaryHeaders
from verification.wheel import elf
from verification.wheel.binary import format_of
from verification.wheel.errors import UnreadableBinary
from verification.wheel.linker import Linker, Process

_LINKER = "/lib64/ld-linux-x86-64.so.2"
_CACHED = re.compile(r"\s+(\S+) \(libc6,x86-64[^)]*\) => (\S+)")  # ldconfig -p
_LISTED = re.compile(r"\s+(\S+) => (?:(not found)|(\S+) \(0x\w+\))")  # ld.so


class Loaded(NamedTuple):
    """What a dynamic linker loads for one library."""

    paths: tuple[str, ...]
    """The paths of the loaded libraries, in loading order, without the linker itself."""
    missing: frozenset[str]
    """The names of the libraries that it does not find."""


class HostHeaders(Mapping[str, BinaryHeaders]):
    """The headers of the x86-64 libraries of this host, by path."""

    def __getitem__(self, path: str) -> BinaryHeaders:
        """Return the headers of the library at this path."""
        if headers := _headers(path):
            return headers
        raise KeyError(path)

    def __iter__(self) -> Iterator[str]:
        """Raise an error: the libraries of a host cannot be listed."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Raise an error: the libraries of a host cannot be listed."""
        raise NotImplementedError


@functools.cache
def _headers(path: str) -> BinaryHeaders | None:
    try:
        data = Path(path).read_bytes()
        headers = elf.read(data) if format_of(data) == "elf" else None
    except (OSError, UnreadableBinary):
        return None
    return headers if headers and headers.machine == "x86_64" else None


def host_linker() -> Linker:
    """Return the model of the dynamic linker with the libraries of this host."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    system: dict[str, str] = {}
    for name, path in _CACHED.findall(cache.stdout):
        system.setdefault(name, path)
    return Linker(HostHeaders(), system.get)


def modelled(path: str, linker: Linker) -> Loaded:
    """Return what the model loads for the library at a path."""
    opened = linker.open(path, Process())
    paths = (loaded for loaded in opened.paths[1:] if not _is_linker(loaded))
    return Loaded(tuple(paths), frozenset(need.name for need in opened.missing))


def listed(path: str) -> Loaded:
    """Return what the dynamic linker of this host loads for the library at a path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LD_")}
    output = subprocess.run(
        [_LINKER, path],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "LD_TRACE_LOADED_OBJECTS": "1"},
    ).stdout
    return parse_list(output)


def parse_list(output: str) -> Loaded:
    """Return what the output of ``LD_TRACE_LOADED_OBJECTS=1 ld.so`` lists."""
    paths, missing = [], set()
    for name, is_missing, path in _LISTED.findall(output):
        if is_missing:
            missing.add(name)
        elif not _is_linker(path):
            paths.append(posixpath.normpath(path))
    return Loaded(tuple(paths), frozenset(missing))


def _is_linker(path: str) -> bool:
    return posixpath.basename(path) == posixpath.basename(_LINKER)


def libraries_in(folder: Path) -> list[str]:
    """Return the paths of the shared libraries in a folder."""
    paths = sorted(str(path) for path in folder.resolve().rglob("*.so*") if path.is_file())
    return [path for path in paths if _headers(path)]


def main(arguments: Sequence[str]) -> int:
    """Compare the libraries in these folders, and print the differences and the numbers."""
    linker, agreements, libraries, run_paths, bundled = host_linker(), 0, 0, 0, 0
    for folder in map(Path, arguments):
        root = f"{folder.resolve()}/"
        for path in libraries_in(folder):
            expected, actual = listed(path), modelled(path, linker)
            libraries += 1
            headers = linker.headers[path]
            run_paths += bool(headers.rpath or headers.runpath)
            bundled += sum(loaded.startswith(root) for loaded in expected.paths)
            if expected == actual:
                agreements += 1
            else:
                print(f"{path}:\n  ld.so: {expected}\n  model: {actual}")
    print(f"{agreements} of {libraries} libraries agree; {run_paths} have a run path;", end=" ")
    print(f"they load {bundled} libraries from the folders")
    if not libraries:
        return ExitCode.WRONG_USE
    return ExitCode.VERIFIED if agreements == libraries else ExitCode.PACKAGE_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
