"""Read the native code of a wheel in all formats, and check what does not depend on the system."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from verification.models.cause import Cause
from verification.models.inspection import Binary, Library, LibraryFormat
from verification.models.subject import Platform, PlatformTarget, Subject
from verification.rules.catalogue import catalogue
from verification.wheel import macho
from verification.wheel.archive import Archive, NativeContent, WheelMember
from verification.wheel.binary import format_of
from verification.wheel.errors import DebugFile, UnreadableBinary
from verification.wheel.identity import UNIVERSAL, WheelIdentity
from verification.wheel.library_names import (
    is_extension_module,
    is_library_name,
    is_same_library,
)
from verification.wheel.wording import byte_size, listing

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
    """The paths of the libraries that the package itself loads, in load order."""
    provided: frozenset[str] = frozenset()
    """The lower-case file names of the libraries in distributions that the wheel may depend on.

    A run path can lead to such a library, or the package can load it before its own code.
    """

    @property
    def target(self) -> PlatformTarget:
        """The system and processor of the tag."""
        return PlatformTarget.of(self.tag)

    @property
    def format(self) -> LibraryFormat | None:
        """The format of native code on the system; None if the system is unknown."""
        return _FORMATS.get(self.target.system)

    @cached_property
    def matching(self) -> tuple[Library, ...]:
        """The libraries that the system can load."""
        return tuple(library for library in self.libraries if self._is_loadable(library))

    def _is_loadable(self, library: Library) -> bool:
        if library.format != self.format:
            return False
        is_any_processor = library.format == "mach-o" and (
            library.machine == macho.UNIVERSAL or self.target.machine in UNIVERSAL
        )
        return is_any_processor or library.machine == self.target.machine

    @cached_property
    def absent(self) -> frozenset[str]:
        """The file names of the declared libraries that the wheel does not contain."""
        paths = {path for library in self.libraries for path in library.paths}
        present = {_fold_case(path, self.target) for path in paths}
        return frozenset(
            posixpath.basename(path)
            for path in self.declared
            if _fold_case(path, self.target) not in present
        )


def declared_paths(
    archive: Archive, platform: Platform | None, subject: Subject
) -> tuple[str, ...]:
    """Return the paths of the libraries that the platform's wheel must contain, in load order."""
    names = platform.libraries if platform else ()
    return tuple(_declared_path(archive, name, subject) for name in names)


def _declared_path(archive: Archive, name: str, subject: Subject) -> str:
    """Return the path of a declared library.

    Without a folder in the subject, it is the first path of the wheel that ends with the name: a
    module can be at the top level, and a library in a folder next to the package.
    """
    path = f"{subject.libs_path}/{name}"
    if subject.libs_dir or path in archive.installed:
        return path
    paths = (other for other in archive.installed if f"/{other}".endswith(f"/{name}"))
    return min(paths, key=lambda other: (other.count("/"), other), default=path)


def gather(archive: Archive, declared: Iterable[str]) -> tuple[list[Library], list[Cause]]:
    """Return the libraries of a wheel, and a cause for each file that cannot be loaded as one.

    The content of a file decides whether it is native code, because programs also need libraries.
    A file that starts like native code and cannot be read counts only if it has the name of a
    library. It may be test data, so the cause is a risk. It is not a risk if the package, Python
    or another library loads the file.
    """
    preferred = set(declared)
    files = _native_files(archive, preferred)
    declared_paths = {path.lower() for path in preferred}  # Windows ignores the case
    needed = _unmet_needs(files)

    def is_loaded(path: str) -> bool:
        is_needed = posixpath.basename(path).lower() in needed
        return is_needed or path.lower() in declared_paths or is_extension_module(path)

    libraries: list[Library] = []
    causes: list[Cause] = []
    for file in files:
        loaded = next(filter(is_loaded, file.paths), None)
        content = file.as_library() if loaded else file.content
        if isinstance(content, Binary):
            # Java classes start like Mach-O files.
            if file.has_library_name or content.format != "mach-o":
                libraries.append(file.library(content))
        elif loaded:
            causes.append(_unloadable(loaded, content, risk=content.risk))
        elif file.has_library_name and not isinstance(content, DebugFile):
            causes.append(_unloadable(file.paths[0], content, risk=True))
    causes += (
        _not_native(path, member)
        for path, member in archive.installed.items()
        if not member.native and is_loaded(path) and path.lower() not in declared_paths
    )
    return libraries, causes


