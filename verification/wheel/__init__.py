"""The static layer: what is wrong with a wheel, seen without running it.

Gathers all faults and never stops at the first. What could not be checked is listed as
unverified, and so never mistaken for checked and good.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename

from verification.models.cause import Cause, in_order
from verification.models.subject import Platform, Subject, Target
from verification.rules.catalogue import catalogue
from verification.wheel import contents, elf, pe
from verification.wheel import entry_points as entries
from verification.wheel import tags as identity
from verification.wheel.archive import Archive, BadWheel, open_wheel
from verification.wheel.libraries import FORMATS, Library, UnreadableLibrary, format_of, some
from verification.wheel.tags import Identity, identify

__all__ = ["BadWheel", "Inspection", "Library", "SetInspection", "inspect", "inspect_set"]


@dataclass(frozen=True)
class Inspection:
    """What a wheel is, and everything that is wrong with it."""

    file: str
    sha256: str
    size: int
    name: str
    version: str
    tags: tuple[str, ...]
    platform: str | None  # the subject's platform it is for
    requires_python: str | None
    requires: tuple[str, ...]
    libraries: tuple[Library, ...]
    files: tuple[str, ...]
    unverified: tuple[str, ...]  # what could not be checked, and why
    causes: tuple[Cause, ...]
    extras: tuple[str, ...] = ()
    beside: bool = False
    """Whether it is for more than was promised, beside one that keeps the promise."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The digests of the package's own code, as `contents.sources` has them."""

    @property
    def unread(self) -> tuple[str, ...]:
        """The native code that could not be read, and why; of modules the machines tell."""
        return tuple(_unread(self.libraries))

    def names(self, *severities: str) -> frozenset[str]:
        """Return the names of the causes, of these severities or of all."""
        return frozenset(
            cause.name for cause in self.causes if not severities or cause.severity in severities
        )

    def to_dict(self) -> dict[str, object]:
        """Return the inspection as JSON-able data."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "size": self.size,
            "name": self.name,
            "version": self.version,
            "tags": list(self.tags),
            "platform": self.platform,
            "requires_python": self.requires_python,
            "requires": list(self.requires),
            "libraries": [library.to_dict() for library in self.libraries],
            "files": list(self.files),
            "unverified": list(self.unverified),
            "causes": [
                cause.model_dump(mode="json", exclude={"facts", "follows"}) for cause in self.causes
            ],
        }


@dataclass(frozen=True)
class SetInspection:
    """The wheels of one release, and what is wrong with them as a set."""

    wheels: tuple[Inspection, ...]
    own_causes: tuple[Cause, ...]

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes of the set and of its wheels together."""
        return in_order([*self.own_causes, *(c for wheel in self.wheels for c in wheel.causes)])

    def to_dict(self) -> dict[str, object]:
        """Return the inspection as JSON-able data; `causes` are those of the set as a whole."""
        return {
            "wheels": [wheel.to_dict() for wheel in self.wheels],
            "causes": [
                cause.model_dump(mode="json", exclude={"facts", "follows"})
                for cause in self.own_causes
            ],
        }


Modules = Mapping[NormalizedName, frozenset[str]]


def modules_of(wheels: Iterable[Path]) -> dict[NormalizedName, frozenset[str]]:
    """Return the top-level modules of each of these wheels, by the name of the distribution."""
    found = {}
    for path in wheels:
        if path.suffix != ".whl":
            continue
        with zipfile.ZipFile(path) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist()}
        found[parse_wheel_filename(path.name)[0]] = frozenset(
            top.partition(".")[0] for top in tops if not top.endswith((".dist-info", ".libs"))
        )
    return found


