"""The wheels of one release, from any origin, and the locked files that the index also serves."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from containers import cache
from containers.images import NoMatchingFile, download_wheels
from containers.progress import step
from containers.recipe import LINUX_PLATFORMS
from containers.state import state_folder
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Origin, Release, ReleaseFile, project_and_version

OLDEST_PIP = Path(__file__).with_name("locks") / "pip-oldest.txt"
"""The oldest pip that runs on the subject's Python. The index has it as well as the locked one."""
_PYTEST = Path(__file__).with_name("locks") / "pytest.txt"
_INSTALLERS = ("pip", "uv")  # a subject's lock has them, and they are no dependencies
WINDOWS_PLATFORMS = ("win_amd64",)
_PLATFORMS = {"linux": LINUX_PLATFORMS, "windows": WINDOWS_PLATFORMS}


def dependencies(locks: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files of these locks for every platform and the oldest pip, downloaded once.

    The last lock decides where two have the same file.

    Raises:
        TestbedFailure: the configured upstream index does not give them.
    """
    found: dict[str, Path] = {}
    for lock in (OLDEST_PIP, *locks):
        for name, platforms in _PLATFORMS.items():
            folder = state_folder() / "downloads" / f"{lock.stem}-{name}"
            folder = download_wheels(lock, folder, python="3.13", platforms=platforms)
            found |= {path.name: path for path in sorted(folder.glob("[!.]*"))}
    return tuple(found.values())


def locked_versions(lock: Path) -> dict[str, str]:
    """Return the version of each package of the lock that is no installer, by name."""
    lines = lock.read_text("utf-8").splitlines()
    named = dict(line.split(" ")[0].split("==") for line in lines if "==" in line)
    return {name: version for name, version in named.items() if name not in _INSTALLERS}


def tools() -> tuple[Path, ...]:
    """Return the files of the locked pytest, downloaded once; they are the same for every platform.

    Raises:
        TestbedFailure: the configured upstream index does not give them.
    """
    folder = download_wheels(_PYTEST, state_folder() / "downloads" / _PYTEST.stem, python="3.13")
    return tuple(sorted(folder.glob("[!.]*")))


def dependencies_for(
    lock: Path, python: str, platforms: tuple[str, ...] = LINUX_PLATFORMS
) -> tuple[Path, ...]:
    """Return the files of the lock for another Python on Linux; none where there are none.

    The live index has them: an older release that such a Python takes would find them there.

    Raises:
        TestbedFailure: the configured upstream index does not give them.
    """
    folder = state_folder() / "downloads" / f"{lock.stem}-linux-{python}"
    try:
        found = download_wheels(lock, folder, python=python, platforms=platforms)
    except NoMatchingFile:
        return ()
    return tuple(sorted(found.glob("[!.]*")))


def pip_wheel(version: str) -> Path:
    """Return the wheel of a certain pip, downloaded once.

    Raises:
        WrongUse: the version is none, or the configured upstream index has no such pip.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        normalized = str(Version(version))
    except InvalidVersion:
        raise WrongUse(f"--pip {version}: not a version; write one such as 24.3") from None
    folder = state_folder() / "downloads" / f"pip-{normalized}"
    cache.cached_folder(folder, functools.partial(_download_pip, normalized))
    return next(folder.glob("pip-*.whl"))


def _download_pip(version: str, into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--quiet", "--no-deps", "--only-binary=:all:"]
    command += [f"--dest={into}", f"pip=={version}"]
    with step(f"pip {version}: fetching it"):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode and "from versions:" in ran.stderr and "Retrying" not in ran.stderr:
        raise WrongUse(
            f"--pip {version}: the package index has no such pip; "
            f"the newest are: {_published(ran.stderr)}"
        )
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no output"])[-1]
        raise TestbedFailure("index-unreachable", "upstream index", f"pip {version}: {last}")


def from_folder(
    folder: Path,
    project: str,
    locks: Sequence[Path],
    *,
    origin: Origin = "wheels",
    location: str = "",
) -> Release:
    """Return the release of ``project`` whose wheels are in ``folder``.

    ``locks`` are those of the subject's dependencies, which the index serves as well.

    Raises:
        WrongUse: no such folder, no wheel in it, a name that is no wheel's, another project's
            wheel, or more than one version.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "there is no such folder"
        raise WrongUse(f"--wheels {folder}: {what}; name the folder with the wheels")
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise WrongUse(f"--wheels {folder}: there is no .whl file in it; build or download some")
    versions = set()
    for path in wheels:
        try:
            name, version = project_and_version(path)
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
            raise WrongUse(f"--wheels {folder}: {error}; rename or remove it") from None
        if name != canonicalize_name(project):
            raise WrongUse(f"--wheels {folder}: {path.name} is not a wheel of {project}; remove it")
        versions.add(version)
    if len(versions) > 1:
        listed = " and ".join(str(version) for version in sorted(versions))
        raise WrongUse(
            f"--wheels {folder}: two versions in one folder ({listed}); a release has one: "
            "remove the other"
        )
    others = {path for path in folder.glob("[!.]*") if path.is_file()}
    return Release(
        origin=origin,
        location=location or str(folder),
        version=str(versions.pop()),
        wheels=tuple(map(ReleaseFile.read, wheels)),
        dependencies=dependencies(locks),
        additional=tuple(sorted(others - set(wheels))),
    )


def from_files(files: Iterable[Path], locks: Sequence[Path], *, location: str) -> Release:
    """Return the release whose wheels were just built from the source at ``location``."""
    wheels = tuple(files)
    # The static inspection reports wheels of one source that disagree. One version names the set.
    version = min(str(project_and_version(path)[1]) for path in wheels)
    return Release(
        origin="source",
        location=location,
        version=version,
        wheels=tuple(map(ReleaseFile.read, wheels)),
        dependencies=dependencies(locks),
    )


def platforms(path: Path) -> frozenset[str]:
    """Return the platform tags in a wheel's file name."""
    return frozenset(tag.platform for tag in parse_wheel_filename(path.name)[3])


def from_release(version: str, project: str, locks: Sequence[Path]) -> Release:
    """Fetch the published wheels of one release from the configured upstream index, once.

    Raises:
        WrongUse: the version is not one, or the index has no such release.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        normalized = str(Version(version))
    except InvalidVersion:
        raise WrongUse(f"--release {version}: not a version; write one such as 0.13.5") from None
    folder = state_folder() / "releases" / project / normalized
    cache.cached_folder(folder, functools.partial(_download, normalized, project))
    return from_folder(folder, project, locks, origin="release", location=normalized)


def _download(version: str, project: str, into: Path) -> None:
    misses = []
    with step(f"release {version}: fetching the published wheels"):
        for name, platforms in _PLATFORMS.items():
            command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
            command += ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.13"]
            command += ["--implementation=cp", "--abi=cp313", "--abi=abi3", "--abi=none"]
            command += [f"--platform={platform}" for platform in platforms]
            command += [f"--dest={into}", f"{project}=={version}"]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                misses.append(ran.stderr)
                lines = ran.stderr.strip().splitlines() or ["no output"]
                # To pip, an index that does not answer has no matching distribution either.
                retries = [line for line in lines if "Retrying" in line]
                if retries or "No matching distribution" not in ran.stderr:
                    last = (retries or lines)[-1]
                    raise TestbedFailure("index-unreachable", "upstream index", f"{name}: {last}")
    if not any(into.iterdir()):
        raise WrongUse(
            f"--release {version}: {project} has no such release with wheels for CPython 3.13; "
            f"the newest are: {_published(misses[-1])}"
        )


def _published(output: str) -> str:
    """Return the versions that pip listed in its refusal."""
    for line in output.splitlines():
        if "from versions:" in line:
            versions = line.partition("from versions:")[2].strip(" )")
            if versions != "none":
                return ", ".join(versions.split(", ")[-8:])
    return "none that pip told of"
