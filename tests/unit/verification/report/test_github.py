from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_run import LINUX, PUBLISHER, WINDOWS, cell, complete, crash, report
from verification.models import printable
from verification.models.verdict import Outcome
from verification.report import github, signs


def test_nothing_is_written_outside_of_github_actions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "summary.md"
    environment = {"GITHUB_STEP_SUMMARY": str(path)}
    assert github.announce(report(), tmp_path, environment) == ()
    assert capsys.readouterr().out == ""
    assert not path.exists()


def test_the_summary_is_appended_and_each_cause_is_an_annotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", "utf-8")
    run = report(cell(LINUX, crash()), cell(WINDOWS))
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(path)}
    with printable.printable_output():  # as in each command
        assert github.announce(run, tmp_path, environment) == ()
    lines = capsys.readouterr().out.splitlines()
    (error,) = [line for line in lines if line.startswith("::error ")]
    assert error.startswith(f"::error title=crash (broken)::{LINUX}: import: {crash().message}")
    summary = path.read_text("utf-8")
    assert summary.startswith("before\n## ❌ quiverdb 0.5.0: failed\n")
    assert f"| {LINUX} | ✘ fails | crash | 4.0 |" in summary


def test_an_unwritable_summary_is_a_remark(tmp_path: Path) -> None:
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)}
    (remark,) = github.announce(report(), tmp_path, environment)
    assert str(tmp_path) in remark


def test_each_outcome_is_shown_with_its_sign_in_cells_and_items(tmp_path: Path) -> None:
    flawed = "debian-13-uv-venv"
    run = report(
        cell(LINUX),
        cell("fedora-44-pip-venv", outcome=Outcome.REFUSED),
        cell(WINDOWS, outcome=Outcome.FALLS_BACK),
        cell(flawed, outcome=Outcome.WORKS_FLAWED),
    )
    summary = github.job_summary(run, tmp_path)

    for cell_id, outcome_sign in (
        (LINUX, "✔ works"),
        ("fedora-44-pip-venv", "⊘ refused"),
        (WINDOWS, "↓ falls-back"),
        (flawed, "▲ works-flawed"),
    ):
        assert f"| {cell_id} | {outcome_sign} |" in summary
    for item in run.items:
        assert f"| {signs.machine_sentence(run.cells_of(item.id))} |" in summary


def test_own_tests_that_did_not_run_are_a_limit_in_the_summary(tmp_path: Path) -> None:
    assert "**Limit**" not in github.job_summary(report(), tmp_path)
    run = report().model_copy(update={"own_tests_not_run": "not named"})
    (line,) = [
        line for line in github.job_summary(run, tmp_path).splitlines() if "not named" in line
    ]
    assert line.startswith("**Limit**")


def test_a_following_cause_is_not_an_annotation(tmp_path: Path) -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    run = report(cell(LINUX, crash(), follows), cell(WINDOWS))

    (line,) = github.workflow_commands(run)
    assert "title=crash" in line
    lines = github.job_summary(run, tmp_path).splitlines()
    (number,) = [number for number, text in enumerate(lines) if "leftovers" in text]
    assert lines[number - 1].startswith("- **crash**")
    assert lines[number].startswith("  - ")


def test_the_summary_has_basis_live_index_and_files(tmp_path: Path) -> None:
    run = complete()
    summary = github.job_summary(run, tmp_path)
    head = summary.partition("| item |")[0]
    for text in (signs.basis_line(run), signs.live_index_sentence(run), PUBLISHER.scope):
        assert text in head
    for file in run.files:
        assert f"| {file.name} | {signs.file_sentence(file)} |" in summary


def test_evidence_cannot_contain_a_workflow_command() -> None:
    planted = crash().model_copy(
        update={"where": "x\n::set-output name=a::b", "message": "100% \r gone"}
    )
    (line,) = github.workflow_commands(report(cell(LINUX, planted), cell(WINDOWS)))
    assert "\n" not in line
    assert "\r" not in line
    assert "%0A::set-output" in line
    assert "100%25 %0D gone" in line


def test_at_most_ten_annotations_are_written() -> None:
    causes = [crash().model_copy(update={"where": f"location {number}"}) for number in range(30)]
    lines = list(github.workflow_commands(report(cell(LINUX, *causes), cell(WINDOWS))))
    assert len([line for line in lines if line.startswith("::error")]) == 10


def test_an_unverified_item_without_a_cause_is_an_annotation() -> None:
    run = report(cell(LINUX, reason="the run was interrupted"), cell(WINDOWS))
    (line,) = github.workflow_commands(run)
    assert line == "::error title=linux-install%3A unverified::the run was interrupted"
