"""The wheels of one release, from any origin, and the locked files that the index also serves."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from containers import cache
from containers.images import NoMatchingFile, download_wheels, fetch_wheels
from containers.progress import step
from containers.recipe import LINUX_PLATFORMS, MUSL_PLATFORMS
from containers.state import state_folder
from verification.models import lock_file
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.lock_file import LockedRelease
from verification.models.release import Origin, Release, ReleaseFile, project_and_version
from verification.models.subject import python_version

_LOCKS = Path(__file__).with_name("locks")
OLDEST_PIP = _LOCKS / "pip-oldest.txt"
"""The lock of the oldest pip that runs on the subject's Python. The index serves this pip too."""
_INSTALLERS = _LOCKS / "installers.txt"
_PYTEST = _LOCKS / "pytest.txt"
WINDOWS_PLATFORMS = ("win_amd64",)
_PLATFORMS = {"linux": LINUX_PLATFORMS, "windows": WINDOWS_PLATFORMS}
_NEWER_GLIBC = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(29, 42))
"""The tags of wheels that only the machines with a newer glibc can install (PEP 600)."""
_RELEASE_PLATFORMS = {**_PLATFORMS, "linux": (*LINUX_PLATFORMS, *_NEWER_GLIBC)}
DEFAULT_PYTHON = "cp313"
"""The interpreter tag of the Python that most machines have."""


class Target(NamedTuple):
    """The Python of a machine, and the platform tags that it accepts."""

    python: str
    """The version, followed by ``t`` if it is free-threaded."""
    platforms: tuple[str, ...]
    """The best tag comes first."""


def installers() -> tuple[Path, ...]:
    """Return the locked pip and uv for all machines, and the oldest pip, downloaded once.

    Raises:
        TestbedFailure: a file cannot be downloaded from the configured upstream index.
    """
    files: dict[str, Path] = {}
    for lock in (OLDEST_PIP, _INSTALLERS):
        for name, platforms in {**_PLATFORMS, "musl": MUSL_PLATFORMS}.items():
            folder = state_folder() / "downloads" / f"{lock.stem}-{name}"
            folder = download_wheels(lock, folder, python="3.13", platforms=platforms)
            files |= {path.name: path for path in sorted(folder.glob("[!.]*"))}
    return tuple(files.values())


def dependencies(releases: Sequence[LockedRelease], target: Target) -> tuple[Path, ...]:
    """Return one wheel of each locked dependency for a target, downloaded once.

    The markers of ``releases`` select the target.
    If a dependency has several versions, the wheel is that of the newest version with a wheel for
    the target. A dependency without such a version is omitted.

    Raises:
        TestbedFailure: a file cannot be downloaded from the configured upstream index.
    """
    if not releases:
        return ()
    digest = sha256(repr((releases, target)).encode()).hexdigest()[:12]
    folder = state_folder() / "downloads" / f"dependencies-{target.python}-{digest}"
    cache.cached_folder(folder, functools.partial(_download_dependencies, releases, target))
    return tuple(sorted(folder.glob("*.whl")))


def _download_dependencies(releases: Sequence[LockedRelease], target: Target, folder: Path) -> None:
    versions: dict[str, list[LockedRelease]] = {}
    for release in sorted(releases, key=lambda entry: Version(entry.version), reverse=True):
        versions.setdefault(release.name, []).append(release)
    lock = folder / "dependencies.txt"

    def fetch(*entries: LockedRelease) -> bool:
        # pip compares markers with its own Python and system, not with the target.
        unconditional = [entry.model_copy(update={"marker": ""}) for entry in entries]
        lock.write_text(lock_file.format_text(unconditional), "utf-8")
        try:
            fetch_wheels(lock, folder, target.python, target.platforms)
        except NoMatchingFile:
            return False
        return True

    if not fetch(*(newest for newest, *_ in versions.values())):
        for candidates in versions.values():
            any(map(fetch, candidates))


def tools() -> tuple[Path, ...]:
    """Return the files of the locked pytest for all platforms, downloaded once.

    Raises:
        TestbedFailure: a file cannot be downloaded from the configured upstream index.
    """
    folder = download_wheels(_PYTEST, state_folder() / "downloads" / _PYTEST.stem, python="3.13")
    return tuple(sorted(folder.glob("[!.]*")))


