from __future__ import annotations

import re
from pathlib import Path

import pytest

from verification.models.errors import WrongUse
from verification.report import folder


@pytest.mark.parametrize(
    "names",
    [(), (folder.REPORT_MARKER, "index.html"), ("results.json", "index.html", "notes.txt"),
     ("log.txt",), ("junit.xml", "required/gw0.json"), ("cells/a.json", "evidence/a.json")],
)  # fmt: skip
def test_a_folder_is_usable_if_a_report_overwrites_only_an_earlier_report(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"schema": 2, "verdict": "verified"}')
    folder.check(tmp_path)
    folder.check(tmp_path / "absent" / "report")
    assert not (tmp_path / "absent").exists(), "the check removes folders that it creates"


@pytest.mark.parametrize("file", ["index.html", "results.json"])
def test_a_file_that_a_report_would_overwrite_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text('{"mine": 1}')
    with pytest.raises(WrongUse, match=rf"^--report {re.escape(str(tmp_path))}: .*\b{file}\b"):
        folder.check(tmp_path)


def test_a_folder_that_a_report_would_overwrite_is_refused_unchanged(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "notes.txt").touch()
    with pytest.raises(WrongUse, match=rf"^--report {re.escape(str(tmp_path))}: .*\bevidence\b"):
        folder.check(tmp_path)
    assert (tmp_path / "evidence" / "notes.txt").exists()


def test_an_unwritable_folder_is_refused_and_not_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "report", tmp_path / "new" / ("n" * 300)):
        with pytest.raises(WrongUse, match=f"^--report {re.escape(str(path))}: "):
            folder.check(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_state_of_a_folder_can_be_restored(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    before = folder.FolderState.read(tmp_path, ("a", "b"))
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("new")
    before.restore()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_data_of_an_earlier_report_is_removed_and_other_files_stay(tmp_path: Path) -> None:
    removed = ("evidence/a.json", "kept/a/b.json", "replay/x", "pipeline.json", "shard.json")
    kept = ("results.json", "index.html", "notes.txt", "shards/1/evidence/a.json")
    for name in (*removed, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder.clear(tmp_path)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == set(kept)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(".", True), ("evidence", True), ("kept/shard", True), ("shards/1", False), ("../b", False)],
)
def test_report_in_the_folder_of_a_new_report_would_be_removed(
    tmp_path: Path, source: str, *, expected: bool
) -> None:
    assert folder.would_remove(tmp_path / "a", tmp_path / "a" / source) is expected
