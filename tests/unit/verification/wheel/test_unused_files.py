from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import SUBJECT, inspect, linux_wheel, only_cause
from verification.wheel import unused_files
from verification.wheel.archive import open_wheel
from verification.wheel.identity import identify

INFO = "quiverdb-1.0.0.dist-info"
BYTECODE = "quiverdb/__pycache__/a.cpython-313.pyc"


def unused(wheel: Path) -> list[str]:
    archive = open_wheel(wheel)
    return [cause.where for cause in unused_files.causes(archive, identify(archive, SUBJECT))]


@pytest.mark.parametrize(
    ("path", "check"),
    [(BYTECODE, "W001"), ("quiverdb/a-b/c.py", "W004"), ("quiverdb/.x/b.abi3.so", "W004")],
)
def test_unused_file_is_a_note(tmp_path: Path, path: str, check: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: ""}))
    assert (cause.name, cause.where, cause.severity) == ("stray-file", path, "note")
    assert cause.facts == {"check": check}


def test_package_whose_name_is_a_keyword_is_used(tmp_path: Path) -> None:
    assert unused(linux_wheel(tmp_path, {"quiverdb/lang/is/__init__.py": ""})) == []


def test_each_unused_file_is_reported(tmp_path: Path) -> None:
    assert unused(linux_wheel(tmp_path, {BYTECODE: "", "quiverdb/a-b/c.py": ""})) == [
        BYTECODE,
        "quiverdb/a-b/c.py",
    ]


def test_module_data_metadata_and_script_are_not_reported(tmp_path: Path) -> None:
    paths = ["quiverdb/ab.py", "quiverdb/a-b.txt", f"{INFO}/a-b.py"]
    files = dict.fromkeys([*paths, "quiverdb-1.0.0.data/scripts/a-b.py"], "")
    assert unused(linux_wheel(tmp_path, files)) == []


def test_library_and_script_that_are_used_by_path_are_not_reported(tmp_path: Path) -> None:
    paths = ["quiverdb.libs/libx-1.2.so", "quiverdb/a-b.py", "quiverdb/cases/if.py"]
    assert unused(linux_wheel(tmp_path, dict.fromkeys(paths, ""))) == []


def test_pure_wheel_is_checked(tmp_path: Path) -> None:
    wheel = wheels.build(tmp_path, {"quiverdb/__init__.py": "", BYTECODE: ""}, tag="py3-none-any")
    assert unused(wheel) == [BYTECODE]


@pytest.mark.parametrize(
    "row",
    [
        b"quiverdb/py.typed,x,",
        b'"quiverdb/py"typed,',
        b"quiverdb/py.typed,\nquiverdb/py.typed,",
    ],
)
def test_wheel_with_an_invalid_record_is_not_checked(tmp_path: Path, out: Path, row: bytes) -> None:
    wheel = wheels.mutate(
        linux_wheel(tmp_path, {BYTECODE: ""}),
        out,
        edit={f"{INFO}/RECORD": lambda data: data.replace(b"quiverdb/py.typed,", row, 1)},
        fix_record=False,
    )
    assert unused(wheel) == []


def test_wheel_without_a_metadata_folder_is_not_checked(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path, {BYTECODE: ""}), out, remove=[f"{INFO}/"])
    assert unused(wheel) == []


def test_other_checks_of_check_wheel_contents_are_disabled(tmp_path: Path) -> None:
    assert unused(linux_wheel(tmp_path, {"lib64/x.a": "", "setup.py": "", "a.py": ""})) == []
    assert inspect(linux_wheel(tmp_path)).causes == ()
