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


def found(wheel: Path) -> list[str]:
    archive = open_wheel(wheel)
    return [cause.where for cause in unused_files.faults(archive, identify(archive, SUBJECT))]


@pytest.mark.parametrize(
    ("path", "check"), [(BYTECODE, "W001"), ("quiverdb/a-b.py", "W004"), ("quiverdb/1.so", "W004")]
)
def test_what_no_interpreter_uses_is_a_note(tmp_path: Path, path: str, check: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: ""}))
    assert (cause.name, cause.where, cause.severity) == ("stray-file", path, "note")
    assert f"(check-wheel-contents {check})" in cause.message


def test_every_unused_file_is_named(tmp_path: Path) -> None:
    assert found(linux_wheel(tmp_path, {BYTECODE: "", "quiverdb/a-b.py": ""})) == [
        BYTECODE,
        "quiverdb/a-b.py",
    ]


@pytest.mark.parametrize(
    "path",
    ["quiverdb/ab.py", "quiverdb/a-b.txt", f"{INFO}/a-b.py", "quiverdb-1.0.0.data/scripts/a-b.py"],
)
def test_what_an_interpreter_uses_is_no_note(tmp_path: Path, path: str) -> None:
    assert found(linux_wheel(tmp_path, {path: ""})) == []


def test_a_pure_wheel_is_checked_as_well(tmp_path: Path) -> None:
    wheel = wheels.build(tmp_path, {"quiverdb/__init__.py": "", BYTECODE: ""}, tag="py3-none-any")
    assert found(wheel) == [BYTECODE]


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (f"{INFO}/RECORD", b"quiverdb/py.typed,", b"quiverdb/py.typed,x,"),
        (f"{INFO}/RECORD", b"quiverdb/py.typed,", b'"quiverdb/py"typed,'),
        (f"{INFO}/RECORD", b"quiverdb/py.typed,", b"quiverdb/py.typed,\nquiverdb/py.typed,"),
    ],
)
def test_a_wheel_with_an_invalid_record_is_not_checked(
    tmp_path: Path, out: Path, path: str, old: bytes, new: bytes
) -> None:
    wheel = wheels.mutate(
        linux_wheel(tmp_path, {BYTECODE: ""}),
        out,
        edit={path: lambda data: data.replace(old, new, 1)},
        fix_record=False,
    )
    assert found(wheel) == []


def test_a_wheel_without_a_metadata_folder_is_not_checked(tmp_path: Path, out: Path) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path, {BYTECODE: ""}), out, remove=[f"{INFO}/"])
    assert found(wheel) == []


def test_the_other_checks_of_check_wheel_contents_are_not_made(tmp_path: Path) -> None:
    assert found(linux_wheel(tmp_path, {"lib64/x.a": "", "setup.py": "", "a.py": ""})) == []
    assert inspect(linux_wheel(tmp_path)).causes == ()
