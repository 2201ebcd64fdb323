from __future__ import annotations

from pathlib import Path

from packaging.tags import Tag

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import linux_wheel
from verification.wheel.archive import open_wheel
from verification.wheel.wheel_file import WheelFile, read_wheel_file

WHEEL = "quiverdb-1.0.0.dist-info/WHEEL"


def read(wheel: Path) -> WheelFile:
    return read_wheel_file(open_wheel(wheel))


def test_fields_are_read(tmp_path: Path) -> None:
    tag = "cp313-cp313-manylinux_2_28_x86_64.manylinux_2_17_x86_64"
    wheel_file = read(linux_wheel(tmp_path, tag=tag))
    assert wheel_file == WheelFile(
        wheel_version="1.0",
        root_is_purelib="false",
        tag_lines=("cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-manylinux_2_17_x86_64"),
    )
    assert wheel_file.tags == {
        Tag("cp313", "cp313", "manylinux_2_28_x86_64"),
        Tag("cp313", "cp313", "manylinux_2_17_x86_64"),
    }


def test_case_and_spaces_are_ignored(tmp_path: Path, out: Path) -> None:
    text = b"wheel-version:  1.0 \nROOT-IS-PURELIB: True \nTag:  py3-none-any \nTag: none\n"
    wheel_file = read(wheels.mutate(linux_wheel(tmp_path), out, edit={WHEEL: lambda _: text}))
    assert wheel_file == WheelFile("1.0", "true", ("py3-none-any", "none"))
    assert wheel_file.tags == {Tag("py3", "none", "any")}


def test_missing_fields_are_empty(tmp_path: Path, out: Path) -> None:
    assert read(wheels.mutate(linux_wheel(tmp_path), out, remove=[WHEEL])) == WheelFile("", "", ())
