from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tests.helpers.sample_wheels import LINUX_CORE, linux_core, linux_wheel
from verification.wheel.archive import open_wheel
from verification.wheel.errors import BadWheel

INFO = "quiverdb-1.0.0.dist-info"


def refusal(wheel: Path) -> str:
    """Return the message for a file that is not a wheel."""
    with pytest.raises(BadWheel) as raised:
        open_wheel(wheel)
    message = str(raised.value)
    assert str(wheel) in message
    assert "\n" not in message
    return message


def test_truncated_wheel_is_refused_with_its_size(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    data = wheel.read_bytes()
    for size in (0, 100, len(data) - 10):
        wheel.write_bytes(data[:size])
        assert f"{size} bytes" in refusal(wheel)


def test_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-1.0.0-cp313-cp313-win_amd64.whl"
    wheel.write_text("not found")
    assert "9 bytes" in refusal(wheel)


@pytest.mark.parametrize(("name", "reason"), [("absent.whl", "No such file"), (".", "Is a dir")])
def test_unreadable_path_is_refused_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    assert reason in refusal(tmp_path / name)


def test_open_wheel_reads_all_files(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    archive = open_wheel(wheel)
    assert archive.name == wheel.name
    assert archive.size == wheel.stat().st_size
    assert archive.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert archive.files[LINUX_CORE].data == linux_core()
    assert set(archive.names) == set(archive.files)
    assert archive.unreadable == {}


def test_names_contain_repeated_files_and_no_folders(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/a", "")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("folder/a", "")
    assert open_wheel(wheel).names == ("folder/a", "folder/a")


def test_damaged_file_does_not_affect_other_files(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("bad", b"stored without compression")
        file.writestr("good", b"x")
    wheel.write_bytes(wheel.read_bytes().replace(b"stored", b"STORED"))
    archive = open_wheel(wheel)
    assert {name: member.data for name, member in archive.files.items()} == {"good": b"x"}
    assert list(archive.unreadable) == ["bad"]
    assert "CRC" in archive.unreadable["bad"]


def test_install_paths_resolve_purelib_and_platlib_of_the_data_folder(tmp_path: Path) -> None:
    paths = {
        "quiverdb/a.py": "quiverdb/a.py",
        "quiverdb-1.0.0.data/purelib/quiverdb/b.py": "quiverdb/b.py",
        "quiverdb-1.0.0.data/platlib/a.py": "a.py",
        "quiverdb-1.0.1.data/platlib": "quiverdb-1.0.1.data/platlib",
        "quiverdb-1.0.0.data/scripts/a": "quiverdb-1.0.0.data/scripts/a",
        "quiverdb/platlib/a.py": "quiverdb/platlib/a.py",
        "quiverdb/x.data/platlib/a.py": "quiverdb/x.data/platlib/a.py",
    }
    archive = open_wheel(linux_wheel(tmp_path, {name: f"# {name}" for name in paths}))
    assert {name: archive.install_paths[name] for name in paths} == paths
    for name, path in paths.items():
        assert archive.installed[path].data == f"# {name}".encode()


def test_metadata_comes_from_the_first_folder_with_the_file(tmp_path: Path) -> None:
    files = {"quiverdb-0.9.0.dist-info/METADATA": b"\xff", "a.dist-info": b""}
    archive = open_wheel(linux_wheel(tmp_path, files))
    assert archive.dist_infos == ("quiverdb-0.9.0.dist-info", INFO)
    assert archive.metadata_file("METADATA") == "\N{REPLACEMENT CHARACTER}"
    assert (archive.metadata_file("WHEEL") or "").startswith("Wheel-Version: 1.0\n")
    assert archive.metadata_file("absent") is None


def test_a_file_in_the_archive_can_have_the_name_dot(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, {"./.": ""})
    assert "./." in open_wheel(wheel).names
