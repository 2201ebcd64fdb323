from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    SUBJECT,
    inspect,
    linux_wheel,
    only_cause,
    windows_wheel,
)
from verification.models.cause import Cause
from verification.wheel import file_names
from verification.wheel.archive import open_wheel
from verification.wheel.identity import identify


def faults(wheel: Path) -> list[Cause]:
    archive = open_wheel(wheel)
    return list(file_names.faults(archive, identify(archive, SUBJECT)))


@pytest.mark.parametrize(
    ("name", "observed"),
    [
        ("../evil.py", "that leads out of the environment"),
        ("quiverdb/../../evil.py", "that leads out of the environment"),
        ("quiverdb\\..\\evil.py", "that leads out of the environment"),
        ("/etc/evil", "that leads to a fixed place"),
        ("C:evil.py", "that leads to a fixed place"),
        ("quiverdb\\evil.py", "with a backslash, which is a folder on Windows only"),
    ],
)
def test_a_file_that_leaves_its_place_is_named(tmp_path: Path, name: str, observed: str) -> None:
    (cause,) = faults(linux_wheel(tmp_path, {name: ""}))
    assert (cause.name, cause.where) == ("record-mismatch", name)
    assert cause.message.startswith(f"is a file name {observed};")


@pytest.mark.parametrize("name", ["quiverdb/..evil.py", "quiverdb/ab:c", "quiverdb/a..b/c"])
def test_a_name_that_stays_in_its_place_is_none(tmp_path: Path, name: str) -> None:
    assert faults(linux_wheel(tmp_path, {name: ""})) == []


@pytest.mark.parametrize(
    "name",
    [
        "aux.py", "Com1", "lpt\u00b3.txt", "con .x", "conin$", "CONOUT$.txt", "nul.tar.gz", "a:b",
        "what?", "trailing.", "trailing ", "a\x1fb", "x" * 256,
    ],
)  # fmt: skip
def test_a_name_that_windows_cannot_have_is_named(tmp_path: Path, name: str) -> None:
    files = {f"quiverdb/{name}": ""}
    first, *others = faults(windows_wheel(tmp_path, files))
    where = " ".join(f"quiverdb/{name}".split())
    assert (first.name, first.where) == ("file-name-unusable", where)
    assert f"which has no file named {name[:80]!r}" in first.message
    assert bool(others) == (len(name) > 255)  # its path is too long as well
    assert faults(linux_wheel(tmp_path, files)) == []


@pytest.mark.parametrize(
    "name",
    ["auxiliary.py", "console.py", "com0", "com10.py", ".hidden", "nul-l", "a b.py", "x" * 100],
)
def test_a_name_that_only_begins_like_a_device_is_none(tmp_path: Path, name: str) -> None:
    assert faults(windows_wheel(tmp_path, {f"quiverdb/{name}": ""})) == []


def test_a_folder_that_windows_cannot_have_is_named(tmp_path: Path) -> None:
    (cause,) = faults(windows_wheel(tmp_path, {"quiverdb/aux/x.py": ""}))
    assert (cause.where, "no file named 'aux'" in cause.message) == ("quiverdb/aux/x.py", True)


def test_a_wheel_for_any_platform_must_have_names_for_windows(tmp_path: Path) -> None:
    files = {"quiverdb/__init__.py": "", "quiverdb/aux.py": ""}
    (cause,) = faults(wheels.build(tmp_path, files, tag="py3-none-any"))
    assert cause.name == "file-name-unusable"


@pytest.mark.parametrize(
    ("path", "is_named"),
    [
        ("quiverdb/" + "x" * 162, False),
        ("quiverdb/" + "x" * 163, True),
        ("quiverdb/" + "\N{MUSICAL SYMBOL G CLEF}" * 81, False),
        ("quiverdb/" + "\N{MUSICAL SYMBOL G CLEF}" * 82, True),
        ("quiverdb/" + "deep/" * 33 + "x.txt", True),
        ("quiverdb-1.0.0.data/platlib/quiverdb/" + "x" * 162, False),
        ("quiverdb-1.0.0.data/platlib/quiverdb/" + "x" * 163, True),
        ("quiverdb-1.0.0.data/scripts/" + "x" * 200, False),
    ],
)
def test_a_path_that_is_too_long_in_a_users_folder_is_named(
    tmp_path: Path, path: str, *, is_named: bool
) -> None:
    files = {path: ""}
    causes = faults(windows_wheel(tmp_path, files))
    assert [cause.where for cause in causes] == [path] * is_named
    assert all("characters long where a user's Python is" in cause.message for cause in causes)
    assert all(cause.name == "file-name-unusable" for cause in causes)
    assert faults(linux_wheel(tmp_path, files)) == []


def test_the_length_of_a_path_is_told(tmp_path: Path) -> None:
    (cause,) = faults(windows_wheel(tmp_path, {"quiverdb/" + "x" * 163: ""}))
    assert cause.message.startswith("is 260 characters long")


@pytest.mark.parametrize("kind", ["purelib", "platlib"])
def test_a_file_that_overwrites_another_is_named(tmp_path: Path, out: Path, kind: str) -> None:
    path = f"quiverdb-1.0.0.data/{kind}/quiverdb/_loader.py"
    cause = only_cause(wheels.mutate(linux_wheel(tmp_path), out, add={path: ""}))
    assert cause.name == "record-mismatch"
    assert f"is installed in the same place as {path}" in cause.message


def test_names_that_differ_in_case_are_one_on_windows_alone(tmp_path: Path) -> None:
    files = {"quiverdb/_Loader.py": ""}
    (cause,) = faults(windows_wheel(tmp_path, files))
    assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/_loader.py")
    assert "is installed in the same place as quiverdb/_Loader.py" in cause.message
    assert faults(linux_wheel(tmp_path, files)) == []


def test_a_good_wheel_has_no_fault(tmp_path: Path) -> None:
    assert faults(linux_wheel(tmp_path)) == []
    assert faults(windows_wheel(tmp_path)) == []
    assert inspect(windows_wheel(tmp_path)).causes == ()
