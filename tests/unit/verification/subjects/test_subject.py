from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.base import DataError
from verification.subjects.subject import load

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
    (folder / "smoke.py").touch()
    return load(path)


def test_a_release_promises_one_linux_and_one_windows_wheel() -> None:
    required = [platform.tag for platform in load().platforms if platform.required]
    assert required == ["manylinux_2_28_x86_64", "win_amd64"]


def test_optional_keys_may_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "pkg"\n', "", "name: Field required"),
        ('exercise = "smoke.py"\n', "", "exercise: Field required"),
        ('name = "pkg"', 'name = "pkg"\ncolour = "red"', "colour: unknown key; there are: "),
        (
            'tag = "win_amd64"',
            'tag = "win_amd64"\nlibs = []',
            r"platforms\.0\.libs: unknown key; there are: execute, libraries, required, tag",
        ),
        ("win_amd64", "linux_x86_64", "not a platform tag with native code"),
        ("cp313", "py3", "python: String should match pattern"),
        ("[[platforms]]", "[platforms]", "platforms: Input should be a valid tuple"),
        ("[[platforms]]", "][", "not TOML"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
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


def test_a_package_of_another_kind_brings_its_exercise(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").write_text("", "utf-8")
    found = load(tmp_path / "other.toml")

    assert found.exercise == tmp_path / "use.py"
    assert found.libs_path == "other"


def test_an_exercise_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")

    with pytest.raises(DataError, match=r"use\.py, and there is no such file"):
        load(tmp_path / "other.toml")


def test_a_description_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.toml: it cannot be read: No such file"):
        load(tmp_path / "absent.toml")


def test_a_machine_gets_the_files_of_the_subject(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OTHER, "utf-8")
    (tmp_path / "use.py").touch()
    assert load(tmp_path / "other.toml").machine_files == {"own.py": tmp_path / "use.py"}
    assert [path.name for path in load().machine_files.values()] == ["smoke.py", "uses.py"]
