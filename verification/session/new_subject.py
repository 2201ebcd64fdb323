"""Describe a package from the wheels of a release: the description, the smoke test and the lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.utils import InvalidWheelFilename
from packaging.version import InvalidVersion, Version

from containers import upstream_releases, wheelhouse
from containers.progress import step
from containers.upstream_releases import IndexFile, NoSuchProject, UpstreamUnavailable
from verification.models.base import DataError
from verification.models.errors import TestbedFailure, WheelRefused, WrongUse
from verification.models.machine import MachineSpec, OperatingSystem
from verification.models.release import Release, allows_python
from verification.models.subject import PlatformTarget, Subject, python_version
from verification.scenarios import machines
from verification.session import dependencies, lock
from verification.subjects import subject as subjects
from verification.subjects.generate import GeneratedSubject, generate, native_platform
from verification.wheel import contained
from verification.wheel.archive import open_wheel
from verification.wheel.contained import InspectionFailed
from verification.wheel.errors import BadWheel, WheelTooLarge

_SHOWN_VERSIONS = 8


class OfferedWheels(NamedTuple):
    """The wheels that a release offers, before they are read."""

    title: str
    """The package and the version, or the folder of the wheels."""
    requires_python: Mapping[str, str]
    """The Requires-Python of each wheel, by file name."""

    def platforms(self, python: str) -> tuple[str, ...]:
        """Return the platform tags of the wheels with native code for an interpreter tag."""
        minor = ".".join(map(str, python_version(python)))
        tags = {
            native_platform(name, python)
            for name, requires in self.requires_python.items()
            if allows_python(requires, minor)
        }
        return tuple(sorted(tags - {""}))


def of_release(project: str, version: str | None, folder: Path) -> tuple[Subject, str]:
    """Write the description of a published release into a folder. Return subject and version.

    Without a version, it is that of the newest stable release with wheels that is not yanked.

    Raises:
        WrongUse: there is no such release, no machine can run its wheels, or the dependencies have
            no solution.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    version, files = choose_release(project, version)
    offered = OfferedWheels(f"{project} {version}", files)
    python = choose_python(offered)
    release = wheelhouse.from_release(version, project, python)
    return describe(release, offered.platforms(python), python, folder), version


def of_folder(wheels: Path, project: str, folder: Path) -> Subject:
    """Write the description of the wheels in a folder into ``folder``, and return the subject.

    Raises:
        WrongUse: no machine can run a wheel, or the dependencies have no solution.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    release = wheelhouse.from_folder(wheels, project)
    offered = OfferedWheels(str(wheels), _requires_python(release))
    python = choose_python(offered)
    return describe(release, offered.platforms(python), python, folder)


# ---- the release ----


def choose_release(project: str, version: str | None) -> tuple[str, Mapping[str, str]]:
    """Return a version and the Requires-Python of its wheels, by file name.

    Without a version, it is that of the newest stable release with wheels that is not yanked.

    Raises:
        WrongUse: the index has no such project or release, or no wheel of it.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        listed = upstream_releases.listing(project)
    except NoSuchProject as reason:
        raise WrongUse(f"{reason}; correct the name, or use --wheels DIR") from None
    except UpstreamUnavailable as reason:
        raise TestbedFailure("index-unreachable", "upstream index", str(reason)) from None
    if version is not None:
        try:
            chosen = Version(version)
        except InvalidVersion:
            raise WrongUse(
                f"--release {version}: not a version; use a version such as 1.2.0"
            ) from None
        files = [file for file in listed if Version(file.version) == chosen]
        if not files:
            raise WrongUse(f"{project} has no release {chosen}; name another; {_newest(listed)}")
        return str(chosen), _wheels_of(project, str(chosen), files)
    stable = [file for file in listed if _is_stable(file)]
    if not stable:
        raise WrongUse(
            f"{project} has no stable release; name another with --release; {_newest(listed)}"
        )
    with_wheels = [file for file in stable if file.name.endswith(".whl")] or stable
    newest = max(Version(file.version) for file in with_wheels)
    files = [file for file in stable if Version(file.version) == newest]
    return str(newest), _wheels_of(project, str(newest), files)


def _wheels_of(project: str, version: str, files: Iterable[IndexFile]) -> Mapping[str, str]:
    wheels = {file.name: file.requires_python for file in files if file.name.endswith(".whl")}
    if not wheels:
        raise WrongUse(
            f"{project} {version} has no wheel, only a source distribution; build wheels "
            "and name their folder with --wheels"
        )
    return wheels


