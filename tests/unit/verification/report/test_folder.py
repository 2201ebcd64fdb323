from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.errors import WrongUse
from verification.report import folder


@pytest.mark.parametrize(
    "there",
    [(), (folder.MARK, "index.html"), ("results.json", "index.html", "notes.txt"), ("log.txt",),
     ("junit.xml", "required/gw0.json"), ("cells/a.json", "evidence/a.json")],
)  # fmt: skip
def test_a_folder_with_a_report_or_with_nothing_that_is_lost_is_taken(
    tmp_path: Path, there: tuple[str, ...]
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"schema": 2, "verdict": "verified"}')
    folder.check(tmp_path)
    folder.check(tmp_path / "absent" / "report")
    assert not (tmp_path / "absent").exists(), "a refused run leaves no folder"


@pytest.mark.parametrize("file", ["index.html", "results.json"])
def test_a_file_of_anothers_is_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text('{"mine": 1}')
    with pytest.raises(WrongUse, match=f"it holds {file} and no report"):
        folder.check(tmp_path)


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "notes.txt").touch()
    with pytest.raises(WrongUse, match="it holds evidence and no report; empty it or name another"):
        folder.check(tmp_path)
    assert (tmp_path / "evidence" / "notes.txt").exists()


def test_a_file_in_the_way_is_wrong_use_and_no_folder_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongUse, match="it cannot be written to"):
        folder.check(tmp_path / "file" / "report")
    with pytest.raises(WrongUse, match="it cannot be written to"):
        folder.check(tmp_path / "new" / ("n" * 300))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_state_of_a_folder_can_be_restored(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    before = folder.FolderState.read(tmp_path, ("a", "b"))
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("new")
    before.restore()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}
