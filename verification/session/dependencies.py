"""The files of the dependencies that the index of a run serves, and which of them fit a machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.metadata import RawMetadata, parse_email
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from containers import wheelhouse
from containers.wheelhouse import Target
from verification.models import lock_file
from verification.models.lock_file import LockedRelease
from verification.models.machine import MachineSpec
from verification.models.release import allows_python, project_and_version
from verification.models.subject import PlatformTarget, Subject
from verification.scenarios import machines
from verification.scenarios.expectation import machine_platforms, supported_tags
from verification.wheel.archive import open_wheel
from verification.wheel.dependencies import marker_environment, requirements
from verification.wheel.errors import BadWheel

Files = Mapping[str, Sequence[tuple[Version, Path]]]
"""Version and path of each file that fits a machine, by the normalised name of the project."""


def files(subject: Subject, specs: Iterable[MachineSpec]) -> tuple[Path, ...]:
    """Return the installers and the locked dependencies for these machines, downloaded once.

    The inspection reads the dependencies of each system. For a system of the subject without a
    machine, they are those of the first machine with the Python of the subject.

    Raises:
        DataError: a lock cannot be read.
        TestbedFailure: a file cannot be downloaded from the configured upstream index.
    """
    targets = {target(spec): spec for spec in _for_all_systems(subject, specs)}
    locks = [lock_file.read(path) for path in subject.locks]
    with ThreadPoolExecutor(4) as pool:
        installers = pool.submit(wheelhouse.installers)
        futures = [
            pool.submit(wheelhouse.dependencies, applicable(lock, spec), wanted)
            for lock in locks
            for wanted, spec in targets.items()
        ]
        paths = [*installers.result(), *(path for future in futures for path in future.result())]
    return tuple({path.name: path for path in paths}.values())


def _for_all_systems(subject: Subject, specs: Iterable[MachineSpec]) -> list[MachineSpec]:
    selected = list(specs)
    for spec in machines_of(subject):
        is_missing = all(spec.os != other.os for other in selected)
        if is_missing and spec.python_version == subject.python_version:
            selected.append(spec)
    return selected


def machines_of(subject: Subject) -> list[MachineSpec]:
    """Return the machines of the operating systems for which the subject has a platform."""
    systems = {platform.target.machine_system for platform in subject.platforms}
    return [spec for spec in machines.load().values() if spec.os in systems]


def target(machine: MachineSpec) -> Target:
    """Return the Python of a machine, with its platform tags."""
    return Target(machine.python, tuple(machine_platforms(machine)))


def environment(machine: MachineSpec) -> dict[str, str]:
    """Return the marker variables of a machine (PEP 508)."""
    platform = PlatformTarget(system=machine.os, machine="x86_64")
    return marker_environment(platform, machine.python_version)


def applicable(
    releases: Iterable[LockedRelease], machine: MachineSpec
) -> tuple[LockedRelease, ...]:
    """Return the entries of a lock whose markers select a machine."""
    variables = environment(machine)
    return tuple(
        release for release in releases if any(requirements([release.requirement], variables))
    )


def fitting_files(paths: Iterable[Path], machine: MachineSpec) -> Files:
    """Return the files that an installer on a machine can use, by project.

    A source distribution fits every machine.
    """
    tags = supported_tags(machine)
    files: dict[str, list[tuple[Version, Path]]] = defaultdict(list)
    for path in paths:
        if path.suffix == ".whl":
            if not parse_wheel_filename(path.name)[3] & tags:
                continue
            if not allows_python(metadata(path).get("requires_python", ""), machine.python_minor):
                continue
        name, version = project_and_version(path)
        files[name].append((version, path))
    return files


def fitting_versions(paths: Iterable[Path], machine: MachineSpec) -> dict[str, str]:
    """Return the newest version of each project that fits a machine, by normalised name."""
    return {
        name: str(max(version for version, _ in files))
        for name, files in fitting_files(paths, machine).items()
    }


def metadata(path: Path) -> RawMetadata:
    """Return the core metadata of a file. A file that is not a wheel has none.

    The inspection reports a damaged wheel, and one that is too large.
    """
    if path.suffix != ".whl":
        return {}
    try:
        text = open_wheel(path).metadata_file("METADATA")
    except BadWheel:
        return {}
    return parse_email(text)[0] if text else {}


def locked_versions(subject: Subject) -> list[tuple[str, str]]:
    """Return name and version of each locked dependency of a subject.

    Raises:
        DataError: the lock cannot be read.
    """
    releases = lock_file.read(subject.dependencies) if subject.dependencies else ()
    return [(release.name, release.version) for release in releases]
