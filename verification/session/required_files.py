"""Check before a machine starts that the run's index has every declared dependency of a release.

Without these files no machine can install the release. This says nothing about the release.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from containers import upstream_releases
from containers.upstream_releases import UpstreamUnavailable
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.release import Release, project_and_version
from verification.models.subject import PlatformTarget, Subject
from verification.scenarios.expectation import declared_refusal, fits_release, supported_tags
from verification.session.selection import Selection
from verification.subjects import subject as subjects
from verification.wheel.dependencies import marker_environment, requirements
from verification.wheel.tags import parse_tags

Files = Mapping[str, Sequence[tuple[Version, Path]]]
"""Version and path of each file that fits a machine, by the normalized name of the project."""


class UnservedRequirement(NamedTuple):
    """A requirement that no file on the run's index satisfies."""

    requirement: Requirement
    wheel: str
    """The file name of the wheel that declares it."""
    machine: MachineSpec


def check(
    release: Release, inspection: ReleaseInspection, subject: Subject, selection: Selection
) -> Release:
    """Return the release with the names of the dependencies that no index has.

    The check covers the selected machines on which the release must work.

    Raises:
        WrongUse: the upstream index has a dependency, and the subject's lock file does not.
        TestbedFailure: ``dependency-not-served``: the upstream index does not answer.
    """
    unpublished: set[str] = set()
    for machine in selection.machines:
        if declared_refusal(subject, machine):
            continue
        for unserved in unserved_requirements(inspection, release.dependencies, machine):
            if _is_published(unserved):
                raise WrongUse(_message(unserved, subject, selection))
            unpublished.add(canonicalize_name(unserved.requirement.name))
    return release.model_copy(update={"unpublished": tuple(sorted(unpublished))})


def additional_machines(
    release: Release, inspection: ReleaseInspection, subject: Subject, selection: Selection
) -> tuple[str, ...]:
    """Return the names of the machines that no declared wheel fits, and on which the release works.

    Tags and Requires-Python of another wheel fit such a machine, and the index of the run has files
    for all its requirements. An abi3 wheel fits many Pythons, for example.
    """
    return tuple(
        machine.name
        for machine in selection.machines
        if declared_refusal(subject, machine)
        and fits_release(inspection.wheels, machine)
        and not any(unserved_requirements(inspection, release.dependencies, machine))
    )


def unserved_requirements(
    inspection: ReleaseInspection, paths: Iterable[Path], machine: MachineSpec
) -> Iterator[UnservedRequirement]:
    """Yield the requirements of a release on a machine that none of the files satisfies.

    For a dependency, its newest file that fits the machine declares the requirements.
    """
    target = PlatformTarget(system=machine.os, machine="x86_64")
    environment = marker_environment(target, machine.python_version)
    files = _fitting_files(paths, machine)
    release_names = {canonicalize_name(wheel.name) for wheel in inspection.wheels}
    pending = [
        (requirement, wheel.file)
        for wheel in inspection.wheels
        if parse_tags(wheel.tags) & supported_tags(machine)
        for requirement in requirements(wheel.requires, environment)
    ]
    processed = {str(requirement) for requirement, _ in pending}
    for requirement, wheel_name in pending:
        name, versions = canonicalize_name(requirement.name), requirement.specifier
        if requirement.url or name in release_names:
            continue  # a file outside the index, or an extra of the release itself
        matching = [
            (version, path)
            for version, path in files.get(name, ())
            if versions.contains(version, prereleases=True)
        ]
        if not matching:
            yield UnservedRequirement(requirement, wheel_name, machine)
            continue
        _, newest = max(matching)
        for dependency in requirements(_requires(newest), environment, requirement.extras):
            if str(dependency) not in processed:
                processed.add(str(dependency))
                pending.append((dependency, newest.name))


def _fitting_files(paths: Iterable[Path], machine: MachineSpec) -> Files:
    tags = supported_tags(machine)
    files: dict[str, list[tuple[Version, Path]]] = defaultdict(list)
    for path in paths:
        if path.suffix == ".whl" and not parse_wheel_filename(path.name)[3] & tags:
            continue
        name, version = project_and_version(path)
        files[name].append((version, path))
    return files


def _requires(path: Path) -> Sequence[str]:
    """Return the Requires-Dist of a wheel. For a source distribution return nothing."""
    if path.suffix != ".whl":
        return ()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.count("/") == 1 and name.endswith(".dist-info/METADATA"):
                return parse_email(archive.read(name))[0].get("requires_dist", ())
    return ()


def _is_published(unserved: UnservedRequirement) -> bool:
    try:
        return upstream_releases.has_file(unserved.requirement, supported_tags(unserved.machine))
    except UpstreamUnavailable as reason:
        message = f"the index of the run does not have {unserved.requirement}: {reason}"
        raise TestbedFailure("dependency-not-served", unserved.wheel, message) from None


def _message(unserved: UnservedRequirement, subject: Subject, selection: Selection) -> str:
    requirement, wheel, machine = unserved
    option = "--subject: " if selection.subject else ""
    line = f"{option}{wheel} requires {requirement}, and the lock file {subject.dependencies} has "
    line += f"no file of it for {machine.name}; "
    if selection.subject and subject.dependencies == subjects.load().dependencies:
        return line + "set `dependencies` in the description to a lock file with it, pip and uv"
    return line + "add it and its dependencies to this lock file, with their hashes"
