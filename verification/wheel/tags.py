"""Match compatibility tags with the platforms of the subject (PEP 425, PEP 600, PEP 656)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from verification.models.subject import Platform, PlatformTarget, Subject


def parse_tags(lines: Iterable[str]) -> frozenset[Tag]:
    """Return the tags in the lines of a WHEEL file. Invalid lines are left out."""
    return frozenset[Tag]().union(*map(parse_tag, filter(is_tag, lines)))


def is_tag(text: str) -> bool:
    """Return whether a text is a tag or a compressed tag set."""
    try:
        return text.count("-") == 2 and bool(parse_tag(text))
    except ValueError:  # packaging's InvalidTag is one
        return False


def oldest_platform_tag(tags: Iterable[Tag]) -> str:
    """Return the platform tag for the oldest systems, or `unknown` without tags."""
    return min((tag.platform for tag in tags), key=_age, default="unknown")


def python_tags(subject: Subject, platforms: Iterable[str]) -> set[Tag]:
    """Return the tags on these platforms that the subject's Python supports."""
    ordered = sorted(platforms)
    return {
        *cpython_tags(subject.python_version, abis=[subject.python], platforms=ordered),
        *compatible_tags(subject.python_version, subject.python, ordered),
    }


def has_cpython(tags: Iterable[Tag]) -> bool:
    """Return whether a tag is for CPython 3 or for every Python, not for PyPy or GraalPy."""
    return any(tag.interpreter.startswith(("cp3", "py")) for tag in tags)


def may_fit(tags: Iterable[Tag], platforms: Iterable[Platform]) -> bool:
    """Return whether a CPython on one of these platforms may install a wheel with these tags."""
    platforms, tags = tuple(platforms), tuple(tags)
    return has_cpython(tags) and any(
        tag.platform == "any" or matching_platform(tag.platform, platforms) for tag in tags
    )


def matching_platform(tag: str, platforms: Iterable[Platform]) -> Platform | None:
    """Return the platform that fits a platform tag. For a musl tag, this is the glibc platform."""
    glibc_tag = re.sub("^musllinux_", "manylinux_", tag)
    return next((platform for platform in platforms if platform.fits(glibc_tag)), None)


def declared_platform(name: str, subject: Subject) -> Platform | None:
    """Return the platform whose declared wheel has this file name, or None."""
    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return None
    for tag in sorted(tags & python_tags(subject, {tag.platform for tag in tags}), key=str):
        platform = subject.platform_for(tag.platform)
        if platform and not is_newer(tag.platform, platform):
            return platform
    return None


def undeclared_platforms(tags: Iterable[Tag], subject: Subject) -> tuple[Platform, ...]:
    """Return the platforms of a wheel that fits no platform of the subject.

    They have no libraries. The result is empty if a tag is for an unknown system.
    """
    names = sorted({tag.platform for tag in tags})
    systems = {PlatformTarget.of(name).system for name in names}
    if systems & {"any", "unknown"} or any(
        matching_platform(name, subject.platforms) for name in names
    ):
        return ()
    return tuple(Platform(tag=name, libraries=(), required=False, execute=False) for name in names)


def is_newer(tag: str, platform: Platform) -> bool:
    """Return whether a platform tag needs a newer C library than the platform declares."""
    libc, oldest = PlatformTarget.of(tag).libc, platform.target.libc
    return bool(libc and oldest and libc > oldest)


def subject_for_wheel(name: str, subject: Subject) -> Subject:
    """Return the subject with the Python and the C library of the wheel with this file name."""
    tags = parse_wheel_filename(name)[3]
    cpython = [tag for tag in tags if re.fullmatch(r"cp3\d+", tag.interpreter)]
    oldest = min(cpython, key=str, default=None)
    python = oldest.interpreter if oldest else subject.python
    if tags & python_tags(subject, {tag.platform for tag in tags}):
        python = subject.python  # the tag of an abi3 wheel has only its oldest Python
    abi = oldest.abi if oldest and oldest.abi.startswith(python) else python
    musl = [
        platform.model_copy(update={"tag": tag})
        for tag in sorted({tag.platform for tag in tags})
        if PlatformTarget.of(tag).system == "musl"
        and (platform := matching_platform(tag, subject.platforms))
    ]
    platforms = tuple(
        platform.model_copy(update={"libraries": _renamed(platform, subject.python, python, abi)})
        for platform in (*musl, *subject.platforms)
    )
    platforms += undeclared_platforms(tags, subject)
    return subject.model_copy(update={"python": python, "platforms": platforms})


def _renamed(platform: Platform, old_python: str, python: str, abi: str) -> tuple[str, ...]:
    """Return the library names for another ABI. Modules have ABI and system in it (PEP 3149).

    CPython before 3.11 uses the suffix of glibc on musl too (CPython issue 43112).
    """
    libraries = platform.libraries
    names = {
        f".{old_python.replace('cp', prefix)}-": f".{abi.replace('cp', prefix)}-"
        for prefix in ("cp", "cpython-")
    }
    if platform.target.system == "musl" and int(python.removeprefix("cp3")) >= 11:
        names["-linux-gnu."] = "-linux-musl."
    for old, new in names.items():
        libraries = tuple(library.replace(old, new) for library in libraries)
    return libraries


def _age(platform_tag: str) -> tuple[bool, tuple[int, int], str]:
    """Return a sort key: the tag for the oldest C library comes first."""
    libc = PlatformTarget.of(platform_tag).libc
    return (libc is None, libc or (sys.maxsize, 0), platform_tag)
