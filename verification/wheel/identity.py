"""The identity of a wheel by its file name, WHEEL and METADATA, and whether they agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.metadata import RawMetadata, parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from verification.models.cause import Cause
from verification.models.subject import Platform, Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.tags import is_newer, is_tag, oldest_platform_tag, python_tags
from verification.wheel.wheel_file import WheelFile, read_wheel_file
from verification.wheel.wording import listing

PATCHES = range(100)
"""The patch releases of a Python, up to one later than any that is made. A release is for all."""


@dataclass(frozen=True)
class WheelIdentity:
    """What a wheel says it is. The file name counts where it can be read: installers go by it."""

    name: str
    version: str
    tags: frozenset[Tag]
    metadata: RawMetadata
    wheel_file: WheelFile
    platform: Platform | None
    """The subject's platform that the wheel is for."""

    @property
    def platform_tag(self) -> str:
        """The wheel's platform tag; of several, the one for the oldest systems."""
        return oldest_platform_tag(self.tags)

    @property
    def pure(self) -> bool:
        """Whether the tags let every platform take the wheel."""
        return any(tag.platform == "any" for tag in self.tags)


def identify(archive: Archive, subject: Subject) -> WheelIdentity:
    """Return what the wheel says it is. Without a readable file name, METADATA and WHEEL count."""
    metadata, _ = parse_email(archive.metadata_file("METADATA") or "")
    wheel_file = read_wheel_file(archive)
    name, version = metadata.get("name", "unknown"), metadata.get("version", "unknown")
    tags = wheel_file.tags
    try:
        file_name, file_version, _, tags = parse_wheel_filename(archive.name)
    except InvalidWheelFilename:
        pass
    else:
        name, version = str(file_name), str(file_version)
    fitting = (
        platform
        for platform in subject.platforms
        if any(platform.fits(tag.platform) for tag in tags)
    )
    return WheelIdentity(name, version, tags, metadata, wheel_file, next(fitting, None))


def faults(
    archive: Archive, identity: WheelIdentity, subject: Subject, *, additional: bool = False
) -> Iterator[Cause]:
    """Yield where the file name, WHEEL and METADATA disagree, or do not fit the subject.

    An ``additional`` wheel may be for another Python or a newer C library than the subject.
    """
    yield from _names(archive, identity, subject)
    yield from _tags(archive, identity)
    yield from _python(archive, identity, subject, additional=additional)
    yield from _platforms(archive, identity, subject, additional=additional)
    yield from _completeness(archive, identity)


def _names(archive: Archive, identity: WheelIdentity, subject: Subject) -> Iterator[Cause]:
    name, version = identity.metadata.get("name", ""), identity.metadata.get("version", "")
    if archive.metadata_file("METADATA") is None:
        yield _fault("version-mismatch", archive, "has no METADATA")
    else:
        if canonicalize_name(name) != canonicalize_name(identity.name):
            observed = f"is named {identity.name}, and METADATA names {name or 'nothing'}"
            yield _fault("version-mismatch", archive, observed)
        if _version(version) != _version(identity.version):
            observed = f"is version {identity.version}, and METADATA says {version or 'none'}"
            yield _fault("version-mismatch", archive, observed)
    if canonicalize_name(identity.name) != canonicalize_name(subject.name):
        observed = f"is a wheel of {identity.name}, not of {subject.name}"
        yield _fault("version-mismatch", archive, observed)
    if len(archive.dist_infos) > 1:
        observed = f"has {len(archive.dist_infos)} metadata folders: {listing(archive.dist_infos)}"
        yield _fault("version-mismatch", archive, observed)
    for folder in archive.dist_infos:
        name, _, version = folder.removesuffix(".dist-info").rpartition("-")
        same_name = canonicalize_name(name) == canonicalize_name(identity.name)
        if not same_name or _version(version) != _version(identity.version):
            observed = f"is {identity.name} {identity.version}, and its metadata folder is {folder}"
            yield _fault("version-mismatch", archive, observed)


