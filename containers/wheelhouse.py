"""The wheels of one release, wherever they come from, and the locked dependencies beside them."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from containers.images import LINUX_PLATFORMS, download_wheels
from containers.progress import step
from containers.state import locked, state_dir
from verification.models.errors import TestbedFailure, WrongUse

LOCK = Path(__file__).parents[1] / "verification/subjects/quiverdb/dependencies.txt"
OLDEST_PIP = Path(__file__).with_name("locks") / "pip-oldest.txt"
"""The oldest pip that runs on the subject's Python; it is on the index beside the locked one."""
PYTEST = Path(__file__).with_name("locks") / "pytest.txt"
"""What runs the package's own tests: tools of a developer, and no dependencies of the package."""
OLDER_CFFI = Path(__file__).with_name("locks") / "cffi-older.txt"
"""The newest cffi that the subject does not take, as environments made before it have it."""
_INSTALLERS = ("pip", "uv")  # locked with them, and no dependencies
WINDOWS_PLATFORMS = ("win_amd64",)
_PLATFORMS = {"linux": LINUX_PLATFORMS, "windows": WINDOWS_PLATFORMS}


@dataclasses.dataclass(frozen=True)
class Wheelhouse:
    """The files of one release of the subject, and the dependencies published beside them."""

    origin: str
    """``source``, ``wheels`` or ``release``."""
    place: str
    """The folder, or the release's version, that the wheels come from."""
    version: str
    wheels: tuple[Path, ...]
    dependencies: tuple[Path, ...]
    earlier: tuple[Path, ...] = ()
    """Files of earlier releases that are on the index beside it, oldest first."""
    yanked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The reason by name, of the earlier files that were withdrawn."""
    tools: tuple[Path, ...] = ()
    """Files of pytest, which runs the package's own tests; on the index where these are run."""
    beside: tuple[Path, ...] = ()
    """What lies beside the wheels in their folder: files that are not verified."""
    lost: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Wheels of the release that cannot be had, and why, by name."""

    @property
    def previous(self) -> str:
        """The newest earlier release with a wheel on the index; empty if there is none."""
        versions = {_identity(path)[1] for path in self.earlier if path.suffix == ".whl"}
        return str(max(versions)) if versions else ""

    def digests(self) -> dict[str, str]:
        """Return the sha256 of each wheel of the subject, by file name."""
        return {path.name: sha256(path) for path in self.wheels}

    def locked(self) -> dict[str, str]:
        """Return the version of each locked dependency, by normalised name."""
        found = {}
        for path in self.dependencies:
            name, version = _identity(path)
            found[name] = str(version)
        return found


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(path: Path) -> tuple[str, Version]:
    if path.suffix == ".whl":
        name, version, _, _ = parse_wheel_filename(path.name)
    else:
        name, version = parse_sdist_filename(path.name)
    return str(name), version


def dependencies() -> tuple[Path, ...]:
    """Return the locked dependencies for every platform, downloaded once.

    Raises:
        TestbedFailure: the configured upstream index does not give them.
    """
    with locked("dependencies"):
        found: dict[str, Path] = {}
        for lock in (OLDEST_PIP, OLDER_CFFI, LOCK):
            for name, platforms in _PLATFORMS.items():
                folder = state_dir() / "downloads" / f"{lock.stem}-{name}"
                folder = download_wheels(lock, folder, python="3.13", platforms=platforms)
                found |= {path.name: path for path in sorted(folder.glob("[!.]*"))}
    return tuple(found.values())


def needed() -> dict[str, str]:
    """Return the version of each locked package that the subject depends on, by name."""
    lines = LOCK.read_text("utf-8").splitlines()
    named = dict(line.split(" ")[0].split("==") for line in lines if "==" in line)
    return {name: version for name, version in named.items() if name not in _INSTALLERS}


def tools() -> tuple[Path, ...]:
    """Return the files of the locked pytest, downloaded once; they are the same for every platform.

    Raises:
        TestbedFailure: the configured upstream index does not give them.
    """
    with locked("dependencies"):
        folder = download_wheels(PYTEST, state_dir() / "downloads" / PYTEST.stem, python="3.13")
    return tuple(sorted(folder.glob("[!.]*")))


def dependencies_for(python: str, platforms: tuple[str, ...] = LINUX_PLATFORMS) -> tuple[Path, ...]:
    """Return the locked dependencies for another Python on Linux, none where there are none.

    The live index has them: an older release that such a Python takes would find them there.
    """
    folder = state_dir() / "downloads" / f"{LOCK.stem}-linux-{python}"
    with locked("dependencies"):
        try:
            found = download_wheels(LOCK, folder, python=python, platforms=platforms)
        except TestbedFailure:
            return ()
    return tuple(sorted(found.glob("[!.]*")))


def pip(version: str) -> Path:
    """Return the wheel of a certain pip, downloaded once.

    Raises:
        WrongUse: the version is none, or the configured upstream index has no such pip.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        wanted = str(Version(version))
    except InvalidVersion:
        raise WrongUse(f"--pip {version}: not a version; write one such as 24.3") from None
    folder = state_dir() / "downloads" / f"pip-{wanted}"
    with locked(f"pip-{wanted}"):
        if not folder.exists():
            with step(f"pip {wanted}: fetching it"):
                _download_pip(wanted, folder)
    return next(folder.glob("pip-*.whl"))


