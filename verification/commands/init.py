"""``./e2e init``: describe a package from the wheels of a release, for its first gate."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.utils import InvalidName, InvalidWheelFilename, canonicalize_name
from packaging.version import InvalidVersion, Version

from containers import upstream_releases, wheelhouse
from containers.progress import step
from containers.upstream_releases import IndexFile, NoSuchProject, UpstreamUnavailable
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.machine import MachineSpec, OperatingSystem
from verification.models.release import Release, allows_python
from verification.models.subject import PlatformTarget, Subject
from verification.scenarios import machines
from verification.session import dependencies, lock
from verification.session.user_files import user_path
from verification.subjects import subject as subjects
from verification.subjects.generate import generate, native_platform
from verification.wheel.archive import open_wheel
from verification.wheel.errors import BadWheel

_PROFILE = "quick"
"""The profile of the printed gate: the fastest verdict."""
_SHOWN_VERSIONS = 8


class Wheels(NamedTuple):
    """The wheels that a release offers, before one of them is read."""

    title: str
    """The package and the version, or the folder."""
    requires_python: Mapping[str, str]
    """The Requires-Python of each wheel, by file name."""

    def platforms(self, python: str) -> tuple[str, ...]:
        """Return the platform tags of the wheels with native code for a Python."""
        minor = f"3.{python.removeprefix('cp3')}"
        tags = {
            native_platform(name, python)
            for name, requires in self.requires_python.items()
            if allows_python(requires, minor)
        }
        return tuple(sorted(tags - {""}))


def run(options: argparse.Namespace) -> int:
    """Write the description, the smoke test and the lock, and print the gate to run next.

    Raises:
        WrongUse: the folder is not empty, or the package has no wheel that a machine can run.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    project = _project(options.package)
    name = options.output or project
    folder = user_path(name)
    _check_folder(folder)
    if options.wheels and options.release:
        raise WrongUse("init: --wheels and --release cannot be combined; use one of them")
    if options.wheels:
        release = wheelhouse.from_folder(user_path(options.wheels), project)
        wheels = Wheels(str(options.wheels), _requires_python(release))
        python = choose_python(wheels)
        origin = ["--wheels", options.wheels]
    else:
        version, files = choose_release(project, options.release)
        wheels = Wheels(f"{project} {version}", files)
        python = choose_python(wheels)
        release = wheelhouse.from_release(version, project, python)
        origin = ["--release", version]
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-init-") as scratch:
        subject = describe(release, wheels.platforms(python), python, Path(scratch))
        _copy_files(Path(scratch), folder)
    description = str(Path(name) / subject.file.name)
    print("\n".join(_lines(subject, folder)))
    print(f"next: {shlex.join(gate_command(subject, description, origin))}")
    return ExitCode.VERIFIED


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
        raise WrongUse(f"init: {reason}; correct the name, or use --wheels DIR") from None
    except UpstreamUnavailable as reason:
        raise TestbedFailure("index-unreachable", "upstream index", str(reason)) from None
    if version is not None:
        try:
            chosen = Version(version)
        except InvalidVersion:
            line = f"--release {version}: not a version; use a version such as 1.2.0"
            raise WrongUse(f"init: {line}") from None
        files = [file for file in listed if Version(file.version) == chosen]
        if not files:
            raise WrongUse(f"init: {project} has no release {chosen}; {_newest(listed)}")
        return str(chosen), _wheels_of(project, str(chosen), files)
    stable = [file for file in listed if not _is_withdrawn(file)]
    if not stable:
        line = f"{project} has no stable release; name one with --release; {_newest(listed)}"
        raise WrongUse(f"init: {line}")
    with_wheels = [file for file in stable if file.name.endswith(".whl")] or stable
    newest = max(Version(file.version) for file in with_wheels)
    files = [file for file in stable if Version(file.version) == newest]
    return str(newest), _wheels_of(project, str(newest), files)


def _wheels_of(project: str, version: str, files: Iterable[IndexFile]) -> Mapping[str, str]:
    wheels = {file.name: file.requires_python for file in files if file.name.endswith(".whl")}
    if not wheels:
        raise WrongUse(
            f"init: {project} {version} has no wheel, only a source distribution; build wheels "
            "and name their folder with --wheels"
        )
    return wheels


def _is_withdrawn(file: IndexFile) -> bool:
    return file.yanked is not None or Version(file.version).is_prerelease


def _newest(files: Iterable[IndexFile]) -> str:
    versions = sorted({Version(file.version) for file in files})[-_SHOWN_VERSIONS:]
    return f"newest versions: {', '.join(map(str, versions)) or 'none'}"


def _requires_python(release: Release) -> Mapping[str, str]:
    return {
        path.name: dependencies.metadata(path).get("requires_python", "")
        for path in release.wheel_paths
    }


