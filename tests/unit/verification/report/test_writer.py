"""All formats of the report: each is written, even if another one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, cell, report
from verification.history.store import History
from verification.models.report import Report
from verification.report import results_json, writer


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Return a history that holds nothing."""
    return History(tmp_path / "state" / "history.sqlite3")


def _interrupted() -> Report:
    run = report(cell(LINUX, reason="the run was interrupted before it"))
    return run.model_copy(update={"interrupted": True})


@pytest.mark.parametrize("subject", ["quiverdb", "xxhash"])
def test_the_report_names_the_package_that_was_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: History, subject: str
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    run = report(cell(LINUX))
    selection = run.selection.model_copy(update={"subject": subject})
    run = run.model_copy(update={"selection": selection, "version": "4.1.0"})
    writer.write(tmp_path, run, history=history)
    name = f"{subject} 4.1.0"
    assert f"<title>{name}: " in (tmp_path / "index.html").read_text("utf-8")
    assert f"**Release:** {name}\n" in (tmp_path / "VERIFICATION.md").read_text("utf-8").replace(
        "  \n", "\n"
    )
    assert f"{name}: " in (tmp_path / "summary.md").read_text("utf-8").splitlines()[0]
    assert history.runs().runs[-1].title.endswith(f"{name})")


def test_every_form_of_a_run_that_ended_is_written(tmp_path: Path, history: History) -> None:
    folder = tmp_path / "report"
    digest = results_json.write_by_content(folder / "evidence", sample_run.evidence().to_json())
    run = report(cell(LINUX).model_copy(update={"evidence": digest}))
    assert writer.write(folder, run, history=history) == ()
    assert {path.name for path in folder.iterdir()} == {*writer.FILES, "evidence"}
    assert results_json.read(folder / results_json.NAME) == run
    assert [one.report for one in history.runs().runs] == [run]
    assert "Successfully installed" in (folder / "index.html").read_text("utf-8")


def test_every_form_of_an_interrupted_run_says_what_was_not_done(
    tmp_path: Path, history: History
) -> None:
    assert writer.write(tmp_path, _interrupted(), history=history) == ()
    for name in writer.FILES:
        text = (tmp_path / name).read_text("utf-8")
        assert "interrupted" in text
        assert LINUX in text
    assert history.runs().runs == ()


def test_what_an_earlier_run_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    writer.write(folder, report())
    (folder / "mine.txt").touch()
    writer.remove(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_form_that_cannot_be_written_takes_no_other_away(tmp_path: Path) -> None:
    (tmp_path / "index.html").mkdir()
    remarks = writer.write(tmp_path, report(), history=History(tmp_path))
    assert [remark.partition(":")[0] for remark in remarks] == [
        "not written",
        "not kept for ./e2e compare",
    ]
    assert (tmp_path / "VERIFICATION.md").is_file()
    assert (tmp_path / "results.json").is_file()


def test_a_fault_of_a_form_takes_no_other_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verification.report.junit._suite", lambda _report: 1 / 0)
    (remark,) = writer.write(tmp_path, report())
    assert "a fault of the suite" in remark
    assert (tmp_path / "index.html").is_file()


def test_evidence_cut_off_in_the_middle_stops_no_form(tmp_path: Path) -> None:
    digest = results_json.write_by_content(tmp_path / "evidence", '{"install": {"co')
    run = report(cell(LINUX).model_copy(update={"evidence": digest}))
    assert writer.write(tmp_path, run) == ()