def causes(
    archive: Archive,
    identity: WheelIdentity,
    subject: Subject,
    code: NativeCode,
    *,
    additional: bool = False,
) -> Iterator[Cause]:
    """Yield the causes of a wheel's libraries that do not depend on the system.

    An ``additional`` wheel for any platform can be without native code.
    """
    yield from _copies(code.libraries)
    yield from _build_files(archive)
    if identity.platform:
        yield from _absent(archive, code)
        yield from _wrong_architecture(code)
    elif identity.pure:
        yield from _pure(archive, subject, code.libraries, additional=additional)


@dataclass(frozen=True)
class _NativeFile:
    """A file that starts like native code."""

    member: WheelMember
    native: NativeContent
    paths: tuple[str, ...]
    """The install paths of the file, the declared path first."""

    @property
    def content(self) -> Binary | UnreadableBinary:
        """The contents of the headers, or the error if they cannot be read."""
        return self.native.binary

    @property
    def has_library_name(self) -> bool:
        """True if a path of the file has the name of a library."""
        return any(is_library_name(posixpath.basename(path)) for path in self.paths)

    def as_library(self) -> Binary | UnreadableBinary:
        """Return the contents of the headers, or the error if no process can load the file."""
        return self.native.program or self.content

    def library(self, binary: Binary) -> Library:
        """Return the library of the wheel with these headers."""
        sha256, size = self.member.sha256, self.member.size
        return Library(**dict(binary), paths=self.paths, sha256=sha256, size=size)


def _native_files(archive: Archive, preferred: Container[str]) -> list[_NativeFile]:
    """Return the native files of a wheel. Files with the same content are one native file."""
    copies: dict[str, list[str]] = defaultdict(list)
    for name, member in archive.files.items():
        if member.native:
            copies[member.sha256].append(name)
    files = []
    for names in copies.values():
        member = archive.files[names[0]]
        paths = sorted(
            map(archive.install_paths.__getitem__, names),
            key=lambda path: (path not in preferred, path),
        )
        if member.native:
            files.append(_NativeFile(member, member.native, tuple(paths)))
    return files


def _unmet_needs(files: Iterable[_NativeFile]) -> set[str]:
    """Return the lower-case names that libraries need and that no readable file has."""
    needed: set[str] = set()
    present: set[str] = set()
    for file in files:
        if isinstance(file.content, Binary):
            needed.update(file.content.needed, file.content.delayed)
            present.update(map(posixpath.basename, file.paths), filter(None, [file.content.soname]))
    return {name.lower() for name in needed} - {name.lower() for name in present}


def _unloadable(path: str, error: UnreadableBinary, *, risk: bool) -> Cause:
    message = f"cannot be loaded as a library: {error}"
    return catalogue().cause(error.cause, path, message, risk=risk)


def _not_native(path: str, member: WheelMember) -> Cause:
    message = f"is not a native library ({member.size} bytes)"
    return catalogue().cause("damaged-library", path, message, bytes=member.size)


def _copies(libraries: Iterable[Library]) -> Iterator[Cause]:
    for library in libraries:
        if (count := len(library.paths)) > 1:
            message = f"is in the wheel {count} times with {byte_size(library.size)} each,"
            message += f" also as {listing(library.paths[1:])}"
            yield catalogue().cause(
                "duplicate-library",
                library.path,
                message,
                count=count,
                bytes=library.size,
            )


