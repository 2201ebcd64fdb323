"""The files in the user's project folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from containers import images
from tests.helpers.sample_wheels import SUBJECT, linux_wheel, windows_wheel
from verification.models.release import Release, ReleaseFile, file_sha256
from verification.models.scenario import ProjectFileKind
from verification.scenarios import machines
from verification.session import project_files


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Return a release with dependencies: the locked cffi, other files of cffi, and pip."""
    lock = tmp_path / "lock.txt"
    lock.write_text("cffi==2.0.0 \\\n    --hash=sha256:0\n")
    names = ("cffi-2.0.0-py3-none-any.whl", "cffi-1.0.0-py3-none-any.whl", "cffi-2.0.0.tar.gz")
    paths = tuple(tmp_path / name for name in (*names, "pip-26.0-py3-none-any.whl"))
    for path in paths:
        path.write_bytes(path.name.encode())
    return Release(
        origin="wheels",
        location="x",
        version="1.0.0",
        wheels=tuple(map(ReleaseFile.read, (linux_wheel(tmp_path), windows_wheel(tmp_path)))),
        dependencies=paths,
    )


def collect(release: Release, *kinds: ProjectFileKind) -> dict[str, bytes]:
    lock = release.dependencies[0].parent / "lock.txt"
    subject = SUBJECT.model_copy(update={"dependencies": lock})
    return project_files.collect(kinds, release, subject, machines.load()["debian-13"])


def test_a_scenario_without_kinds_of_files_has_no_project_files(release: Release) -> None:
    assert collect(release) == {}


def test_kind_wheels_has_the_wheels_of_the_release_and_its_locked_dependencies(
    release: Release,
) -> None:
    linux, windows = release.wheel_paths
    assert collect(release, "wheels") == {
        f"wheels/{linux.name}": linux.read_bytes(),
        f"wheels/{windows.name}": windows.read_bytes(),
        "wheels/cffi-2.0.0-py3-none-any.whl": b"cffi-2.0.0-py3-none-any.whl",
    }


def test_kind_hashes_has_the_hash_of_each_wheel(release: Release) -> None:
    linux, windows = map(file_sha256, release.wheel_paths)
    cffi = file_sha256(release.dependencies[0])
    lines = collect(release, "hashes")["requirements.txt"].decode().splitlines()
    assert lines == [
        f"quiverdb==1.0.0 --hash=sha256:{linux} --hash=sha256:{windows}",
        f"cffi==2.0.0 --hash=sha256:{cffi}",
    ]


def test_kind_decoys_has_the_names_of_the_packages_libraries(release: Release) -> None:
    files = collect(release, "decoys")
    names = {"libquiver.dll", "libquiver_c.dll"}
    assert files.keys() == names | {f"decoy/{name}" for name in names}
    assert files["libquiver.dll"] == files["decoy/libquiver.dll"]
    assert files["libquiver.dll"].startswith(b"MZ")


def test_kind_decoys_has_no_name_with_a_hash(release: Release, tmp_path: Path) -> None:
    name = "quiverdb.libs/zlib1-0a1b2c3d.dll"
    folder = tmp_path / "hashed"
    folder.mkdir()
    wheel = ReleaseFile.read(windows_wheel(folder, {name: b"MZ"}))
    files = collect(release.model_copy(update={"wheels": (wheel,)}), "decoys")
    assert [path for path in files if "zlib1" in path] == []
    assert "libquiver.dll" in files


def test_kind_old_runtime_has_the_libraries_of_the_recipe(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_lock: Path, _folder: Path, *, python: str, platforms: tuple[str, ...]) -> Path:
        assert (python, platforms) == ("3.8", ("win_amd64",))
        with zipfile.ZipFile(tmp_path / "msvc_runtime-14.29-py3-none-win_amd64.whl", "w") as file:
            for name in ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll", "concrt140.dll"):
                file.writestr(f"msvc_runtime-14.29.data/data/{name}", name)
        return tmp_path

    monkeypatch.setattr(images, "download_wheels", download)
    assert collect(release, "old-runtime") == {
        f"other/{name}": name.encode()
        for name in ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")
    }


def test_the_files_of_several_kinds_are_combined(release: Release) -> None:
    assert collect(release, "hashes", "wheels").keys() == {
        *collect(release, "hashes"),
        *collect(release, "wheels"),
    }
