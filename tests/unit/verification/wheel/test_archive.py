from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tests.helpers.sample_wheels import LINUX_CORE, linux_core, linux_wheel
from verification.wheel.archive import open_wheel
from verification.wheel.errors import BadWheel

INFO = "quiverdb-1.0.0.dist-info"


@pytest.mark.parametrize("keep", [0, 100, -10])
def test_a_truncated_wheel_is_bad_input(tmp_path: Path, keep: int) -> None:
    wheel = linux_wheel(tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:keep])
    with pytest.raises(BadWheel, match=r"is no wheel: .* bytes"):
        open_wheel(wheel)


def test_a_file_that_is_no_archive_is_bad_input(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-1.0.0-cp313-cp313-win_amd64.whl"
    wheel.write_text("not found")
    with pytest.raises(BadWheel, match=r"\(9 bytes\)") as raised:
        open_wheel(wheel)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["absent.whl", "."])
def test_an_unreadable_path_is_bad_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadWheel, match=r"cannot be read: (No such|Is a)"):
        open_wheel(tmp_path / name)


def test_the_files_of_a_wheel_are_read(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    archive = open_wheel(wheel)
    assert archive.name == wheel.name
    assert archive.size == wheel.stat().st_size
    assert archive.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert archive.files[LINUX_CORE] == linux_core()
    assert set(archive.names) == set(archive.files)
    assert archive.unreadable == {}


def test_folders_are_no_files_and_repeats_are_listed(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/a", "")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("folder/a", "")
    assert open_wheel(wheel).names == ("folder/a", "folder/a")


def test_one_damaged_file_leaves_the_others_readable(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("bad", b"stored as it is")
        file.writestr("good", b"x")
    wheel.write_bytes(wheel.read_bytes().replace(b"stored", b"STORED"))
    archive = open_wheel(wheel)
    assert archive.files == {"good": b"x"}
    assert list(archive.unreadable) == ["bad"]
    assert "CRC" in archive.unreadable["bad"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("quiverdb/a.py", "quiverdb/a.py"),
        ("quiverdb-1.0.0.data/purelib/quiverdb/a.py", "quiverdb/a.py"),
        ("quiverdb-1.0.0.data/platlib/a.py", "a.py"),
        ("quiverdb-1.0.0.data/platlib", "quiverdb-1.0.0.data/platlib"),
        ("quiverdb-1.0.0.data/scripts/a", "quiverdb-1.0.0.data/scripts/a"),
        ("quiverdb/platlib/a.py", "quiverdb/platlib/a.py"),
        ("quiverdb/x.data/platlib/a.py", "quiverdb/x.data/platlib/a.py"),
    ],
)
def test_files_of_the_data_folder_are_installed_elsewhere(
    tmp_path: Path, name: str, path: str
) -> None:
    archive = open_wheel(linux_wheel(tmp_path, {name: "x = 1"}))
    assert archive.install_paths[name] == path
    assert archive.installed[path] == b"x = 1"


def test_the_metadata_is_read_from_the_first_folder_that_has_it(tmp_path: Path) -> None:
    files = {"quiverdb-0.9.0.dist-info/METADATA": b"\xff", "a.dist-info": b""}
    archive = open_wheel(linux_wheel(tmp_path, files))
    assert archive.dist_infos == ("quiverdb-0.9.0.dist-info", INFO)
    assert archive.metadata_file("METADATA") == "\N{REPLACEMENT CHARACTER}"
    assert (archive.metadata_file("WHEEL") or "").startswith("Wheel-Version: 1.0\n")
    assert archive.metadata_file("absent") is None


def test_a_name_without_parts_is_read(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, {"./.": ""})
    assert "./." in open_wheel(wheel).names