def _download_pip(version: str, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        partial = Path(scratch) / into.name
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        command += ["--quiet", "--no-deps", "--only-binary=:all:"]
        command += [f"--dest={partial}", f"pip=={version}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode and "from versions:" in ran.stderr and "Retrying" not in ran.stderr:
            raise WrongUse(
                f"--pip {version}: the package index has no such pip; "
                f"the newest are: {_published(ran.stderr)}"
            )
        if ran.returncode:
            last = (ran.stderr.strip().splitlines() or ["no output"])[-1]
            raise TestbedFailure("index-unreachable", "upstream index", f"pip {version}: {last}")
        partial.rename(into)


def from_folder(
    folder: Path, project: str, *, origin: str = "wheels", place: str = ""
) -> Wheelhouse:
    """Take the wheels of ``project`` in ``folder``.

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
            name, version = _identity(path)
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
            raise WrongUse(f"--wheels {folder}: {error}; rename or remove it") from None
        if name != canonicalize_name(project):
            raise WrongUse(f"--wheels {folder}: {path.name} is not a wheel of {project}; remove it")
        versions.add(version)
    if len(versions) > 1:
        told = " and ".join(str(version) for version in sorted(versions))
        raise WrongUse(
            f"--wheels {folder}: two versions in one folder ({told}); a release has one: "
            "remove the other"
        )
    others = {path for path in folder.glob("[!.]*") if path.is_file()}
    return Wheelhouse(
        origin,
        place or str(folder),
        str(versions.pop()),
        tuple(wheels),
        dependencies(),
        beside=tuple(sorted(others - set(wheels))),
    )


def from_files(files: Iterable[Path], *, place: str) -> Wheelhouse:
    """Take wheels that were just built from the source at ``place``."""
    wheels = tuple(files)
    versions = {str(_identity(path)[1]) for path in wheels}
    # Wheels of one source that disagree are the static layer's to tell; one version names the set.
    return Wheelhouse("source", place, min(versions), wheels, dependencies())


def platforms(path: Path) -> frozenset[str]:
    """Return the platform tags in a wheel's file name."""
    return frozenset(tag.platform for tag in parse_wheel_filename(path.name)[3])


def from_release(version: str, project: str) -> Wheelhouse:
    """Fetch the published wheels of one release from the configured upstream index, once.

    Raises:
        WrongUse: the version is not one, or the index has no such release.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    try:
        wanted = str(Version(version))
    except InvalidVersion:
        raise WrongUse(f"--release {version}: not a version; write one such as 0.13.5") from None
    folder = state_dir() / "releases" / project / wanted
    with locked(f"release-{project}-{wanted}"):
        if not folder.exists():
            with step(f"release {wanted}: fetching the published wheels"):
                _download(wanted, project, folder)
    return from_folder(folder, project, origin="release", place=wanted)


def _download(version: str, project: str, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        partial = Path(scratch) / into.name
        partial.mkdir()
        misses = []
        for name, platforms in _PLATFORMS.items():
            command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
            command += ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.13"]
            command += ["--implementation=cp", "--abi=cp313", "--abi=abi3", "--abi=none"]
            command += [f"--platform={platform}" for platform in platforms]
            command += [f"--dest={partial}", f"{project}=={version}"]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                misses.append(ran.stderr)
                lines = ran.stderr.strip().splitlines() or ["no output"]
                # To pip, an index that does not answer has no matching distribution either.
                retries = [line for line in lines if "Retrying" in line]
                if retries or "No matching distribution" not in ran.stderr:
                    last = (retries or lines)[-1]
                    raise TestbedFailure("index-unreachable", "upstream index", f"{name}: {last}")
        if not any(partial.iterdir()):
            raise WrongUse(
                f"--release {version}: {project} has no such release with wheels for CPython 3.13; "
                f"the newest are: {_published(misses[-1])}"
            )
        partial.rename(into)


def _published(output: str) -> str:
    """Return the versions that pip told of in its refusal."""
    for line in output.splitlines():
        if "from versions:" in line:
            versions = line.partition("from versions:")[2].strip(" )")
            if versions != "none":
                return ", ".join(versions.split(", ")[-8:])
    return "none that pip told of"
