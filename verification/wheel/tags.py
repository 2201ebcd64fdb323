"""What a wheel says it is: file name, WHEEL and METADATA, and whether they agree."""

from __future__ import annotations

import email
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from verification.models.cause import Cause
from verification.models.subject import Platform, Subject, Target
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.libraries import some

_PATCHES = range(100)
"""Of a Python, up to one later than any that is made: a release is for all of them."""
_SYS_PLATFORM = {"windows": "win32", "macos": "darwin"}


@dataclass(frozen=True)
class Identity:
    """What a wheel says it is. The file name counts where it can be read: installers go by it."""

    name: str
    version: str
    tags: frozenset[Tag]
    metadata: Message
    platform: Platform | None

    @property
    def platform_tag(self) -> str:
        """The wheel's platform tag; of several, the one for the oldest systems."""
        return min((tag.platform for tag in self.tags), key=_age, default="unknown")

    @property
    def pure(self) -> bool:
        """Whether the tags let every platform take the wheel."""
        return any(tag.platform == "any" for tag in self.tags)

    def dependencies(self, subject: Subject) -> frozenset[NormalizedName]:
        """Return the declared dependencies that hold on the wheel's own platform.

        On every patch release of the Python: a machine has the one that it has.
        """
        system = Target.of(self.platform_tag).system
        version = ".".join(map(str, subject.python_version))
        environment = {
            "extra": "",
            "python_version": version,
            "sys_platform": _SYS_PLATFORM.get(system, "linux"),
            "platform_system": {"windows": "Windows", "macos": "Darwin"}.get(system, "Linux"),
            "os_name": "nt" if system == "windows" else "posix",
            "platform_machine": _machine(self.platform_tag),
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        return frozenset(
            canonicalize_name(requirement.name)
            for requirement in _requirements(self.metadata)
            if requirement.marker is None or _holds(requirement.marker, environment)
        )


def _holds(marker: Marker, environment: Mapping[str, str]) -> bool:
    asks = re.search("python_full_version|implementation_version", str(marker))
    versions = (f"{environment['python_version']}.{patch}" for patch in _PATCHES)
    return all(
        marker.evaluate(
            {**environment, "python_full_version": version, "implementation_version": version}
        )
        for version in (versions if asks else [next(versions)])
    )


def _machine(platform_tag: str) -> str:
    """Return what `platform.machine()` says there; Windows has names of its own."""
    target = Target.of(platform_tag)
    if target.system == "windows":
        return {"x86_64": "AMD64", "aarch64": "ARM64", "i686": "x86"}.get(
            target.machine, target.machine
        )
    return "arm64" if target == Target(system="macos", machine="aarch64") else target.machine


def identify(archive: Archive, subject: Subject) -> Identity:
    """Read what the wheel says it is; what cannot be read is taken from the next best source."""
    metadata = _message(archive, "METADATA")
    tags = tags_of(_wheel_tags(archive))
    name, version = str(metadata.get("Name", "unknown")), str(metadata.get("Version", "unknown"))
    try:
        file_name, file_version, _, tags = parse_wheel_filename(archive.name)
    except InvalidWheelFilename:
        pass
    else:
        name, version = str(file_name), str(file_version)
    fitting = (subject.platform_for(tag.platform) for tag in sorted(tags, key=str))
    return Identity(name, version, tags, metadata, next(filter(None, fitting), None))


def promised(name: str, subject: Subject) -> Platform | None:
    """Return the platform whose promise a wheel of this file name keeps, if it keeps one."""
    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return None
    for tag in sorted(tags & _accepted(subject, {tag.platform for tag in tags}), key=str):
        platform = subject.platform_for(tag.platform)
        if platform and not _is_newer(tag.platform, platform):
            return platform
    return None


def kin(tag: str, platforms: Iterable[Platform]) -> Platform | None:
    """Return which of these platforms a tag is for; of one for musl, the one for glibc."""
    own = re.sub("^musllinux_", "manylinux_", tag)
    return next((platform for platform in platforms if platform.fits(own)), None)


def for_its_own(name: str, subject: Subject) -> Subject:
    """Return the subject as it is for the CPython and the C library of a wheel of this name."""
    tags = parse_wheel_filename(name)[3]
    own = [tag for tag in tags if re.fullmatch(r"cp3\d+", tag.interpreter)]
    first = min(own, key=str, default=None)
    python = first.interpreter if first else subject.python
    if tags & _accepted(subject, {tag.platform for tag in tags}):
        python = subject.python  # of an abi3 wheel, its tag names the oldest alone
    abi = first.abi if first and first.abi.startswith(python) else python
    musl = [
        platform.model_copy(update={"tag": tag})
        for tag in sorted({tag.platform for tag in tags})
        if Target.of(tag).system == "musl" and (platform := kin(tag, subject.platforms))
    ]

    def renamed(platform: Platform) -> Platform:
        # PEP 3149: an extension module has the ABI and the system in its name.
        changes = {
            f".{subject.python.replace('cp', prefix)}-": f".{abi.replace('cp', prefix)}-"
            for prefix in ("cp", "cpython-")
        }
        # Before 3.11 CPython did not tell musl from glibc (its issue 43112).
        if platform.target.system == "musl" and int(python.removeprefix("cp3")) >= 11:
            changes["-linux-gnu."] = "-linux-musl."
        libraries = platform.libraries
        for old, new in changes.items():
            libraries = tuple(library.replace(old, new) for library in libraries)
        return platform.model_copy(update={"libraries": libraries})

    platforms = tuple(renamed(platform) for platform in (*musl, *subject.platforms))
    return subject.model_copy(update={"python": python, "platforms": platforms})


def faults(
    archive: Archive, identity: Identity, subject: Subject, *, beside: bool = False
) -> Iterator[Cause]:
    """Yield where the file name, WHEEL and METADATA disagree, or do not fit the subject.

    A wheel that is ``beside`` one that keeps the promise may be for more than was promised.
    """
    yield from _names(archive, identity, subject)
    yield from _tags(archive, identity)
    yield from _python(archive, identity, subject, beside=beside)
    yield from _platforms(archive, identity, subject, beside=beside)
    yield from _completeness(archive, identity)


def _names(archive: Archive, identity: Identity, subject: Subject) -> Iterator[Cause]:
    name = "version-mismatch"
    metadata = identity.metadata
    if archive.metadata_file("METADATA") is None:
        yield catalogue().cause(name, where=archive.name, seen="has no METADATA")
    else:
        told = str(metadata.get("Name", "")), str(metadata.get("Version", ""))
        if canonicalize_name(told[0]) != canonicalize_name(identity.name):
            seen = f"is named {identity.name}, and METADATA names {told[0] or 'nothing'}"
            yield catalogue().cause(name, where=archive.name, seen=seen)
        if _version(told[1]) != _version(identity.version):
            seen = f"is version {identity.version}, and METADATA says {told[1] or 'none'}"
            yield catalogue().cause(name, where=archive.name, seen=seen)
    if canonicalize_name(identity.name) != canonicalize_name(subject.name):
        seen = f"is a wheel of {identity.name}, not of {subject.name}"
        yield catalogue().cause(name, where=archive.name, seen=seen)
    if len(archive.dist_infos) > 1:
        seen = f"has {len(archive.dist_infos)} metadata folders: {some(archive.dist_infos)}"
        yield catalogue().cause(name, where=archive.name, seen=seen)
    for folder in archive.dist_infos:
        part, _, version = folder.removesuffix(".dist-info").rpartition("-")
        same = canonicalize_name(part) == canonicalize_name(identity.name)
        if not same or _version(version) != _version(identity.version):
            seen = f"is {identity.name} {identity.version}, and its metadata folder is {folder}"
            yield catalogue().cause(name, where=archive.name, seen=seen)


def _tags(archive: Archive, identity: Identity) -> Iterator[Cause]:
    name = "tag-mismatch"
    try:
        parse_wheel_filename(archive.name)
    except InvalidWheelFilename as error:
        seen = f"is no wheel file name that installers accept ({error})"
        yield catalogue().cause(name, where=archive.name, seen=seen)
        return
    if archive.metadata_file("WHEEL") is None:
        yield catalogue().cause(name, where=archive.name, seen="has no WHEEL file")
        return
    told = _wheel_tags(archive)
    inside = tags_of(told)
    if broken := [tag for tag in told if not _is_whole(tag)]:
        seen = f"WHEEL says Tag: {broken[0]}, which is none"
        yield catalogue().cause(name, where=archive.name, seen=seen)
    if inside != identity.tags:
        seen = f"is tagged {_shown(identity.tags)}, and WHEEL says {_shown(inside) or 'nothing'}"
        yield catalogue().cause(name, where=archive.name, seen=seen)
    version = str(_message(archive, "WHEEL").get("Wheel-Version", "")).strip()
    if not re.fullmatch(r"1\.\d+", version):
        seen = f"WHEEL says Wheel-Version: {version or 'nothing'}"
        yield catalogue().cause("wheel-version", where=archive.name, seen=seen)
    purelib = str(_message(archive, "WHEEL").get("Root-Is-Purelib", "")).strip().lower()
    if purelib != "true" and identity.pure:
        seen = f"is tagged {_shown(identity.tags)}, and WHEEL says Root-Is-Purelib: {purelib}"
        yield catalogue().cause(name, where=archive.name, seen=seen)
    if purelib != "false" and not identity.pure:
        seen = f"is tagged {_shown(identity.tags)}, and WHEEL says Root-Is-Purelib: {purelib}"
        yield catalogue().cause(name, where=archive.name, seen=seen)


def _accepted(subject: Subject, platforms: Iterable[str]) -> set[Tag]:
    """Return the tags on these platforms that the subject's Python takes."""
    there = sorted(platforms)
    return {
        *cpython_tags(subject.python_version, abis=[subject.python], platforms=there),
        *compatible_tags(subject.python_version, subject.python, there),
    }


def _python(
    archive: Archive, identity: Identity, subject: Subject, *, beside: bool
) -> Iterator[Cause]:
    name = "unsupported-python"
    python = ".".join(map(str, subject.python_version))
    platforms = {tag.platform for tag in identity.tags}
    accepted = _accepted(subject, platforms)
    if beside:  # another Python's own, with whatever flags it was built
        accepted |= {
            tag
            for tag in identity.tags
            if not tag.interpreter.startswith("cp3")
            or re.fullmatch(rf"{tag.interpreter}[a-z]*", tag.abi)
        }
    if identity.tags and not identity.tags & accepted:
        seen = f"is tagged {_shown(identity.tags)}, which Python {python} does not take"
        yield catalogue().cause(name, where=archive.name, seen=seen)
    requires = identity.metadata.get("Requires-Python")
    if requires is not None:
        try:
            told = SpecifierSet(str(requires))
            refused = [patch for patch in _PATCHES if not told.contains(f"{python}.{patch}")]
        except InvalidSpecifier:
            refused = list(_PATCHES)
        if refused:
            one = f"{python}.{refused[0]}" if len(refused) < len(_PATCHES) else python
            seen = f"says Requires-Python: {requires}, which Python {one} does not meet"
            yield catalogue().cause(name, where=archive.name, seen=seen)


def _platforms(
    archive: Archive, identity: Identity, subject: Subject, *, beside: bool
) -> Iterator[Cause]:
    if identity.platform is None:
        # A pure wheel is told by what it lacks, in `contents`.
        if identity.tags and not identity.pure:
            promised = ", ".join(platform.tag for platform in subject.platforms)
            seen = f"is tagged {_shown(identity.tags)}, and the release's platforms are {promised}"
            yield catalogue().cause("tag-mismatch", where=archive.name, seen=seen)
        return
    for tag in sorted({tag.platform for tag in identity.tags}):
        if not identity.platform.fits(tag):
            seen = f"is tagged {tag} as well, and its code is for {identity.platform.tag}"
            yield catalogue().cause("tag-mismatch", where=archive.name, seen=seen)
    if not beside and _is_newer(identity.platform_tag, identity.platform):
        seen = (
            f"is tagged {identity.platform_tag}, and the release promises {identity.platform.tag}"
        )
        yield catalogue().cause("glibc-floor", where=archive.name, seen=seen)


def _is_newer(tag: str, platform: Platform) -> bool:
    """Return whether a platform tag asks for a newer C library than the platform promises."""
    libc, oldest = Target.of(tag).libc, platform.target.libc
    return bool(libc and oldest and libc > oldest)


def _completeness(archive: Archive, identity: Identity) -> Iterator[Cause]:
    metadata = identity.metadata
    if archive.metadata_file("METADATA") is None:
        return
    described = metadata.get("Description") or str(metadata.get_payload() or "").strip()
    absent = [
        title
        for title, value in (
            ("summary", metadata.get("Summary")),
            ("description", described),
            ("licence", metadata.get("License-Expression") or metadata.get("License")),
            ("classifiers", metadata.get("Classifier")),
            ("Requires-Python", metadata.get("Requires-Python")),
            ("project links", metadata.get("Project-URL") or metadata.get("Home-page")),
        )
        if not value
    ]
    if absent:
        where = f"{archive.dist_infos[0]}/METADATA"
        seen = f"has no {', '.join(absent)}"
        yield catalogue().cause("metadata-incomplete", where=where, seen=seen)


def _message(archive: Archive, name: str) -> Message:
    # METADATA and WHEEL are header files in the manner of e-mail (PEP 427, core metadata).
    return email.message_from_string(archive.metadata_file(name) or "")


def _wheel_tags(archive: Archive) -> list[str]:
    return [str(tag).strip() for tag in _message(archive, "WHEEL").get_all("Tag", ())]


def tags_of(lines: Iterable[str]) -> frozenset[Tag]:
    """Return the tags of the lines of a WHEEL; what is no tag is left out."""
    return frozenset[Tag]().union(*map(parse_tag, filter(_is_whole, lines)))


def _is_whole(text: str) -> bool:
    try:
        return text.count("-") == 2 and bool(parse_tag(text))
    except ValueError:  # packaging's InvalidTag is one
        return False


def _requirements(metadata: Message) -> Iterator[Requirement]:
    for text in metadata.get_all("Requires-Dist", ()):
        try:
            yield Requirement(str(text))
        except InvalidRequirement:
            # Declares nothing: what is imported for it is then told as a missing dependency.
            continue


def _version(text: str) -> Version | str:
    try:
        return Version(text)
    except InvalidVersion:
        return text


def _age(platform_tag: str) -> tuple[bool, tuple[int, int], str]:
    libc = Target.of(platform_tag).libc
    return (libc is None, libc or (sys.maxsize, 0), platform_tag)


def _shown(tags: frozenset[Tag]) -> str:
    return some(sorted(map(str, tags)))