def _pure(
    archive: Archive, subject: Subject, libraries: Iterable[Library], *, additional: bool
) -> Iterator[Cause]:
    folder = f"{subject.libs_path}/" if subject.libs_dir else ""
    native = next(
        (
            path
            for library in libraries
            for path in library.paths
            if path.startswith(folder) and is_library_name(posixpath.basename(path))
        ),
        None,
    )
    if native:
        message = f"has a tag for any platform, but contains the native library {native}"
        yield catalogue().cause("tag-mismatch", archive.name, message, native=native)
    elif not additional:
        where = f" in {folder}" if folder else ""
        yield _missing(archive.name, f"is a pure wheel without a native library{where}")


def _build_files(archive: Archive) -> Iterator[Cause]:
    """Yield one note for the object files and static archives of a wheel."""
    installed = archive.installed
    files = sorted(path for path, file in installed.items() if is_build_file(path, file.start))
    if files:
        size = byte_size(sum(installed[path].size for path in files))
        message = f"has {len(files)} files for a linker ({size}): {listing(files)}"
        yield catalogue().cause("build-file", archive.name, message, files=tuple(files))


def is_build_file(path: str, start: bytes) -> bool:
    """Return whether a file with these first bytes is an object file or a static archive.

    An archive has the magic of ar(5); an import library of Windows as well. An ELF or Mach-O file
    has its type in the header (System V ABI; Apple's mach-o/loader.h). An object file of Windows
    starts with the processor (Microsoft's PE Format).
    """
    name = posixpath.basename(path).lower()
    if is_library_name(name):
        return False  # `gather` reports it if it cannot be loaded
    if start.startswith((b"!<arch>\n", b"!<thin>\n")):
        return True
    match format_of(start):
        case "elf":
            return start[16:18] in (b"\1\0", b"\0\1")
        case "mach-o":
            return start[12:16] == b"\1\0\0\0"
        case _:
            is_object = start.startswith((b"\x64\x86", b"\x4c\x01", b"\x64\xaa"))
            return is_object and name.endswith((".o", ".obj"))


def _absent(archive: Archive, code: NativeCode) -> Iterator[Cause]:
    target = code.target
    present = {_fold_case(path, target) for path in archive.install_paths.values()}
    members = {_fold_case(path, target): file for path, file in archive.installed.items()}
    for path in code.declared:
        folded = _fold_case(path, target)
        if folded not in present:
            yield _wrong_path(path, code) or _missing(path, "is not in the wheel")
        elif (member := members.get(folded)) and not member.native:
            yield _not_native(path, member)


def _wrong_path(declared: str, code: NativeCode) -> Cause | None:
    """Return a cause if the wheel has a declared library under another path."""
    name = posixpath.basename(declared)
    for library in code.matching:
        for path in library.paths:
            if path not in code.declared and is_same_library(posixpath.basename(path), name):
                message = f"is not in the wheel; the wheel has this library as {path}"
                return catalogue().cause(
                    "wrong-load-path", declared, message, sought=declared, path=path
                )
    return None


def _wrong_architecture(code: NativeCode) -> Iterator[Cause]:
    if code.format is None:
        return  # `identity` reports a tag of an unknown system
    for library in code.libraries:
        if library in code.matching:
            continue
        if library.format == code.format or set(code.declared) & set(library.paths):
            message = f"is {library.format.upper()} code for {library.machine}, but the wheel is"
            message += f" for {code.tag}"
            yield catalogue().cause(
                "wrong-architecture",
                library.path,
                message,
                format=library.format,
                machine=library.machine,
            )


def _missing(where: str, message: str) -> Cause:
    return catalogue().cause("missing-bundled-library", where, message)


def _fold_case(path: str, target: PlatformTarget) -> str:
    """Return a path in the form that a target compares: Windows ignores the case."""
    return path.lower() if target.system == "windows" else path
