"""The command that merges reports: its folder, its output and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.sample_run import LINUX, cell, crash, report
from verification.commands import merge, parser
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import Report
from verification.report import results_json
from verification.session import merge as merging


@pytest.fixture
def merged(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the merge by one with a failed cell. Return the folders that it gets."""
    folders: list[Path] = []

    def result(sources: Sequence[Path]) -> tuple[Report, tuple[()]]:
        folders.extend(sources)
        return report(cell(LINUX, crash())), ()

    monkeypatch.setattr(merging, "merge", result)
    return folders


def test_report_is_written_and_the_code_is_that_of_the_verdict(
    merged: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(tmp_path / name) for name in ("a", "b")]
    options, _ = parser.parse(["merge", *names, f"--report={tmp_path / 'whole'}"])
    assert merge.run(options) == ExitCode.PACKAGE_FAILED
    assert [str(folder) for folder in merged] == names
    written = results_json.read(tmp_path / "whole" / results_json.NAME)
    assert written.verdict == "failed"
    assert capsys.readouterr().out.splitlines()[-1] == "\u2718 failed"


@pytest.mark.parametrize("name", ["a", "with-files"])
def test_other_files_are_not_replaced(merged: list[Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "with-files").mkdir()
    (tmp_path / "with-files" / "index.html").write_text("mine")
    options, _ = parser.parse(["merge", str(tmp_path / "a"), f"--report={tmp_path / name}"])
    with pytest.raises(WrongUse, match=r"^--report "):
        merge.run(options)
    assert not (tmp_path / name / results_json.NAME).exists()
    assert len(merged) <= 1
