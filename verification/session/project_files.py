"""The files in the user's project folder before the installation."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import parse_wheel_filename

from containers import images
from containers import recipe as recipes
from containers.state import state_folder
from verification.models.machine import MachineSpec
from verification.models.release import Release, file_sha256
from verification.models.scenario import ProjectFileKind
from verification.models.subject import Subject
from verification.session import dependencies
from verification.wheel.library_names import has_hash

_OLD_RUNTIME = "windows-wine-vcredist-old"
_RUNTIME_LIBRARIES = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")


def collect(
    kinds: Iterable[ProjectFileKind], release: Release, subject: Subject, machine: MachineSpec
) -> dict[str, bytes]:
    """Return the contents of the files of these kinds for a machine, by their path in the folder.

    Raises:
        TestbedFailure: the upstream index does not serve a file that is needed.
    """
    wheels = [*release.wheel_paths, *_locked_wheels(release, subject, machine)]
    files: dict[str, bytes] = {}
    for kind in kinds:
        match kind:
            case "wheels":
                files |= {f"wheels/{path.name}": path.read_bytes() for path in wheels}
            case "hashes":
                files["requirements.txt"] = _requirements(wheels)
            case "decoys":
                files |= _decoys(release)
            case "old-runtime":
                files |= {f"other/{name}": data for name, data in _old_runtime().items()}
    return files


def _locked_wheels(release: Release, subject: Subject, machine: MachineSpec) -> list[Path]:
    """Return the wheels of the locked dependencies, in the versions that the machine installs.

    The wheels of such a version for other machines are included. The release may have other
    versions too.
    """
    locked = {name for name, _ in dependencies.locked_versions(subject)}
    versions = dependencies.fitting_versions(release.dependencies, machine)
    wheels = []
    for path in release.dependencies:
        if path.suffix == ".whl":
            name, version, *_ = parse_wheel_filename(path.name)
            if name in locked and versions.get(name) == str(version):
                wheels.append(path)
    return wheels


def _requirements(wheels: Iterable[Path]) -> bytes:
    lines: dict[str, list[str]] = {}
    for path in wheels:
        name, version, *_ = parse_wheel_filename(path.name)
        lines.setdefault(f"{name}=={version}", []).append(f"--hash=sha256:{file_sha256(path)}")
    return "\n".join(f"{name} {' '.join(hashes)}" for name, hashes in lines.items()).encode()


def _decoys(release: Release) -> dict[str, bytes]:
    """Return files with the names of the package's libraries, in the folder and in `decoy`.

    Another package has no library with the same name if the name has a hash.
    """
    files: dict[str, bytes] = {}
    for path in release.wheel_paths:
        if not path.name.endswith("win_amd64.whl"):
            continue
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = Path(member).name
                if member.endswith(".dll") and not has_hash(name):
                    files |= dict.fromkeys((name, f"decoy/{name}"), archive.read(member))
    return files


def _old_runtime() -> dict[str, bytes]:
    """Return the C++ run-time libraries for Windows from a version before 14.40, by file name.

    Raises:
        TestbedFailure: the upstream index does not serve them.
    """
    recipe = recipes.load(_OLD_RUNTIME)
    folder = images.download_wheels(
        recipe.requirements,
        state_folder() / "downloads" / recipe.name,
        python=recipe.python,
        platforms=recipe.platforms,
    )
    (wheel,) = folder.glob("msvc_runtime-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {
            Path(name).name: archive.read(name)
            for name in archive.namelist()
            if Path(name).name in _RUNTIME_LIBRARIES
        }
