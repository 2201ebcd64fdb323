from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_exercise import EMPTY_SMOKE
from verification.models.base import DataError
from verification.subjects.subject import load, offered_actions

GOOD = """
name = "pkg"
import_package = "pkg"
libs_dir = "_libs"
python = "cp313"
exercise = "smoke.py"
[[platforms]]
tag = "win_amd64"
libraries = ["pkg.dll"]
"""


def read(folder: Path, text: str) -> object:
    path = folder / "subject.toml"
    path.write_text(text)
    (folder / "smoke.py").write_text(EMPTY_SMOKE, "utf-8")
    return load(path)


def test_a_release_needs_one_wheel_for_linux_and_one_for_windows() -> None:
    required = [platform.tag for platform in load().platforms if platform.required]
    assert required == ["manylinux_2_28_x86_64", "win_amd64"]


def test_optional_keys_can_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ('name = "pkg"\n', "", ": name: "),
        ('exercise = "smoke.py"\n', "", ": exercise: "),
        ('name = "pkg"', 'name = "pkg"\ncolour = "red"', ": colour: .*import_package"),
        (
            'tag = "win_amd64"',
            'tag = "win_amd64"\nlibs = []',
            r": platforms\.0\.libs: .*execute, libraries, required, tag",
        ),
        ("win_amd64", "linux_x86_64", r": platforms\.0.*linux_x86_64"),
        ("cp313", "py3", ": python: "),
        ("[[platforms]]", "[platforms]", ": platforms: "),
        ("[[platforms]]", "][", " "),
    ],
)
def test_a_wrong_value_is_reported_with_its_location(
    tmp_path: Path, old: str, new: str, location: str
) -> None:
    with pytest.raises(DataError, match=rf"^subject\.toml{location}"):
        read(tmp_path, GOOD.replace(old, new, 1))


OTHER = """
name = "other"
import_package = "other"
libs_dir = ""
python = "cp313"
exercise = "use.py"

[[platforms]]
tag = "win_amd64"
libraries = ["_other.pyd"]
"""


def test_the_exercise_is_relative_to_the_description(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").write_text(EMPTY_SMOKE, "utf-8")
    subject = load(tmp_path / "other.toml")

    assert subject.exercise == tmp_path / "use.py"
    assert subject.libs_path == "other"


def test_a_missing_exercise_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")

    with pytest.raises(DataError, match=r"^other\.toml: exercise: .*use\.py"):
        load(tmp_path / "other.toml")


@pytest.mark.parametrize("name", ["native_call", "round_trip"])
def test_a_missing_function_of_the_exercise_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").write_text(EMPTY_SMOKE.replace(f"def {name}", "def other"), "utf-8")
    with pytest.raises(DataError, match=rf"use\.py: .*{name}"):
        load(tmp_path / "other.toml")


@pytest.mark.parametrize(
    "source",
    ["import round_trip, native_call\n", "from x import *\n", "native_call = round_trip = print\n"],
)
def test_the_functions_of_the_exercise_can_be_imported_or_assigned(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").write_text(source, "utf-8")
    assert load(tmp_path / "other.toml").name


def test_a_missing_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.toml: .*No such file"):
        load(tmp_path / "absent.toml")


def test_the_files_of_the_subject_are_copied_to_machines(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").write_text(EMPTY_SMOKE, "utf-8")
    assert load(tmp_path / "other.toml").machine_files == {"calls.py": tmp_path / "use.py"}
    assert list(load().machine_files) == ["calls.py", "own_actions.py"]


def test_actions_are_those_of_every_package_and_of_the_subject(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(f'actions = "own.py"\n{OTHER}', "utf-8")
    (tmp_path / "use.py").write_text(EMPTY_SMOKE, "utf-8")
    (tmp_path / "own.py").write_text("def own(): ...\ndef _helper(): ...\n")
    subject = load(tmp_path / "other.toml")

    general = offered_actions(subject.model_copy(update={"actions": None}))
    assert {"absolute_paths", "as_another_user", "from_zip", "own_symbols"} <= general
    assert "own_sqlite" not in general
    assert offered_actions(subject) - general == {"own"}


def test_actions_that_are_no_python_code_are_reported(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def\n")
    with pytest.raises(DataError, match=r"own\.py: line 1: "):
        offered_actions(load().model_copy(update={"actions": tmp_path / "own.py"}))


def test_locks_belong_only_to_the_subject_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").write_text(EMPTY_SMOKE, "utf-8")
    other = load(tmp_path / "other.toml")
    assert (other.older_dependencies, other.dependencies) == ((), None)


def test_texts_of_the_verification_are_found_next_to_the_description(tmp_path: Path) -> None:
    assert load().verification
    read(tmp_path, GOOD)
    assert load(tmp_path / "subject.toml").verification is None
    (tmp_path / "verification.toml").touch()
    assert load(tmp_path / "subject.toml").verification == tmp_path / "verification.toml"
    (tmp_path / "other.toml").touch()
    (tmp_path / "subject.toml").write_text('verification = "other.toml"' + GOOD)
    assert load(tmp_path / "subject.toml").verification == tmp_path / "other.toml"