def _tags(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    try:
        parse_wheel_filename(archive.name)
    except InvalidWheelFilename as error:
        observed = f"is no wheel file name that installers accept ({error})"
        yield _fault("tag-mismatch", archive, observed)
        return
    if archive.metadata_file("WHEEL") is None:
        yield _fault("tag-mismatch", archive, "has no WHEEL file")
        return
    wheel_file, tags = identity.wheel_file, _shown(identity.tags)
    if invalid := [line for line in wheel_file.tag_lines if not is_tag(line)]:
        yield _fault("tag-mismatch", archive, f"WHEEL says Tag: {invalid[0]}, which is none")
    if wheel_file.tags != identity.tags:
        observed = f"is tagged {tags}, and WHEEL says {_shown(wheel_file.tags) or 'nothing'}"
        yield _fault("tag-mismatch", archive, observed)
    if not re.fullmatch(r"1\.\d+", wheel_file.wheel_version):
        observed = f"WHEEL says Wheel-Version: {wheel_file.wheel_version or 'nothing'}"
        yield _fault("wheel-version", archive, observed)
    if wheel_file.root_is_purelib != ("true" if identity.pure else "false"):
        observed = f"is tagged {tags}, and WHEEL says Root-Is-Purelib: {wheel_file.root_is_purelib}"
        yield _fault("tag-mismatch", archive, observed)


def _python(
    archive: Archive, identity: WheelIdentity, subject: Subject, *, additional: bool
) -> Iterator[Cause]:
    python = ".".join(map(str, subject.python_version))
    supported = python_tags(subject, {tag.platform for tag in identity.tags})
    if additional:  # the tags of another Python, with whatever flags it was built
        supported |= {
            tag
            for tag in identity.tags
            if not tag.interpreter.startswith("cp3")
            or re.fullmatch(rf"{tag.interpreter}[a-z]*", tag.abi)
        }
    if identity.tags and not identity.tags & supported:
        observed = f"is tagged {_shown(identity.tags)}, which Python {python} does not take"
        yield _fault("unsupported-python", archive, observed)
    requires = identity.metadata.get("requires_python")
    if requires is not None and (refused := _refused_patches(requires, python)):
        first = f"{python}.{refused[0]}" if len(refused) < len(PATCHES) else python
        observed = f"says Requires-Python: {requires}, which Python {first} does not meet"
        yield _fault("unsupported-python", archive, observed)


def _refused_patches(requires: str, python: str) -> list[int]:
    try:
        specifiers = SpecifierSet(requires)
    except InvalidSpecifier:
        return list(PATCHES)
    return [patch for patch in PATCHES if not specifiers.contains(f"{python}.{patch}")]


def _platforms(
    archive: Archive, identity: WheelIdentity, subject: Subject, *, additional: bool
) -> Iterator[Cause]:
    if identity.platform is None:
        # `libraries` has the cause for a pure wheel.
        if identity.tags and not identity.pure:
            declared = ", ".join(platform.tag for platform in subject.platforms)
            observed = (
                f"is tagged {_shown(identity.tags)}, and the release's platforms are {declared}"
            )
            yield _fault("tag-mismatch", archive, observed)
        return
    for tag in sorted({tag.platform for tag in identity.tags}):
        if not identity.platform.fits(tag):
            observed = f"is tagged {tag} as well, and its code is for {identity.platform.tag}"
            yield _fault("tag-mismatch", archive, observed)
    if not additional and is_newer(identity.platform_tag, identity.platform):
        observed = (
            f"is tagged {identity.platform_tag}, and the release promises {identity.platform.tag}"
        )
        yield _fault("glibc-floor", archive, observed)


def _completeness(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    if archive.metadata_file("METADATA") is None:
        return
    metadata = identity.metadata
    absent = [
        title
        for title, value in (
            ("summary", metadata.get("summary")),
            ("description", metadata.get("description", "").strip()),
            ("licence", metadata.get("license_expression") or metadata.get("license")),
            ("classifiers", metadata.get("classifiers")),
            ("Requires-Python", metadata.get("requires_python")),
            ("project links", metadata.get("project_urls") or metadata.get("home_page")),
        )
        if not value
    ]
    if absent:
        where = f"{archive.dist_infos[0]}/METADATA"
        observed = f"has no {', '.join(absent)}"
        yield catalogue().cause("metadata-incomplete", where=where, observed=observed)


def _fault(name: str, archive: Archive, observed: str) -> Cause:
    return catalogue().cause(name, where=archive.name, observed=observed)


def _version(text: str) -> Version | str:
    try:
        return Version(text)
    except InvalidVersion:
        return text


def _shown(tags: frozenset[Tag]) -> str:
    return listing(sorted(map(str, tags)))
