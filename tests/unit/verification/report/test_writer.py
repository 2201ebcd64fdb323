"""All formats of the report are written, even if one of them fails."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, cell, report
from verification import verdict
from verification.history.store import History
from verification.models.cause import Severity
from verification.models.errors import WrongUse
from verification.models.pipeline import PipelineFailure
from verification.models.report import Report
from verification.models.run import PipelineSummary, RunResult
from verification.models.testbed import TestbedFailureRecord
from verification.models.verdict import Verdict
from verification.pipeline.report_parts import causes_of, publisher_causes
from verification.report import results_json, terminal, writer
from verification.report.folder import REPORT_MARKER
from verification.rules.catalogue import catalogue


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Return an empty history."""
    return History(tmp_path / "state" / "history.sqlite3")


def _not_run() -> Report:
    """Return the report of a run whose only cell did not run."""
    return report(cell(LINUX, reason="reason of the cell"))


def _unfinished() -> Report:
    return _not_run().model_copy(update={"finished": False})


def _texts(folder: Path, run: Report, history: History | None = None) -> dict[str, str]:
    """Write a report, which must give no remark. Return the text of each file by its name."""
    assert writer.write(folder, run, history=history) == ()
    return {name: (folder / name).read_text("utf-8") for name in writer.FILES}


@pytest.mark.parametrize("subject", ["quiverdb", "xxhash"])
def test_the_report_names_the_package_under_test(
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
    assert history.summaries()[-1].title.endswith(f"{name})")


def test_all_formats_of_a_finished_run_are_written(tmp_path: Path, history: History) -> None:
    folder = tmp_path / "report"
    digest = results_json.write_by_content(folder / "evidence", sample_run.evidence().to_json())
    run = report(cell(LINUX).model_copy(update={"evidence": digest}))
    assert writer.write(folder, run, history=history) == ()
    assert {path.name for path in folder.iterdir()} == {*writer.FILES, "evidence"}
    assert results_json.read(folder / results_json.NAME) == run
    assert [recorded.report for recorded in history.read([1]).runs] == [run]
    assert "Successfully installed" in (folder / "index.html").read_text("utf-8")


def test_all_formats_show_that_a_run_was_interrupted(tmp_path: Path, history: History) -> None:
    complete = _texts(tmp_path, _not_run())
    interrupted = _texts(tmp_path, _not_run().model_copy(update={"interrupted": True}), history)
    for name, text in interrupted.items():
        assert text != complete[name], name
        assert LINUX in text, name
        assert "reason of the cell" in text, name
    assert history.summaries() == ()


def test_all_formats_show_that_a_run_did_not_finish(tmp_path: Path, history: History) -> None:
    finished = _texts(tmp_path, _not_run())
    unfinished = _texts(tmp_path, _unfinished(), history)
    assert [name for name, text in unfinished.items() if text == finished[name]] == []
    assert "**Status:** unverified" in unfinished["VERIFICATION.md"]
    errors = ElementTree.parse(tmp_path / "junit.xml").findall("testsuite/testcase/error")  # noqa: S314
    assert [error.get("type") for error in errors] == ["unfinished"]
    assert history.summaries() == ()


def test_the_terminal_shows_that_a_run_did_not_finish_in_the_last_line() -> None:
    lines = [
        terminal.render(run, (), page=Path("p"), width=100, colour=False).splitlines()[-1]
        for run in (_not_run(), _unfinished())
    ]
    assert lines[1].startswith(lines[0])
    assert lines[0] != lines[1]


def test_beginning_a_report_removes_the_earlier_verdict(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    verified = report(cell(LINUX)).model_copy(update={"verdict": Verdict.VERIFIED})
    writer.write(folder, verified)
    (folder / "mine.txt").touch()
    writer.begin(folder, _unfinished())
    assert not results_json.read(folder / results_json.NAME).finished
    assert {path.name for path in folder.iterdir()} == {*writer.FILES, REPORT_MARKER, "mine.txt"}


def _refuse(folder: Path) -> None:
    assert not results_json.read(folder / results_json.NAME).finished
    raise WrongUse("no such release")


@pytest.mark.parametrize("exists", [True, False])
def test_wrong_use_restores_the_earlier_report(tmp_path: Path, *, exists: bool) -> None:
    folder = tmp_path / "new" / "report"
    if exists:
        writer.write(folder, report(cell(LINUX)))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*")}
    with pytest.raises(WrongUse), writer.begin_or_restore(folder, _unfinished()):
        _refuse(folder)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob("*")} == before
    assert (tmp_path / "new").exists() is exists


def test_an_unwritable_format_or_history_is_a_remark(tmp_path: Path) -> None:
    (tmp_path / "index.html").mkdir()
    page, history = writer.write(tmp_path, report(), history=History(tmp_path))
    assert str(tmp_path / "index.html") in page
    assert "./e2e compare" in history
    assert (tmp_path / "VERIFICATION.md").is_file()
    assert (tmp_path / "results.json").is_file()


def test_a_defect_of_one_format_is_a_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verification.report.junit._suite", lambda _report: 1 / 0)
    (remark,) = writer.write(tmp_path, report())
    assert str(tmp_path / "junit.xml") in remark
    assert "ZeroDivisionError" in remark
    assert (tmp_path / "index.html").is_file()


def test_a_format_that_fails_removes_the_file_of_the_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.begin(tmp_path, _unfinished())
    monkeypatch.setattr("verification.report.junit._suite", lambda _report: 1 / 0)
    writer.write(tmp_path, report(cell(LINUX)))
    assert not (tmp_path / "junit.xml").exists()
    assert list(tmp_path.glob("*.partial")) == []


def test_truncated_evidence_prevents_no_format(tmp_path: Path) -> None:
    digest = results_json.write_by_content(tmp_path / "evidence", '{"install": {"co')
    run = report(cell(LINUX).model_copy(update={"evidence": digest}))
    assert writer.write(tmp_path, run) == ()


def _failed_testbed() -> Report:
    """Return the report of a run in which the release workflow could not be executed."""
    record = TestbedFailureRecord(cause="forge-unreachable", where="forge", observed="it ended")
    static = tuple(
        catalogue().cause(name, f"{name}.yml:1", f"finding of {name}", risk=False)
        for name in STATIC
    )
    causes = causes_of(PipelineFailure(static=static, testbed=record))
    summary = PipelineSummary(causes=causes, publisher_causes=publisher_causes(causes))
    judged = verdict.judge(
        RunResult(
            subject="quiverdb",
            strict=False,
            from_source=False,
            prepared=True,
            systems=(),
            platforms=(),
            planned=(),
            pipeline=summary,
        )
    )
    run = report(items=judged.items)
    notes = tuple(cause for cause in causes if cause.severity is Severity.NOTE)
    return run.model_copy(update={"notes": notes})


STATIC = ("failure-ignored", "wrong-source", "not-evaluated")
"""A flawed cause, a broken one and a note."""


def test_findings_about_the_files_are_in_each_form_although_nothing_was_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run = _failed_testbed()
    texts = _texts(tmp_path / "report", run)
    page = tmp_path / "report" / "index.html"
    texts["terminal"] = terminal.render(run, (), page=page, width=200, colour=False)
    texts["summary"] = summary.read_text("utf-8")

    found = {form: {name for name in STATIC if name in text} for form, text in texts.items()}

    assert run.verdict is Verdict.FAILED
    with_notes = {"results.json", "index.html", "VERIFICATION.md", "terminal"}
    for form, names in found.items():
        assert names >= {"failure-ignored", "wrong-source"}, form
        assert "not-evaluated" in names or form not in with_notes, form