def choose_python(wheels: Wheels) -> str:
    """Return the interpreter tag of the Python to describe, for which a machine has a wheel.

    It is the default one if possible, and else the newest one. The choice of another Python is
    printed.

    Raises:
        WrongUse: no wheel has native code for the Python and the system of a machine.
    """
    known = sorted({_python(spec) for spec in _machines()}, key=_minor, reverse=True)
    for python in sorted(known, key=lambda python: python != wheelhouse.DEFAULT_PYTHON):
        offered = {PlatformTarget.of(tag).machine_system for tag in wheels.platforms(python)}
        if offered & set(_systems(python)):
            if python != wheelhouse.DEFAULT_PYTHON:
                print(
                    f"{wheels.title} has no wheel for {wheelhouse.DEFAULT_PYTHON}; using {python}"
                )
            return python
    if all(name.endswith("-none-any.whl") for name in wheels.requires_python):
        raise WrongUse(
            f"init: {wheels.title} has only wheels without native code; the suite verifies "
            "packages with native code"
        )
    raise WrongUse(
        f"init: {wheels.title} has no wheel with native code for a machine: Linux with glibc or "
        f"Windows, x86-64, {', '.join(known)}"
    )


def _machines() -> list[MachineSpec]:
    """Return the machines whose Python a subject can name."""
    return [spec for spec in machines.load().values() if not spec.free_threaded and not spec.musl]


def _systems(python: str) -> tuple[OperatingSystem, ...]:
    """Return the operating systems of the machines with this Python."""
    return tuple({spec.os: None for spec in _machines() if _python(spec) == python})


def _python(spec: MachineSpec) -> str:
    """Return the interpreter tag of the Python of a machine."""
    return "cp" + "".join(map(str, spec.python_version))


def _minor(python: str) -> int:
    return int(python.removeprefix("cp3"))


# ---- the files ----


def describe(release: Release, platforms: Sequence[str], python: str, folder: Path) -> Subject:
    """Write the description, the smoke test and the lock of a release into a folder.

    ``platforms`` are the platform tags of all wheels of the release for ``python``. The release
    itself may have the wheels for machines only.

    Raises:
        WrongUse: a file is not a wheel, or the dependencies have no solution.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    native = [path for path in release.wheel_paths if native_platform(path.name, python)]
    try:
        with step("init: reading the wheels"):
            generated = generate(map(open_wheel, native), python, platforms, _systems(python))
    except (BadWheel, InvalidWheelFilename) as error:
        raise WrongUse(f"init: {error}; give a complete .whl file") from None
    description = generated.write(folder)
    resolution = lock.write_next_to(description, release)
    for reason, names in resolution.refusals.items():
        print(f"no dependencies for {', '.join(names)}: {reason}")
    return subjects.load(description)


def _project(name: str) -> str:
    """Return the normalised name of a project (PyPA: name normalization).

    Raises:
        WrongUse: it is not a valid name.
    """
    try:
        return canonicalize_name(name, validate=True)
    except InvalidName:
        raise WrongUse(
            f"init: {name} is not the name of a package; write a name such as xxhash, and its "
            "version with --release"
        ) from None


def _check_folder(folder: Path) -> None:
    """Check that the folder for the files does not exist or is empty.

    Raises:
        WrongUse: it is a file or has files.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise WrongUse(f"init: {folder}: this folder is not empty; name another with --output")
    elif folder.exists() or folder.is_symlink():
        raise WrongUse(f"init: {folder}: this is not a folder; name a folder with --output")


def _copy_files(source: Path, folder: Path) -> None:
    """Copy the files to their folder: all of them or none.

    Raises:
        WrongUse: the folder cannot be written.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            shutil.copyfile(path, folder / path.name)
    except BaseException as error:
        for path in source.iterdir():
            with contextlib.suppress(OSError):
                (folder / path.name).unlink()
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise WrongUse(f"init: {folder} cannot be written: {error.strerror}") from None
        raise


# ---- the output ----


def _lines(subject: Subject, folder: Path) -> list[str]:
    """Return a line for each platform, and one for the files."""
    lines = []
    for platform in subject.platforms:
        coverage = "machines run its wheel"
        if not platform.execute:
            coverage = "no machine runs it (execute = false); its wheel is only inspected"
        lines.append(f"{platform.tag}: {coverage}")
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    return [*lines, f"{folder}: {names}"]


def gate_command(subject: Subject, description: str, origin: Sequence[str]) -> list[str]:
    """Return the command of the first gate: the quick profile, on machines with this Python."""
    command = ["./e2e", "gate", "--subject", description, *origin, "--profile", _PROFILE]
    systems = {platform.target.machine_system for platform in subject.platforms if platform.execute}
    fitting = [spec for spec in _machines() if _python(spec) == subject.python]
    if not any(_PROFILE in spec.profiles for spec in fitting):
        first_of_system = {spec.os: spec.name for spec in reversed(fitting) if spec.os in systems}
        for name in first_of_system.values():
            command += ["--machine", name]
    return command
