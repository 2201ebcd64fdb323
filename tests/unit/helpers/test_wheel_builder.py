"""The builder of sample wheels."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import inspect, linux_wheel


def members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return linux_wheel(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_the_last_member_of_a_wheel_is_record(wheel: Path) -> None:
    assert list(members(wheel))[-1] == "quiverdb-1.0.0.dist-info/RECORD"


def test_two_builds_of_the_same_wheel_are_identical(wheel: Path, out: Path) -> None:
    assert linux_wheel(out).read_bytes() == wheel.read_bytes()


def test_a_changed_wheel_has_a_correct_record(wheel: Path, out: Path) -> None:
    changed = wheels.mutate(
        wheel,
        out,
        remove=["quiverdb/py.typed"],
        move={"quiverdb/_loader.py": "quiverdb/_load.py"},
        edit={"quiverdb/__init__.py": lambda data: data.replace(b"_loader", b"_load")},
        add={"quiverdb/new.py": "x = 1\n"},
    )
    assert inspect(changed).causes == ()
    names = members(changed)
    assert "quiverdb/py.typed" not in names
    assert names["quiverdb/__init__.py"] == b"from quiverdb._load import load\n"
    assert names["quiverdb/new.py"] == b"x = 1\n"


def test_a_folder_can_be_removed_or_moved_with_its_files(wheel: Path, out: Path) -> None:
    moved = wheels.mutate(wheel, out, move={"quiverdb/_libs/": "quiverdb/lib/"}, rename="m.whl")
    removed = wheels.mutate(wheel, out, remove=["quiverdb/_libs/"])
    assert "quiverdb/lib/libquiver.so" in members(moved)
    assert not any("_libs" in name for name in members(removed))


def test_record_can_stay_unchanged(wheel: Path, out: Path) -> None:
    changed = wheels.mutate(wheel, out, add={"quiverdb/new.py": ""}, fix_record=False)
    record = "quiverdb-1.0.0.dist-info/RECORD"
    assert members(changed)[record] == members(wheel)[record]


def test_the_version_of_a_wheel_can_be_changed(wheel: Path, out: Path) -> None:
    inspection = inspect(wheels.set_version(wheel, out, "1.0.1"))
    assert inspection.version == "1.0.1"
    assert inspection.causes == ()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"remove": ["nothing.py"]}, "nothing.py"),
        ({"remove": ["nothing/"]}, "nothing/"),
        ({"move": {"nothing.py": "b"}}, "nothing.py"),
        ({"edit": {"nothing.py": bytes.upper}}, "nothing.py"),
        ({"add": {"quiverdb/__init__.py": ""}}, "quiverdb/__init__.py"),
    ],
)
def test_a_change_without_effect_is_an_error(
    wheel: Path, out: Path, change: dict[str, object], name: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        wheels.mutate(wheel, out, **change)  # type: ignore[arg-type]


def test_overwriting_the_original_is_an_error(wheel: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(wheel.name)):
        wheels.mutate(wheel, wheel.parent, remove=["quiverdb/py.typed"])
