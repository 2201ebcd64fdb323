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
from verification.models.subject import Subject
from verification.wheel import file_names
from verification.wheel.archive import open_wheel
from verification.wheel.identity import identify


def causes_of(wheel: Path, subject: Subject = SUBJECT) -> list[Cause]:
    archive = open_wheel(wheel)
    return list(file_names.causes(archive, identify(archive, subject), subject))


def test_name_that_leads_out_of_the_environment_is_reported(tmp_path: Path) -> None:
    for name in (
        "../evil.py",
        "quiverdb/../../evil.py",
        "quiverdb\\..\\evil.py",
        "/etc/evil",
        "C:evil.py",
        "quiverdb\\evil.py",
    ):
        (cause,) = causes_of(linux_wheel(tmp_path, {name: ""}))
        assert (cause.name, cause.where) == ("record-mismatch", name)


def test_name_with_dots_or_a_colon_inside_is_safe(tmp_path: Path) -> None:
    files = dict.fromkeys(["quiverdb/..evil.py", "quiverdb/ab:c", "quiverdb/a..b/c"], "")
    assert causes_of(linux_wheel(tmp_path, files)) == []


def test_name_that_windows_does_not_allow_is_reported_for_windows_only(tmp_path: Path) -> None:
    for name in (
        "aux.py", "Com1", "lpt\u00b3.txt", "con .x", "conin$", "CONOUT$.txt", "nul.tar.gz", "a:b",
        "what?", "trailing.", "trailing ", "a\x1fb", "x" * 256,
    ):  # fmt: skip
        files = {f"quiverdb/{name}": ""}
        first, *others = causes_of(windows_wheel(tmp_path, files))
        where = " ".join(f"quiverdb/{name}".split())
        assert (first.name, first.where) == ("file-name-unusable", where)
        assert first.facts == {"part": name}
        assert bool(others) == (len(name) > 255)  # its path is too long as well
        assert causes_of(linux_wheel(tmp_path, files)) == []


def test_name_that_only_starts_like_a_device_is_allowed(tmp_path: Path) -> None:
    names = ["auxiliary.py", "console.py", "com0", "com10.py", ".hidden", "nul-l", "a b.py"]
    files = {f"quiverdb/{name}": "" for name in [*names, "x" * 90]}
    assert causes_of(windows_wheel(tmp_path, files)) == []


def test_folder_that_windows_does_not_allow_is_reported(tmp_path: Path) -> None:
    (cause,) = causes_of(windows_wheel(tmp_path, {"quiverdb/aux/x.py": ""}))
    assert (cause.where, cause.facts) == ("quiverdb/aux/x.py", {"part": "aux"})


def test_wheel_for_any_platform_must_have_names_for_windows(tmp_path: Path) -> None:
    files = {"quiverdb/__init__.py": "", "quiverdb/aux.py": ""}
    (cause,) = causes_of(wheels.build(tmp_path, files, tag="py3-none-any"))
    assert cause.name == "file-name-unusable"


def test_path_that_is_too_long_for_windows_is_reported_with_its_length(tmp_path: Path) -> None:
    lengths = {
        "quiverdb/" + "x" * 162: None,
        "quiverdb/" + "x" * 163: 260,
        "quiverdb/" + "\N{MUSICAL SYMBOL G CLEF}" * 81: None,
        "quiverdb/" + "\N{MUSICAL SYMBOL G CLEF}" * 82: 261,
        "quiverdb/" + "deep/" * 33 + "x.txt": 267,
        "quiverdb-1.0.0.data/platlib/quiverdb/" + "y" * 162: None,
        "quiverdb-1.0.0.data/platlib/quiverdb/" + "y" * 163: 260,
        "quiverdb-1.0.0.data/scripts/" + "x" * 200: None,
    }
    files = dict.fromkeys(lengths, "")
    causes = [
        cause for cause in causes_of(windows_wheel(tmp_path, files)) if cause.severity == "broken"
    ]
    assert {cause.name for cause in causes} == {"file-name-unusable"}
    reported = {cause.where: cause.facts["length"] for cause in causes}
    assert reported == {path: length for path, length in lengths.items() if length}
    assert causes_of(linux_wheel(tmp_path, files)) == []


def test_path_that_is_too_long_only_for_the_store_python_is_flawed(tmp_path: Path) -> None:
    # The prefix of this Python has 66 characters more.
    for length, is_too_long in ((96, False), (97, True), (162, True)):
        (tmp_path / str(length)).mkdir()
        files = {"quiverdb/" + "x" * length: ""}
        causes = causes_of(windows_wheel(tmp_path / str(length), files))
        assert [cause.severity for cause in causes] == ["flawed"] * is_too_long
        assert causes_of(linux_wheel(tmp_path / str(length), files)) == []
    assert causes[0].facts == {"length": 325, "files": 1, "python": file_names.STORE_PYTHON}


def test_longest_path_depends_on_the_python(tmp_path: Path) -> None:
    # The folder Python39 has a name of one character less, and the Store's folder two less.
    python = SUBJECT.model_copy(update={"python": "cp39"})
    for length, severity in ((98, None), (99, "flawed"), (163, "flawed"), (164, "broken")):
        (tmp_path / str(length)).mkdir()
        wheel = windows_wheel(tmp_path / str(length), {"quiverdb/" + "x" * length: ""})
        causes = causes_of(wheel, python)
        assert [cause.severity for cause in causes] == ([severity] if severity else []), length


def test_paths_that_are_too_long_for_the_store_python_have_one_cause(tmp_path: Path) -> None:
    files = dict.fromkeys(["quiverdb/" + "x" * 100, "quiverdb/" + "x" * 110, "quiverdb/x"], "")
    (cause,) = causes_of(windows_wheel(tmp_path, files))
    assert (cause.where, cause.facts["files"]) == ("quiverdb/" + "x" * 110, 2)
    files = {"quiverdb-1.0.0.data/scripts/" + "x" * 110: ""}
    (tmp_path / "scripts").mkdir()
    assert causes_of(windows_wheel(tmp_path / "scripts", files)) == []


@pytest.mark.parametrize("kind", ["purelib", "platlib"])
def test_two_files_with_one_install_path_are_reported(tmp_path: Path, out: Path, kind: str) -> None:
    path = f"quiverdb-1.0.0.data/{kind}/quiverdb/_loader.py"
    cause = only_cause(wheels.mutate(linux_wheel(tmp_path), out, add={path: ""}))
    assert (cause.name, cause.facts) == ("record-mismatch", {"same_path": (path,)})


def test_names_that_differ_only_in_case_are_reported_for_windows_only(tmp_path: Path) -> None:
    files = {"quiverdb/_Loader.py": ""}
    (cause,) = causes_of(windows_wheel(tmp_path, files))
    assert (cause.name, cause.where) == ("record-mismatch", "quiverdb/_loader.py")
    assert cause.facts == {"same_path": ("quiverdb/_Loader.py",)}
    assert causes_of(linux_wheel(tmp_path, files)) == []


def test_good_wheel_has_no_fault(tmp_path: Path) -> None:
    assert causes_of(linux_wheel(tmp_path)) == []
    assert causes_of(windows_wheel(tmp_path)) == []
    assert inspect(windows_wheel(tmp_path)).causes == ()