def inspect(
    wheel: Path, *, subject: Subject, modules: Modules | None = None, beside: bool = False
) -> Inspection:
    """Inspect one wheel; ``modules`` are those of what it may depend on.

    A wheel that is ``beside`` one that keeps the subject's promise is judged by its own tags.

    Raises:
        BadWheel: if the file is no wheel at all: absent, truncated, or no zip archive.
    """
    archive = open_wheel(wheel)
    if beside:
        subject = identity.for_its_own(wheel.name, subject)
    ident = identify(archive, subject)
    expected = _expected_paths(ident.platform, subject)
    causes: list[Cause] = []
    unverified: list[str] = []

    libraries = []
    for library in contents.gather(archive, expected):
        try:
            libraries.append(_read(library, archive))
        except UnreadableLibrary as error:
            if not library.named:
                continue
            seen = f"is no library that can be loaded: {error}"
            causes.append(
                catalogue().cause("missing-bundled-library", where=library.path, seen=seen)
            )

    causes += identity.faults(archive, ident, subject, beside=beside)
    causes += contents.record(archive)
    causes += contents.windows_names(archive, ident)
    causes += contents.collisions(archive, ident)
    causes += contents.stray(archive, ident, subject, modules or {})
    causes += contents.stray_files(archive)
    causes += contents.private_files(archive)
    causes += entries.faults(archive, subject)
    causes += contents.copies(tuple(libraries))
    for finding in contents.modules(archive, ident, subject, modules or {}):
        if isinstance(finding, Cause):
            causes.append(finding)
        else:
            unverified.append(finding)
    causes += _absent_libraries(archive, ident, libraries, subject)
    causes += _library_faults(ident, libraries, expected, subject)
    unverified += _unread(libraries)
    return Inspection(
        file=archive.name,
        sha256=archive.sha256,
        size=archive.size,
        name=ident.name,
        version=ident.version,
        tags=tuple(sorted(map(str, ident.tags))),
        platform=ident.platform.tag if ident.platform else None,
        requires_python=str(requires) if (requires := ident.metadata["Requires-Python"]) else None,
        requires=tuple(map(str, ident.metadata.get_all("Requires-Dist", ()))),
        libraries=tuple(libraries),
        files=archive.names,
        unverified=tuple(unverified),
        causes=in_order(_named(causes, archive.name) if beside else causes),
        extras=tuple(map(str, ident.metadata.get_all("Provides-Extra", ()))),
        beside=beside,
        sources=contents.sources(archive, subject),
    )


def _named(causes: Iterable[Cause], wheel: str) -> Iterator[Cause]:
    """Yield the causes with the wheel that each is of, where there are several for a platform."""
    for cause in causes:
        told = cause.where == wheel or wheel in cause.where
        yield cause if told else cause.model_copy(update={"where": f"{wheel}: {cause.where}"})


def inspect_set(
    wheels: Iterable[Path], *, subject: Subject, modules: Modules | None = None
) -> SetInspection:
    """Inspect the wheels of one release, each alone and all together.

    Raises:
        BadWheel: if one of the files is no wheel at all.
    """
    paths = tuple(wheels)
    others = _beside([path.name for path in paths], subject)
    inspections = tuple(
        inspect(path, subject=subject, modules=modules, beside=path.name in others)
        for path in paths
    )
    return SetInspection(inspections, in_order(_set_faults(inspections, subject)))


def _beside(names: Sequence[str], subject: Subject) -> frozenset[str]:
    """Return the wheels that keep no promise, where another of the set keeps it."""
    kept = {platform for name in names if (platform := identity.promised(name, subject))}
    found = set()
    for name in names:
        with contextlib.suppress(InvalidWheelFilename):
            tags = parse_wheel_filename(name)[3]
            own = {identity.kin(tag.platform, subject.platforms) for tag in tags}
            if own <= kept and not identity.promised(name, subject):
                found.add(name)
    return frozenset(found)


def _set_faults(wheels: tuple[Inspection, ...], subject: Subject) -> Iterator[Cause]:
    where = f"release of {subject.name}"
    versions = sorted({wheel.version for wheel in wheels})
    if len(versions) > 1:
        seen = f"holds wheels of {len(versions)} versions: {', '.join(versions)}"
        yield catalogue().cause("version-mismatch", where=where, seen=seen)
    name = "incomplete-release"
    groups: dict[str | None, list[Inspection]] = defaultdict(list)
    for wheel in wheels:
        groups[wheel.platform].append(wheel)
    for stranger in groups.pop(None, ()):
        seen = "is for no platform of the release"
        yield catalogue().cause(name, where=stranger.file, seen=seen)
    for platform in subject.platforms:
        own = groups.get(platform.tag, [])
        if platform.required and not own:
            seen = f"holds no wheel for {platform.tag}"
            yield catalogue().cause(name, where=where, seen=seen)
    for own in groups.values():
        same: dict[str, list[str]] = defaultdict(list)
        for wheel in own:
            for tag in wheel.tags:
                same[tag].append(wheel.file)
        for tag, files in same.items():
            if len(files) > 1:
                seen = f"holds {len(files)} wheels for {tag}: {', '.join(sorted(files))}"
                yield catalogue().cause(name, where=where, seen=seen)
                break
    if len(versions) == 1:
        known = [wheel for wheel in wheels if wheel.platform]
        # The promised ones are what the others are held against.
        yield from _differences(sorted(known, key=lambda wheel: wheel.beside))


def _differences(wheels: Sequence[Inspection]) -> Iterator[Cause]:
    """Yield where a wheel is not of one source with the first."""
    for other in wheels[1:]:
        for seen in _differing(wheels[0], other):
            yield catalogue().cause("wheels-differ", where=other.file, seen=seen)


