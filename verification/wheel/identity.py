"""Read the identity of a wheel, and check that file name, WHEEL and METADATA agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.metadata import RawMetadata, parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from verification.models.cause import Cause, FactValue
from verification.models.release import PATCHES
from verification.models.subject import Platform, PlatformTarget, Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.tags import is_newer, is_tag, oldest_platform_tag, python_tags
from verification.wheel.wheel_file import WheelFile, read_wheel_file
from verification.wheel.wording import listing

UNIVERSAL = frozenset({"universal2", "universal", "intel", "fat", "fat3", "fat32", "fat64"})
"""The processor part of a macOS tag whose wheel is for several processors."""


@dataclass(frozen=True)
class WheelIdentity:
    """Name, version and tags of a wheel. Like installers, the suite takes them from the file name.

    If the file name is invalid, they come from METADATA and WHEEL.
    """

    name: str
    version: str
    tags: frozenset[Tag]
    metadata: RawMetadata
    wheel_file: WheelFile
    platform: Platform | None
    """The subject's platform that fits a tag of the wheel, or None."""

    @property
    def platform_tag(self) -> str:
        """The platform tag of the wheel. If it has several, the one for the oldest systems."""
        return oldest_platform_tag(self.tags)

    @property
    def pure(self) -> bool:
        """True if the wheel has a tag for every platform."""
        return any(tag.platform == "any" for tag in self.tags)


def identify(archive: Archive, subject: Subject) -> WheelIdentity:
    """Return the identity of a wheel."""
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
    matching = (
        platform
        for platform in subject.platforms
        if any(platform.fits(tag.platform) for tag in tags)
    )
    return WheelIdentity(name, version, tags, metadata, wheel_file, next(matching, None))


