from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    SUBJECT,
    linux_core,
    linux_wheel,
    windows_wheel,
)
from verification.models.cause import Cause, Severity
from verification.models.inspection import WheelContents
from verification.models.subject import ContentsDeclaration, SizeBudget
from verification.wheel.archive import open_wheel
from verification.wheel.release_inspection import inspect_release, with_changes
from verification.wheel.wheel_inspection import inspect_wheel


def contents_of(wheel: Path) -> WheelContents:
    contents = inspect_wheel(open_wheel(wheel), SUBJECT).contents
    assert contents is not None
    return contents


def declared_faults(wheel: Path, **declaration: object) -> list[Cause]:
    """Return the causes of a wheel under this declaration that it does not have without it."""
    contents = ContentsDeclaration.model_validate(declaration)
    subject = SUBJECT.model_copy(update={"contents": contents})
    without = inspect_wheel(open_wheel(wheel), SUBJECT).causes
    return [c for c in inspect_wheel(open_wheel(wheel), subject).causes if c not in without]


def changes(now: Path, *earlier: Path) -> list[Cause]:
    inspection = with_changes(inspect_release([now], SUBJECT), earlier, SUBJECT)
    return [cause for cause in inspection.all_causes if cause.name == "contents-changed"]


def test_contents_have_each_file_the_exports_and_the_requirements(tmp_path: Path) -> None:
    archive = open_wheel(linux_wheel(tmp_path))
    contents = contents_of(tmp_path / archive.name)
    assert contents.files.keys() == archive.installed.keys()
    assert contents.files["quiverdb/py.typed"].size == 0
    assert contents.exports[LINUX_CORE] == ("quiver_core_open",)
    assert contents.requires == ("cffi>=2.0.0",)
    assert (contents.sha256, contents.size) == (archive.sha256, archive.size)


@pytest.mark.parametrize("pattern", ["py.typed", "quiverdb/py.typed", "quiverdb/*.typed"])
def test_missing_declared_file_is_broken(tmp_path: Path, pattern: str) -> None:
    wheel = linux_wheel(tmp_path)
    assert declared_faults(wheel, must_have=[pattern]) == []
    (tmp_path / "bad").mkdir()
    bad = wheels.mutate(wheel, tmp_path / "bad", remove=["quiverdb/py.typed"])
    (cause,) = declared_faults(bad, must_have=[pattern])
    assert (cause.name, cause.severity) == ("declared-file-missing", Severity.BROKEN)
    assert (cause.where, cause.facts["path"]) == (bad.name, pattern)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("test_*.py", "quiverdb/test_a.py"),
        ("quiverdb/tests/*", "quiverdb/tests/deep/data.sql"),
        ("core", "quiverdb/_libs/core"),
    ],
)
def test_excluded_file_is_broken(tmp_path: Path, pattern: str, path: str) -> None:
    wheel = linux_wheel(tmp_path)
    assert declared_faults(wheel, must_not_have=[pattern]) == []
    (tmp_path / "bad").mkdir()
    bad = wheels.mutate(wheel, tmp_path / "bad", add={path: "x"})
    (cause,) = declared_faults(bad, must_not_have=[pattern])
    assert (cause.name, cause.severity) == ("excluded-file", Severity.BROKEN)
    assert cause.facts["files"] == (path,)


@pytest.mark.parametrize(
    "pattern", ["tests/", "t*s/", "quiverdb/tests", "quiverdb/tests/", "q*/tests"]
)
def test_folder_can_be_excluded(tmp_path: Path, pattern: str) -> None:
    files = {"quiverdb/tests.py": "", "quiverdb/tests_more/a.py": ""}
    assert declared_faults(linux_wheel(tmp_path, files), must_not_have=[pattern]) == []
    bad = linux_wheel(tmp_path, {**files, "quiverdb/tests/data/a.sql": ""})
    (cause,) = declared_faults(bad, must_not_have=[pattern])
    assert cause.facts["files"] == ("quiverdb/tests/data/a.sql",)


@pytest.mark.parametrize("kind", ["wheel", "installed"])
def test_size_above_the_budget_is_broken(tmp_path: Path, kind: str) -> None:
    wheel = linux_wheel(tmp_path)
    contents = contents_of(wheel)
    installed = sum(file.size for file in contents.files.values())
    size = {"wheel": contents.size, "installed": installed}[kind]
    assert declared_faults(wheel, size_budget={kind: size}) == []
    (cause,) = declared_faults(wheel, size_budget={kind: size - 1})
    assert (cause.name, cause.severity) == ("size-budget-exceeded", Severity.BROKEN)
    assert (cause.facts["kind"], cause.facts["size"], cause.facts["limit"]) == (
        kind,
        size,
        size - 1,
    )


def test_wheel_without_declaration_has_no_limits() -> None:
    assert ContentsDeclaration() == ContentsDeclaration(size_budget=SizeBudget())


def earlier(wheel: Path, tmp_path: Path, version: str = "0.9.0") -> Path:
    (tmp_path / version).mkdir()
    return wheels.set_version(wheel, tmp_path / version, version)


def test_release_with_the_same_contents_has_no_note(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    assert changes(wheel, earlier(wheel, tmp_path)) == []
    assert changes(wheel) == []


def test_changes_since_the_newest_earlier_release_are_a_note(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    older = earlier(wheel, tmp_path)
    oldest = earlier(windows_wheel(tmp_path), tmp_path, "0.8.0")
    (tmp_path / "new").mkdir()
    new = wheels.mutate(
        wheel,
        tmp_path / "new",
        remove=["quiverdb/py.typed"],
        add={"quiverdb/extra.py": ""},
        edit={
            LINUX_CORE: lambda _: linux_core(exports=["quiver_core_close"]),
            "quiverdb-1.0.0.dist-info/METADATA": lambda data: data.replace(b">=2.0.0", b">=2.1"),
        },
    )
    (cause,) = changes(new, older, oldest)
    assert (cause.severity, cause.where) == (Severity.NOTE, new.name)
    assert cause.facts == {
        "earlier": older.name,
        "removed": ("quiverdb/py.typed",),
        "added": ("quiverdb/extra.py",),
        "no_longer_required": ("cffi>=2.0.0",),
        "newly_required": ("cffi>=2.1",),
        "no_longer_exported": (f"{LINUX_CORE}: quiver_core_open",),
    }


def test_hash_of_a_repaired_library_is_no_change(tmp_path: Path) -> None:
    path, now = "quiverdb.libs/libz-0a1b2c3d.so.1", "quiverdb.libs/libz-99887766.so.1"
    wheel = wheels.mutate(linux_wheel(tmp_path), _folder(tmp_path, "a"), move={LINUX_API: now})
    older = wheels.mutate(wheel, _folder(tmp_path, "b"), move={now: path})
    assert changes(wheel, earlier(older, tmp_path)) == []


def test_earlier_file_that_is_no_wheel_is_left_out(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    broken = tmp_path / wheel.name.replace("1.0.0", "0.9.0")
    broken.write_bytes(b"")
    assert changes(wheel, broken, tmp_path / "quiverdb-0.9.0.tar.gz") == []


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