def _differing(first: Inspection, other: Inspection) -> Iterator[str]:
    for field_name, one, two in (
        ("Requires-Dist", first.requires, other.requires),
        ("Requires-Python", (first.requires_python,), (other.requires_python,)),
        ("Provides-Extra", first.extras, other.extras),
    ):
        if differing := {_plain(text) for text in one} ^ {_plain(text) for text in two}:
            yield f"has another {field_name} than {first.file} ({some(sorted(differing))})"
    both = first.sources.keys() & other.sources.keys()
    if changed := sorted(path for path in both if first.sources[path] != other.sources[path]):
        yield f"has other code than {first.file} in {some(changed)}"
    absent = sorted(filter(contents.is_public, first.sources.keys() - other.sources.keys()))
    if absent:
        yield f"has no {some(absent)}, which {first.file} has"
    added = sorted(filter(contents.is_public, other.sources.keys() - first.sources.keys()))
    if added:
        yield f"has {some(added)}, which {first.file} has not"


def _plain(text: str | None) -> str:
    """Return what a line of METADATA asks for, however it is written."""
    return re.sub(r"\s+|[()]", "", text or "nothing").replace("'", '"')


def _expected_paths(platform: Platform | None, subject: Subject) -> tuple[str, ...]:
    names = platform.libraries if platform else ()
    return tuple(f"{subject.libs_path}/{name}" for name in names)


def _read(library: Library, archive: Archive) -> Library:
    data = archive.installed[library.path]
    match library.format:
        case "elf":
            return elf.read(library, data)
        case "pe":
            return pe.read(library, data)
        case _:
            return library


def _absent_libraries(
    archive: Archive, ident: Identity, libraries: list[Library], subject: Subject
) -> Iterator[Cause]:
    name = "missing-bundled-library"
    if ident.platform is None:
        native = [library for library in libraries if library.path.startswith(subject.libs_path)]
        if ident.pure and native:
            seen = f"is tagged for any platform and carries {native[0].path}"
            yield catalogue().cause("tag-mismatch", where=archive.name, seen=seen)
        elif ident.pure:
            seen = f"is a pure wheel without anything native in {subject.libs_path}/"
            yield catalogue().cause(name, where=archive.name, seen=seen)
        return
    fold = ident.platform.target.system == "windows"
    there = {_folded(place, fold=fold) for place in archive.places.values()}
    for path in _expected_paths(ident.platform, subject):
        if _folded(path, fold=fold) not in there:
            yield catalogue().cause(name, where=path, seen="is not in the wheel")
        elif path in archive.installed and format_of(archive.installed[path]) is None:
            size = len(archive.installed[path])
            seen = f"is no native library ({size} bytes)"
            yield catalogue().cause(name, where=path, seen=seen)


def _folded(path: str, *, fold: bool) -> str:
    """Return a path as the platform compares it: Windows does not look at the case."""
    return path.lower() if fold else path


def _library_faults(
    ident: Identity, libraries: list[Library], expected: tuple[str, ...], subject: Subject
) -> Iterator[Cause]:
    if ident.platform is None:
        return
    tag = ident.platform_tag
    target = Target.of(tag)
    right = []
    for library in libraries:
        if (library.format, library.machine) == (FORMATS[target.system], target.machine):
            right.append(library)
        elif library.format == "mach-o" == FORMATS[target.system]:
            continue
        elif library.format == FORMATS[target.system] or set(expected) & set(library.paths):
            seen = f"is {library.format.upper()} code for {library.machine}, in a wheel for {tag}"
            yield catalogue().cause("wrong-architecture", where=library.path, seen=seen)
    held = {path for library in libraries for path in library.paths}
    fold = target.system == "windows"
    there = {_folded(path, fold=fold) for path in held}
    absent = [
        posixpath.basename(path) for path in expected if _folded(path, fold=fold) not in there
    ]
    match target.system:
        case "linux" | "musl":
            yield from elf.faults(
                right, carried=libraries, absent=absent, loaded=expected, target=target, tag=tag
            )
            yield from elf.interposition(right, subject.embedded)
        case "windows":
            # delvewheel puts its libraries in a folder beside the package, and tells Windows.
            repaired = {
                folder for path in held if (folder := posixpath.dirname(path)).endswith(".libs")
            }
            yield from pe.faults(
                right,
                carried=libraries,
                absent=absent,
                folders=(subject.libs_path, *sorted(repaired)),
                tag=tag,
                python=subject.python,
                abi=_abi(ident, subject),
            )
        case _:
            pass


def _abi(ident: Identity, subject: Subject) -> str:
    """Return the ABI whose own library a Python brings: with a t where it is free-threaded."""
    threaded = any(tag.abi == f"{subject.python}t" for tag in ident.tags)
    return f"{subject.python}t" if threaded else subject.python


def _unread(libraries: Sequence[Library]) -> Iterator[str]:
    for library in libraries:
        if library.unread:
            yield f"{library.path}: {library.unread}"
        if library.format == "mach-o":
            yield f"{library.path}: what a Mach-O library needs is not read"