def causes(
    archive: Archive, identity: WheelIdentity, subject: Subject, *, additional: bool = False
) -> Iterator[Cause]:
    """Yield the differences between file name, WHEEL, METADATA and subject.

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
        yield _fault("version-mismatch", archive, "has no METADATA", missing="METADATA")
    else:
        if canonicalize_name(name) != canonicalize_name(identity.name):
            message = f"has the name {identity.name}, but METADATA has Name: {name or '(none)'}"
            yield _fault("version-mismatch", archive, message, metadata_name=name)
        if _version(version) != _version(identity.version):
            message = f"has the version {identity.version}, but METADATA has"
            message += f" Version: {version or '(none)'}"
            yield _fault("version-mismatch", archive, message, metadata_version=version)
    if canonicalize_name(identity.name) != canonicalize_name(subject.name):
        message = f"is a wheel of {identity.name}, not of {subject.name}"
        yield _fault("version-mismatch", archive, message, package=identity.name)
    if len(archive.dist_infos) > 1:
        message = f"has {len(archive.dist_infos)} metadata folders: {listing(archive.dist_infos)}"
        yield _fault("version-mismatch", archive, message, folders=archive.dist_infos)
    for folder in archive.dist_infos:
        name, _, version = folder.removesuffix(".dist-info").rpartition("-")
        same_name = canonicalize_name(name) == canonicalize_name(identity.name)
        if not same_name or _version(version) != _version(identity.version):
            message = f"is {identity.name} {identity.version}, but its metadata folder is {folder}"
            yield _fault("version-mismatch", archive, message, folder=folder)


def _tags(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    try:
        parse_wheel_filename(archive.name)
    except InvalidWheelFilename as error:
        yield _fault("tag-mismatch", archive, f"has an invalid file name ({error})")
        return
    if archive.metadata_file("WHEEL") is None:
        yield _fault("tag-mismatch", archive, "has no WHEEL file", missing="WHEEL")
        return
    wheel_file, tags = identity.wheel_file, _tag_list(identity.tags)
    if invalid := [line for line in wheel_file.tag_lines if not is_tag(line)]:
        message = f"WHEEL has Tag: {invalid[0]}, but this is not a tag"
        yield _fault("tag-mismatch", archive, message, invalid=tuple(invalid))
    if not _same_meaning(identity.tags) <= _same_meaning(wheel_file.tags):
        message = f"has the tags {tags}, but WHEEL has {_tag_list(wheel_file.tags) or 'none'}"
        wheel_tags = tuple(sorted(map(str, wheel_file.tags)))
        yield _fault("tag-mismatch", archive, message, wheel_tags=wheel_tags)
    if not re.fullmatch(r"1\.\d+", wheel_file.wheel_version):
        message = f"WHEEL has Wheel-Version: {wheel_file.wheel_version or '(none)'}, but"
        message += " installers support only 1.x"
        yield _fault("wheel-version", archive, message, version=wheel_file.wheel_version)
    if (purelib := wheel_file.root_is_purelib) != ("true" if identity.pure else "false"):
        # Every installer accepts it. The two folders are one, except on some Linux systems.
        message = f"has the tags {tags}, but WHEEL has Root-Is-Purelib: {purelib or '(none)'}"
        yield catalogue().cause(
            "tag-mismatch", archive.name, message, risk=True, root_is_purelib=purelib
        )


def _same_meaning(tags: frozenset[Tag]) -> frozenset[tuple[str, str, PlatformTarget]]:
    """Return tags in a form in which manylinux2014 is manylinux_2_17 (PEP 600)."""
    return frozenset((tag.interpreter, tag.abi, PlatformTarget.of(tag.platform)) for tag in tags)


def _python(
    archive: Archive, identity: WheelIdentity, subject: Subject, *, additional: bool
) -> Iterator[Cause]:
    python = ".".join(map(str, subject.python_version))
    supported = python_tags(subject, {tag.platform for tag in identity.tags})
    if additional:  # the wheel may be for another Python, built with any ABI flags
        supported |= {
            tag
            for tag in identity.tags
            if not tag.interpreter.startswith("cp3")
            or re.fullmatch(rf"{tag.interpreter}[a-z]*", tag.abi)
        }
    if identity.tags and not identity.tags & supported:
        tags = _tag_list(identity.tags)
        message = f"has the tags {tags}, but Python {python} does not support them"
        yield _fault("unsupported-python", archive, message, python=python)
    requires = identity.metadata.get("requires_python")
    if requires is not None and (excluded := _excluded_patches(requires, python)):
        if additional and len(excluded) < len(PATCHES):
            return  # the release promises no patch releases of the other Pythons
        version = f"{python}.{excluded[0]}" if len(excluded) < len(PATCHES) else python
        message = f"has Requires-Python: {requires}, which excludes Python {version}"
        facts = {"requires_python": requires, "python": version}
        yield _fault("unsupported-python", archive, message, **facts)


def _excluded_patches(requires: str, python: str) -> list[int]:
    try:
        specifiers = SpecifierSet(requires)
    except InvalidSpecifier:
        return list(PATCHES)
    return [patch for patch in PATCHES if not specifiers.contains(f"{python}.{patch}")]


def _platforms(
    archive: Archive, identity: WheelIdentity, subject: Subject, *, additional: bool
) -> Iterator[Cause]:
    if identity.platform is None:
        # `native_code` reports a pure wheel.
        if identity.tags and not identity.pure:
            declared = ", ".join(platform.tag for platform in subject.platforms)
            message = f"has the tags {_tag_list(identity.tags)}, but the platforms of the release"
            message += f" are {declared}"
            platforms = tuple(sorted({tag.platform for tag in identity.tags}))
            yield _fault("tag-mismatch", archive, message, platforms=platforms)
        return
    for tag in sorted({tag.platform for tag in identity.tags}):
        if not _code_fits(tag, identity, archive):
            message = f"also has the platform tag {tag}, but its code is for"
            message += f" {identity.platform.tag}"
            yield _fault("tag-mismatch", archive, message, platforms=(tag,))
    if not additional and is_newer(identity.platform_tag, identity.platform):
        message = f"has the platform tag {identity.platform_tag}, but the release supports"
        message += f" {identity.platform.tag}"
        yield _fault("glibc-floor", archive, message, tag=identity.platform_tag)


def _code_fits(tag: str, identity: WheelIdentity, archive: Archive) -> bool:
    """Return whether the code for a wheel's platform is also the code for another tag of it."""
    platform = identity.platform
    if platform is None or platform.fits(tag):
        return True
    target = PlatformTarget.of(tag)
    if target.system == platform.target.system == "macos":
        # `native_code` reads for which processors the libraries are.
        processors = {PlatformTarget.of(other.platform).machine for other in identity.tags}
        return not processors.isdisjoint(UNIVERSAL)
    if {target.system, platform.target.system} == {"linux", "musl"}:
        return target.machine == platform.target.machine and not _needs_libc(archive)
    return False


def _needs_libc(archive: Archive) -> bool:
    """Return whether native code names symbols of glibc, or the C library of musl."""
    return any(
        member.start.startswith(b"\x7fELF") and member.contains(b"\0GLIBC_2.", b"\0libc.musl-")
        for member in archive.files.values()
    )


def _completeness(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    if archive.metadata_file("METADATA") is None:
        return
    metadata = identity.metadata
    missing = [
        title
        for title, value in (
            ("summary", metadata.get("summary")),
            ("description", metadata.get("description", "").strip()),
            ("licence", _has_licence(metadata)),
            ("classifiers", metadata.get("classifiers")),
            ("Requires-Python", metadata.get("requires_python")),
            ("project links", metadata.get("project_urls") or metadata.get("home_page")),
        )
        if not value
    ]
    if missing:
        yield catalogue().cause(
            "metadata-incomplete",
            f"{archive.dist_infos[0]}/METADATA",
            f"has no {', '.join(missing)}",
            missing=tuple(missing),
        )


def _has_licence(metadata: RawMetadata) -> bool:
    """Return whether the metadata names a licence, in a field or by a classifier."""
    fields = ("license_expression", "license", "license_files")
    classified = any(text.startswith("License ::") for text in metadata.get("classifiers", ()))
    return classified or any(metadata.get(field) for field in fields)


def _fault(name: str, archive: Archive, message: str, **facts: FactValue) -> Cause:
    return catalogue().cause(name, archive.name, message, risk=False, **facts)


def _version(text: str) -> Version | str:
    try:
        return Version(text)
    except InvalidVersion:
        return text


def _tag_list(tags: frozenset[Tag]) -> str:
    return listing(sorted(map(str, tags)))
