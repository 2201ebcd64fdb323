"""The native code of a wheel, in any format."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from verification.models.cause import Cause
from verification.models.inspection import Binary, Library, LibraryFormat
from verification.models.subject import Platform, Subject, Target
from verification.rules.catalogue import catalogue
from verification.wheel import elf, pe
from verification.wheel.archive import Archive
from verification.wheel.errors import DebugFile, UnreadableBinary
from verification.wheel.identity import WheelIdentity
from verification.wheel.library_names import base_name
from verification.wheel.wording import byte_size, listing

_MAGIC: dict[bytes, LibraryFormat] = {
    b"\x7fELF": "elf",
    b"MZ": "pe",
    b"\xcf\xfa\xed\xfe": "mach-o",
    b"\xca\xfe\xba\xbe": "mach-o",
}
_LIBRARY_NAME = re.compile(r"\.(so(\.[\w.]+)?|dll|pyd|dylib)$")

_FORMATS: dict[str, LibraryFormat] = {
    "linux": "elf",
    "musl": "elf",
    "windows": "pe",
    "macos": "mach-o",
}


@dataclass(frozen=True)
class NativeCode:
    """The libraries of a wheel for one platform."""

    libraries: tuple[Library, ...]
    tag: str
    """The wheel's platform tag."""
    declared: tuple[str, ...]
    """The paths of the libraries that the package loads by itself, in this order."""

    @property
    def target(self) -> Target:
        """The system and processor of the tag."""
        return Target.of(self.tag)

    @property
    def format(self) -> LibraryFormat | None:
        """The format of native code on that system; None where it is not known."""
        return _FORMATS.get(self.target.system)

    @cached_property
    def matching(self) -> tuple[Library, ...]:
        """The libraries that the system can load."""
        expected = (self.format, self.target.machine)
        return tuple(
            library for library in self.libraries if (library.format, library.machine) == expected
        )

    @cached_property
    def absent(self) -> frozenset[str]:
        """The file names of the declared libraries that the wheel does not have."""
        paths = {path for library in self.libraries for path in library.paths}
        present = {_fold_case(path, self.target) for path in paths}
        return frozenset(
            posixpath.basename(path)
            for path in self.declared
            if _fold_case(path, self.target) not in present
        )


def declared_paths(platform: Platform | None, subject: Subject) -> tuple[str, ...]:
    """Return the paths of the libraries that a platform's wheel must have, in load order."""
    names = platform.libraries if platform else ()
    return tuple(f"{subject.libs_path}/{name}" for name in names)


def gather(archive: Archive, declared: Iterable[str]) -> tuple[list[Library], list[Cause]]:
    """Return the libraries of a wheel, each once, and a cause for each that cannot be loaded.

    A file is native code by its content, whatever its name: programs need libraries as well. A
    file that only begins like native code counts if it is named like a library.
    """
    preferred = set(declared)
    libraries: list[Library] = []
    causes: list[Cause] = []
    for data, names in _native_files(archive).items():
        paths = sorted(names, key=lambda path: (path not in preferred, path))
        is_named = any(_LIBRARY_NAME.search(posixpath.basename(path).lower()) for path in paths)
        try:
            binary = _read(data)
        except DebugFile:
            continue
        except UnreadableBinary as error:
            if is_named:
                observed = f"is no library that can be loaded: {error}"
                causes.append(
                    catalogue().cause(
                        error.cause, where=paths[0], observed=observed, risk=error.risk
                    )
                )
            continue
        if is_named or binary.format != "mach-o":  # Java classes begin like Mach-O
            digest = hashlib.sha256(data).hexdigest()
            libraries.append(
                Library(**dict(binary), paths=tuple(paths), sha256=digest, size=len(data))
            )
    return libraries, causes


def faults(
    archive: Archive, identity: WheelIdentity, subject: Subject, code: NativeCode
) -> Iterator[Cause]:
    """Yield what is wrong with the libraries of a wheel, whatever its platform."""
    yield from _copies(code.libraries)
    if identity.platform:
        yield from _absent(archive, code)
        yield from _wrong_architecture(code)
    elif identity.pure:
        yield from _pure(archive, subject, code.libraries)


def _native_files(archive: Archive) -> dict[bytes, list[str]]:
    """Return where each native file is installed, by its content."""
    found: dict[bytes, list[str]] = defaultdict(list)
    for name, data in archive.files.items():
        if format_of(data):
            found[data].append(archive.install_paths[name])
    return found


def format_of(data: bytes) -> LibraryFormat | None:
    """Return the format of native code by its first bytes, or None for other data."""
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _read(data: bytes) -> Binary:
    match format_of(data):
        case "elf":
            return elf.read(data)
        case "pe":
            return pe.read(data)
        case _:
            return Binary(format="mach-o", unread="what a Mach-O library needs is not read")


def _copies(libraries: Iterable[Library]) -> Iterator[Cause]:
    for library in libraries:
        if (count := len(library.paths)) > 1:
            observed = f"is in the wheel {count} times, {byte_size(library.size)} each"
            observed += f" (also as {listing(library.paths[1:])})"
            yield catalogue().cause(
                "duplicate-library",
                where=library.path,
                observed=observed,
                count=count,
                bytes=library.size,
            )


def _pure(archive: Archive, subject: Subject, libraries: Iterable[Library]) -> Iterator[Cause]:
    folder = f"{subject.libs_path}/"
    native = next((library.path for library in libraries if library.path.startswith(folder)), None)
    if native:
        observed = f"is tagged for any platform and carries {native}"
        yield catalogue().cause("tag-mismatch", where=archive.name, observed=observed)
    else:
        yield _missing(archive.name, f"is a pure wheel without anything native in {folder}")


def _absent(archive: Archive, code: NativeCode) -> Iterator[Cause]:
    target = code.target
    present = {_fold_case(path, target) for path in archive.install_paths.values()}
    contents = {_fold_case(path, target): data for path, data in archive.installed.items()}
    for path in code.declared:
        folded = _fold_case(path, target)
        if folded not in present:
            yield _elsewhere(path, code) or _missing(path, "is not in the wheel")
        elif folded in contents and format_of(contents[folded]) is None:
            observed = f"is no native library ({len(contents[folded])} bytes)"
            yield catalogue().cause("damaged-library", where=path, observed=observed)


def _elsewhere(declared: str, code: NativeCode) -> Cause | None:
    """Return a cause if the wheel has a declared library under another path."""
    name = base_name(posixpath.basename(declared))
    for library in code.matching:
        for path in library.paths:
            if path not in code.declared and base_name(posixpath.basename(path)) == name:
                observed = f"is not in the wheel, which has it as {path}"
                return catalogue().cause(
                    "wrong-load-path", where=declared, observed=observed, sought=declared, path=path
                )
    return None


def _wrong_architecture(code: NativeCode) -> Iterator[Cause]:
    if code.format is None:
        return  # `identity` has a cause for a tag of an unknown system
    for library in code.libraries:
        if library in code.matching or library.format == "mach-o" == code.format:
            continue  # the processor of a Mach-O library is not read
        if library.format == code.format or set(code.declared) & set(library.paths):
            observed = f"is {library.format.upper()} code for {library.machine}"
            observed += f", in a wheel for {code.tag}"
            yield catalogue().cause(
                "wrong-architecture", where=library.path, observed=observed, machine=library.machine
            )


def _missing(where: str, observed: str) -> Cause:
    return catalogue().cause("missing-bundled-library", where=where, observed=observed)


def _fold_case(path: str, target: Target) -> str:
    """Return a path as its system compares it: Windows ignores the case."""
    return path.lower() if target.system == "windows" else path