def installer_wheels(program: str, version: str) -> tuple[Path, ...]:
    """Return the wheels of one version of pip or uv for all machines, downloaded once.

    Raises:
        WrongUse: the version is not valid, or the configured upstream index does not have it.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        normalized = str(Version(version))
    except InvalidVersion:
        line = f"--{program} {version}: not a version; use a version such as 24.3"
        raise WrongUse(line) from None
    folder = state_folder() / "downloads" / f"{program}-{normalized}"
    cache.cached_folder(folder, functools.partial(_download_installer, program, normalized))
    return tuple(sorted(folder.glob(f"{program}-*.whl")))


def _pip_download(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--quiet", "--no-deps", "--only-binary=:all:", f"--dest={folder}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _download_installer(program: str, version: str, folder: Path) -> None:
    systems: tuple[tuple[str, ...], ...] = ((),)
    if program == "uv":
        systems = (*_PLATFORMS.values(), MUSL_PLATFORMS)
    with step(f"{program} {version}: downloading it"):
        for platforms in systems:
            options = [f"--platform={platform}" for platform in platforms]
            result = _pip_download(folder, *options, f"{program}=={version}")
            if result.returncode and not any(folder.iterdir()):
                raise _download_error(program, version, result.stderr)


def _download_error(program: str, version: str, errors: str) -> WrongUse | TestbedFailure:
    if "from versions:" in errors and "Retrying" not in errors:
        return WrongUse(
            f"--{program} {version}: the upstream index has no such {program}; "
            f"newest versions: {_published_versions(errors)}"
        )
    last_line = (errors.strip().splitlines() or ["no output"])[-1]
    return TestbedFailure(
        "index-unreachable", "upstream index", f"{program} {version}: {last_line}"
    )


def from_folder(
    folder: Path,
    project: str,
    *,
    origin: Origin = "wheels",
    location: str = "",
) -> Release:
    """Return the release of ``project`` whose wheels are in ``folder``.

    Raises:
        WrongUse: the folder does not exist or has no wheel, more than one version, an invalid file
            name, or a wheel of another project.
    """
    if not folder.is_dir():
        reason = "this is a file" if folder.is_file() else "the folder does not exist"
        raise WrongUse(f"--wheels {folder}: {reason}; name the folder with the wheels")
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise WrongUse(f"--wheels {folder}: no .whl file in this folder; build or download wheels")
    versions = set()
    for path in wheels:
        try:
            name, version = project_and_version(path)
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
            raise WrongUse(f"--wheels {folder}: {error}; rename or remove the file") from None
        if name != canonicalize_name(project):
            raise WrongUse(f"--wheels {folder}: {path.name} is not a wheel of {project}; remove it")
        versions.add(version)
    if len(versions) > 1:
        version_list = ", ".join(str(version) for version in sorted(versions))
        raise WrongUse(
            f"--wheels {folder}: more than one version in this folder ({version_list}); "
            "keep the wheels of one version"
        )
    files = {path for path in folder.glob("[!.]*") if path.is_file()}
    return Release(
        origin=origin,
        location=location or str(folder),
        version=str(versions.pop()),
        wheels=tuple(map(ReleaseFile.read, wheels)),
        additional=tuple(sorted(files - set(wheels))),
    )


def from_files(files: Iterable[Path], *, location: str) -> Release:
    """Return the release whose wheels were built from the source at ``location``."""
    wheels = tuple(files)
    # If the versions of the wheels differ, the static inspection reports this.
    version = min(str(project_and_version(path)[1]) for path in wheels)
    return Release(
        origin="source",
        location=location,
        version=version,
        wheels=tuple(map(ReleaseFile.read, wheels)),
    )


def platforms(path: Path) -> frozenset[str]:
    """Return the platform tags in a wheel's file name."""
    return frozenset(tag.platform for tag in parse_wheel_filename(path.name)[3])


def from_release(version: str, project: str, python: str = DEFAULT_PYTHON) -> Release:
    """Download the published wheels of one release from the configured upstream index, once.

    ``python`` is an interpreter tag. The wheels are for it and for the systems of the machines.

    Raises:
        WrongUse: the version is not valid, or the index has no such release.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        normalized = str(Version(version))
    except InvalidVersion:
        raise WrongUse(f"--release {version}: not a version; use a version such as 1.2.0") from None
    name = normalized if python == DEFAULT_PYTHON else f"{normalized}-{python}"
    folder = state_folder() / "releases" / project / name
    cache.cached_folder(folder, functools.partial(_download, normalized, project, python))
    return from_folder(folder, project, origin="release", location=normalized)


def _download(version: str, project: str, python: str, folder: Path) -> None:
    minor = ".".join(map(str, python_version(python)))
    refusals = []
    with step(f"release {version}: downloading the published wheels"):
        for name, platforms in _RELEASE_PLATFORMS.items():
            options = [f"--python-version={minor}", "--implementation=cp"]
            options += [f"--abi={python}", "--abi=abi3", "--abi=none"]
            options += [f"--platform={platform}" for platform in platforms]
            result = _pip_download(folder, *options, f"{project}=={version}")
            if result.returncode:
                refusals.append(result.stderr)
                lines = result.stderr.strip().splitlines() or ["no output"]
                # pip reports no matching distribution also if the index does not answer.
                retries = [line for line in lines if "Retrying" in line]
                if retries or "No matching distribution" not in result.stderr:
                    line = (retries or lines)[-1]
                    raise TestbedFailure("index-unreachable", "upstream index", f"{name}: {line}")
    if not any(folder.iterdir()):
        raise WrongUse(
            f"--release {version}: {project} has no such release with wheels for CPython {minor}; "
            f"newest versions: {_published_versions(refusals[-1])}"
        )


def _published_versions(output: str) -> str:
    """Return the newest versions that an error message of pip lists."""
    for line in output.splitlines():
        if "from versions:" in line:
            versions = line.partition("from versions:")[2].strip(" )")
            if versions != "none":
                return ", ".join(versions.split(", ")[-8:])
    return "pip lists none"
