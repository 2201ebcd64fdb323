"""All formats of the report: each is written, even if another one fails."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, cell, report
from verification.history.store import History
from verification.models.errors import WrongUse
from verification.models.report import Report
from verification.models.verdict import Verdict
from verification.report import results_json, terminal, writer
from verification.report.folder import MARK


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


def _unfinished() -> Report:
    run = report(cell(LINUX, reason="the run did not finish"))
    return run.model_copy(update={"finished": False})


def test_every_form_of_a_run_that_did_not_finish_says_so(tmp_path: Path, history: History) -> None:
    assert writer.write(tmp_path, _unfinished(), history=history) == ()
    for name in writer.FILES:
        text = (tmp_path / name).read_text("utf-8")
        words = '"finished": false' if name == results_json.NAME else "did not finish"
        assert words in text, name
    assert "**Status:** verified" not in (tmp_path / "VERIFICATION.md").read_text("utf-8")
    shown = terminal.render(_unfinished(), (), width=100, colour=False)
    assert shown.splitlines()[-1].endswith("unverified: the run did not finish")
    errors = ElementTree.parse(tmp_path / "junit.xml").findall("testsuite/testcase/error")  # noqa: S314
    assert [error.get("type") for error in errors] == ["unfinished"]
    assert history.runs().runs == ()


def test_a_run_that_began_leaves_nothing_of_an_earlier_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    verified = report(cell(LINUX)).model_copy(update={"verdict": Verdict.VERIFIED})
    writer.write(folder, verified)
    (folder / "mine.txt").touch()
    writer.begin(folder, _unfinished())
    assert not results_json.read(folder / results_json.NAME).finished
    assert {path.name for path in folder.iterdir()} == {*writer.FILES, MARK, "mine.txt"}


def _refuse(folder: Path) -> None:
    assert not results_json.read(folder / results_json.NAME).finished
    raise WrongUse("there is no such release")


@pytest.mark.parametrize("there", [True, False])
def test_wrong_use_puts_the_earlier_report_back(tmp_path: Path, *, there: bool) -> None:
    folder = tmp_path / "new" / "report"
    if there:
        writer.write(folder, report(cell(LINUX)))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*")}
    with pytest.raises(WrongUse), writer.begin_or_restore(folder, _unfinished()):
        _refuse(folder)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob("*")} == before
    assert (tmp_path / "new").exists() is there


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


def test_a_form_that_fails_leaves_none_of_the_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.begin(tmp_path, _unfinished())
    monkeypatch.setattr("verification.report.junit._suite", lambda _report: 1 / 0)
    writer.write(tmp_path, report(cell(LINUX)))
    assert not (tmp_path / "junit.xml").exists()
    assert list(tmp_path.glob("*.partial")) == []


def test_evidence_cut_off_in_the_middle_stops_no_form(tmp_path: Path) -> None:
    digest = results_json.write_by_content(tmp_path / "evidence", '{"install": {"co')
    run = report(cell(LINUX).model_copy(update={"evidence": digest}))
    assert writer.write(tmp_path, run) == ()
