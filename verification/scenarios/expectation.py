"""Compute from tags and Requires-Python whether an installer on a machine refuses a release."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag

from verification.models.inspection import WheelInspection
from verification.models.machine import MachineSpec, Refusal
from verification.models.release import allows_python
from verification.models.subject import Subject
from verification.wheel.tags import parse_tags

_OLDEST_GLIBC = 5
"""The minor version of the oldest glibc that a manylinux tag for x86_64 names (PEP 600)."""
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""The manylinux tags from before PEP 600, by the minor version of their glibc."""


def refusal(
    wheel_tags: Iterable[Tag], requires_python: str, machine: MachineSpec
) -> Refusal | None:
    """Return the cause for which an installer on ``machine`` must refuse a release, or None.

    ``wheel_tags`` are the tags of all wheels of the release.
    """
    tags = frozenset(wheel_tags)
    if not allows_python(requires_python, machine.python_minor):
        return "unsupported-python"
    if tags & supported_tags(machine):
        return None
    platforms = {"any", *machine_platforms(machine)}
    for_platform = any(tag.platform in platforms for tag in tags)
    return "unsupported-python" if for_platform else "unsupported-platform"


@functools.cache
def supported_tags(machine: MachineSpec) -> frozenset[Tag]:
    """Return the tags of the wheels that an installer on ``machine`` accepts."""
    platforms = tuple(machine_platforms(machine))
    return python_tags(machine.python_version, platforms, free_threaded=machine.free_threaded)


def python_tags(
    version: tuple[int, int], platforms: Sequence[str], *, free_threaded: bool = False
) -> frozenset[Tag]:
    """Return the wheel tags (PEP 425) that a CPython accepts with these platform tags."""
    interpreter = f"cp{''.join(map(str, version))}"
    abi = f"{interpreter}t" if free_threaded else interpreter
    return frozenset(
        (
            *cpython_tags(version, abis=[abi], platforms=platforms),
            *compatible_tags(version, interpreter, platforms),
        )
    )


def declared_tags(subject: Subject) -> frozenset[Tag]:
    """Return the tags of the wheels that every release of ``subject`` must have."""
    return frozenset(
        tag
        for platform in subject.platforms
        if platform.required
        for tag in parse_tag(f"{subject.python}-{subject.python}-{platform.tag}")
    )


def declared_refusal(subject: Subject, machine: MachineSpec) -> Refusal | None:
    """Return the cause for which an installer on ``machine`` must refuse the declared wheels.

    Return None if one of them fits. A release can also have additional wheels (`fits_release`).
    """
    return refusal(declared_tags(subject), "", machine)


def fits_release(wheels: Iterable[WheelInspection], machine: MachineSpec) -> bool:
    """Return True if tags and Requires-Python of one of the wheels fit a machine."""
    return any(
        refusal(parse_tags(wheel.tags), wheel.requires_python or "", machine) is None
        for wheel in wheels
    )


def linux_platforms(libc: str, version: tuple[int, int], processor: str) -> Iterator[str]:
    """Yield the platform tags that fit a Linux system, the most specific first (PEP 600, PEP 656).

    ``libc`` is ``glibc`` or ``musl``.
    """
    major, newest = version
    if libc == "musl":
        yield from (f"musllinux_{major}_{minor}_{processor}" for minor in range(newest, -1, -1))
    else:
        for minor in range(newest, _OLDEST_GLIBC - 1, -1):
            yield f"manylinux_{major}_{minor}_{processor}"
            if legacy := _LEGACY_MANYLINUX.get(minor):
                yield f"{legacy}_{processor}"
    yield f"linux_{processor}"


def machine_platforms(machine: MachineSpec) -> Iterator[str]:
    """Yield the platform tags that fit the machine, the most specific first."""
    if machine.os == "windows":
        yield "win_amd64"
        return
    libc = "musl" if machine.musl else "glibc"
    yield from linux_platforms(libc, machine.libc_version, "x86_64")
