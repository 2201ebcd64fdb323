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


def test_the_fields_are_read(tmp_path: Path) -> None:
    tag = "cp313-cp313-manylinux_2_28_x86_64.manylinux_2_17_x86_64"
    found = read(linux_wheel(tmp_path, tag=tag))
    assert found == WheelFile(
        wheel_version="1.0",
        root_is_purelib="false",
        tag_lines=("cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-manylinux_2_17_x86_64"),
    )
    assert found.tags == {
        Tag("cp313", "cp313", "manylinux_2_28_x86_64"),
        Tag("cp313", "cp313", "manylinux_2_17_x86_64"),
    }


def test_case_and_spaces_do_not_count(tmp_path: Path, out: Path) -> None:
    text = b"wheel-version:  1.0 \nROOT-IS-PURELIB: True \nTag:  py3-none-any \nTag: none\n"
    found = read(wheels.mutate(linux_wheel(tmp_path), out, edit={WHEEL: lambda _: text}))
    assert found == WheelFile("1.0", "true", ("py3-none-any", "none"))
    assert found.tags == {Tag("py3", "none", "any")}


def test_what_is_absent_is_empty(tmp_path: Path, out: Path) -> None:
    assert read(wheels.mutate(linux_wheel(tmp_path), out, remove=[WHEEL])) == WheelFile("", "", ())
