"""Check before a machine starts that the run's index has every declared dependency of a release.

Without these files no machine can install the release. This says nothing about the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from containers import upstream_releases
from containers.upstream_releases import FileKind, UpstreamUnavailable
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.release import Release
from verification.models.subject import Subject
from verification.scenarios.expectation import declared_refusal, fits_release, supported_tags
from verification.session import dependencies
from verification.session.selection import Selection
from verification.wheel.dependencies import requirements
from verification.wheel.tags import parse_tags


class UnservedRequirement(NamedTuple):
    """A requirement that no file on the run's index satisfies."""

    requirement: Requirement
    wheel: str
    """The file name of the wheel that declares it."""
    machine: MachineSpec


def check(
    release: Release, inspection: ReleaseInspection, subject: Subject, selection: Selection
) -> Release:
    """Return the release with the dependencies that no index has, or only as a source.

    The check covers the selected machines on which the release must work.

    Raises:
        WrongUse: the upstream index has a wheel of a dependency, and the subject's lock does not.
        TestbedFailure: ``dependency-not-served``: the upstream index does not answer.
    """
    unpublished: set[str] = set()
    without_wheel: dict[str, str] = {}
    for machine in selection.machines:
        if declared_refusal(subject, machine):
            continue
        for unserved in unserved_requirements(inspection, release.dependencies, machine):
            kinds = _kinds(unserved)
            if "wheel" in kinds:
                raise WrongUse(_message(unserved, subject, selection))
            if "source" in kinds:
                line = f"{unserved.requirement} has no wheel for {machine.name}, only a source"
                without_wheel.setdefault(machine.name, line)
            else:
                unpublished.add(canonicalize_name(unserved.requirement.name))
    update = {"unpublished": tuple(sorted(unpublished)), "without_wheel": without_wheel}
    return release.model_copy(update=update)


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
    environment = dependencies.environment(machine)
    files = dependencies.fitting_files(paths, machine)
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
        for dependency in requirements(
            dependencies.metadata(newest).get("requires_dist", ()), environment, requirement.extras
        ):
            if str(dependency) not in processed:
                processed.add(str(dependency))
                pending.append((dependency, newest.name))


def _kinds(unserved: UnservedRequirement) -> frozenset[FileKind]:
    """Return the kinds of the upstream index's files for a requirement on its machine."""
    requirement, wheel, machine = unserved
    try:
        tags = supported_tags(machine)
        return upstream_releases.file_kinds(requirement, tags, machine.python_minor)
    except UpstreamUnavailable as reason:
        message = f"the index of the run does not have {requirement}: {reason}"
        raise TestbedFailure("dependency-not-served", wheel, message) from None


def _message(unserved: UnservedRequirement, subject: Subject, selection: Selection) -> str:
    requirement, wheel, machine = unserved
    option = "--subject: " if selection.subject else ""
    lacking = "the description names no lock file"
    if subject.dependencies:
        lacking = f"the lock file {subject.dependencies} has no file of it for {machine.name}"
    command = f"./e2e lock --subject {subject.file} "
    command += f"--release {selection.release}" if selection.release else "--wheels "
    command += "" if selection.release else str(selection.wheels or "DIR")
    return f"{option}{wheel} requires {requirement}, and {lacking}; run {command}"