def _is_stable(file: IndexFile) -> bool:
    """Return whether a file is not yanked and not of a prerelease."""
    return file.yanked is None and not Version(file.version).is_prerelease


def _newest(files: Iterable[IndexFile]) -> str:
    versions = sorted({Version(file.version) for file in files})[-_SHOWN_VERSIONS:]
    return f"newest versions: {', '.join(map(str, versions)) or 'none'}"


def _requires_python(release: Release) -> Mapping[str, str]:
    return {
        path.name: dependencies.metadata(path).get("requires_python", "")
        for path in release.wheel_paths
    }


def choose_python(wheels: OfferedWheels) -> str:
    """Return the interpreter tag of the Python that the description names.

    A machine with this Python can install one of the wheels. It is the default Python if possible,
    otherwise the newest such Python, and a line on standard output names it.

    Raises:
        WrongUse: no wheel has native code for the Python and the system of a machine.
    """
    known = sorted(
        {python_of(spec) for spec in usable_machines()}, key=python_version, reverse=True
    )
    for python in sorted(known, key=lambda python: python != wheelhouse.DEFAULT_PYTHON):
        systems = {PlatformTarget.of(tag).machine_system for tag in wheels.platforms(python)}
        if systems & set(_systems(python)):
            if python != wheelhouse.DEFAULT_PYTHON:
                print(
                    f"{wheels.title} has no wheel for {wheelhouse.DEFAULT_PYTHON}; using {python}"
                )
            return python
    if all(name.endswith("-none-any.whl") for name in wheels.requires_python):
        raise WrongUse(
            f"{wheels.title} has only wheels without native code; name a package with native code, "
            "because the suite verifies no others"
        )
    raise WrongUse(
        f"{wheels.title} has no wheel with native code that a machine can install; name a release "
        f"with wheels for Linux (glibc) or Windows on x86-64, for one of {', '.join(known)}"
    )


def usable_machines() -> list[MachineSpec]:
    """Return the machines whose Python a subject can name."""
    return [spec for spec in machines.load().values() if not spec.free_threaded and not spec.musl]


def _systems(python: str) -> tuple[OperatingSystem, ...]:
    """Return the operating systems of the machines with this Python."""
    return tuple({spec.os: None for spec in usable_machines() if python_of(spec) == python})


def python_of(spec: MachineSpec) -> str:
    """Return the interpreter tag of the Python of a machine."""
    return "cp" + "".join(map(str, spec.python_version))


def describe(release: Release, platforms: Sequence[str], python: str, folder: Path) -> Subject:
    """Write the description, the smoke test and the lock of a release into a folder.

    ``platforms`` are the platform tags of all wheels of the release for ``python``, an interpreter
    tag. ``release`` can lack the wheels that no machine installs.

    Raises:
        WrongUse: a file is not a wheel, or the dependencies have no solution.
        WheelRefused: a wheel unpacks to more than a limit.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer, or
            ``inspection-failed``: reading a wheel crashed, or met a limit.
    """
    native = [path for path in release.wheel_paths if native_platform(path.name, python)]
    try:
        with step("release: reading the wheels"):
            generated = _generate(native, platforms, python)
    except WheelTooLarge as error:
        raise WheelRefused(error.file, str(error), error.facts) from None
    except InspectionFailed as error:
        raise TestbedFailure("inspection-failed", error.file, error.reason) from None
    except (BadWheel, InvalidWheelFilename) as error:
        raise WrongUse(f"{error}; give a complete .whl file") from None
    description = generated.write(folder)
    resolution = lock.write_next_to(description, release)
    for reason, names in resolution.refusals.items():
        print(f"no dependencies for {', '.join(names)}: {reason}")
    return subjects.load(description)


def _generate(wheels: Sequence[Path], platforms: Sequence[str], python: str) -> GeneratedSubject:
    """Generate the files in a child process with limits, because it reads the wheels."""
    expected = (BadWheel, InvalidWheelFilename, DataError)

    def read(_: Path) -> GeneratedSubject:
        return generate(map(open_wheel, wheels), python, platforms, _systems(python))

    largest = max(wheels, key=lambda path: path.stat().st_size, default=Path())
    (generated,) = contained.read(read, [largest], GeneratedSubject, expected=expected)
    return generated
