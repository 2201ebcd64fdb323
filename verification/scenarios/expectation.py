"""The expectation of a machine: whether a release has a wheel that an installer can use there."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag

from verification.models.machine import MachineSpec, Refusal
from verification.models.subject import Subject

_OLDEST_GLIBC = 5
"""The minor version of the oldest glibc that a manylinux tag for x86_64 names (PEP 600)."""
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""The tags that came before PEP 600, by the minor version of their glibc."""
_PATCHES = range(100)


def refusal(
    wheel_tags: Iterable[Tag], requires_python: str, machine: MachineSpec
) -> Refusal | None:
    """Return the cause by which an installer on ``machine`` must refuse a release, or None.

    ``wheel_tags`` are the tags of all its wheels, ``requires_python`` is its Requires-Python.
    """
    tags = frozenset(wheel_tags)
    if not _allows(requires_python, machine):
        return "unsupported-python"
    if tags & supported_tags(machine):
        return None
    platforms = {"any", *_platforms(machine)}
    for_platform = any(tag.platform in platforms for tag in tags)
    return "unsupported-python" if for_platform else "unsupported-platform"


@functools.cache
def supported_tags(machine: MachineSpec) -> frozenset[Tag]:
    """Return the tags of the wheels that an installer on ``machine`` accepts."""
    version = machine.python_version
    interpreter = f"cp{''.join(map(str, version))}"
    abi = f"{interpreter}t" if machine.free_threaded else interpreter
    platforms = list(_platforms(machine))
    return frozenset(
        (
            *cpython_tags(version, abis=[abi], platforms=platforms),
            *compatible_tags(version, interpreter, platforms),
        )
    )


def declared_tags(subject: Subject) -> frozenset[Tag]:
    """Return the tags of the wheels that a release of ``subject`` has at least."""
    return frozenset(
        tag
        for platform in subject.platforms
        if platform.required
        for tag in parse_tag(f"{subject.python}-{subject.python}-{platform.tag}")
    )


def declared_refusal(subject: Subject, machine: MachineSpec) -> Refusal | None:
    """Return the cause by which an installer on ``machine`` must refuse what ``subject`` declares.

    A release may have more wheels than it declares: an installer that selects one of them has not
    refused, and that wheel must then work.
    """
    return refusal(declared_tags(subject), "", machine)


def _allows(requires_python: str, machine: MachineSpec) -> bool:
    """Return True if Requires-Python allows a version of the machine's Python, with any patch."""
    specifiers = SpecifierSet(requires_python)
    minor = ".".join(map(str, machine.python_version))
    return any(specifiers.contains(f"{minor}.{patch}") for patch in _PATCHES)


def _platforms(machine: MachineSpec) -> Iterator[str]:
    """Yield the platform tags that fit the machine, the most specific first (PEP 600, 656)."""
    if machine.os == "windows":
        yield "win_amd64"
        return
    major, newest = machine.libc_version
    if machine.musl:
        yield from (f"musllinux_{major}_{minor}_x86_64" for minor in range(newest, -1, -1))
    else:
        for minor in range(newest, _OLDEST_GLIBC - 1, -1):
            yield f"manylinux_{major}_{minor}_x86_64"
            if legacy := _LEGACY_MANYLINUX.get(minor):
                yield f"{legacy}_x86_64"
    yield "linux_x86_64"
