from __future__ import annotations

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


def test_a_built_wheel_has_record_last(wheel: Path) -> None:
    assert list(members(wheel))[-1] == "quiverdb-1.0.0.dist-info/RECORD"


def test_building_the_same_wheel_twice_gives_the_same_bytes(wheel: Path, out: Path) -> None:
    assert linux_wheel(out).read_bytes() == wheel.read_bytes()


def test_every_change_leaves_a_right_record(wheel: Path, out: Path) -> None:
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


def test_a_folder_is_removed_and_moved_with_all_its_files(wheel: Path, out: Path) -> None:
    moved = wheels.mutate(wheel, out, move={"quiverdb/_libs/": "quiverdb/lib/"}, rename="m.whl")
    removed = wheels.mutate(wheel, out, remove=["quiverdb/_libs/"])
    assert "quiverdb/lib/libquiver.so" in members(moved)
    assert not any("_libs" in name for name in members(removed))


def test_record_can_be_left_as_it_was(wheel: Path, out: Path) -> None:
    changed = wheels.mutate(wheel, out, add={"quiverdb/new.py": ""}, fix_record=False)
    record = "quiverdb-1.0.0.dist-info/RECORD"
    assert members(changed)[record] == members(wheel)[record]


def test_a_wheel_can_say_another_version(wheel: Path, out: Path) -> None:
    later = inspect(wheels.set_version(wheel, out, "1.0.1"))
    assert later.version == "1.0.1"
    assert later.causes == ()


@pytest.mark.parametrize(
    "change",
    [
        {"remove": ["nothing.py"]},
        {"remove": ["nothing/"]},
        {"move": {"nothing.py": "b"}},
        {"edit": {"nothing.py": bytes.upper}},
        {"add": {"quiverdb/__init__.py": ""}},
    ],
)
def test_a_change_that_would_plant_nothing_is_refused(
    wheel: Path, out: Path, change: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="in the wheel"):
        wheels.mutate(wheel, out, **change)  # type: ignore[arg-type]


def test_overwriting_the_original_is_refused(wheel: Path) -> None:
    with pytest.raises(ValueError, match="overwrite"):
        wheels.mutate(wheel, wheel.parent, remove=["quiverdb/py.typed"])
