from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from verification.commands import parser, survey
from verification.models.base import read_json
from verification.models.errors import ExitCode, WrongUse
from verification.models.survey import PinnedRelease, PlatformOutcome, Survey, SurveyResult
from verification.models.verdict import Outcome, Verdict
from verification.session import survey as session_survey
from verification.session.survey import GateOptions

WORKS = PlatformOutcome(name="Linux x86-64", outcome=Outcome.WORKS)
NOT_COVERED = PlatformOutcome(name="macOS ARM64", outcome=None, text="not covered")


class Runs:
    """Replaces the gates: returns a verdict by the name of the package."""

    def __init__(self, verdicts: Mapping[str, Verdict | type[BaseException]]) -> None:
        self.verdicts = verdicts
        self.options: list[GateOptions] = []

    def __call__(self, release: PinnedRelease, folder: Path, options: GateOptions) -> SurveyResult:
        self.options.append(options)
        verdict = self.verdicts[release.name]
        if not isinstance(verdict, Verdict):
            raise verdict
        reason = "no such release" if verdict is Verdict.UNVERIFIED else ""
        platforms = () if reason else (WORKS, NOT_COVERED)
        report = "" if reason else f"{folder.name}/report"
        return SurveyResult(
            release=release, verdict=verdict, reason=reason, platforms=platforms, report=report
        )


def run(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    verdicts: Mapping[str, Verdict | type[BaseException]],
    *words: str,
) -> tuple[int, Runs]:
    path = folder / "list.txt"
    path.write_text("".join(f"{name}==1.0\n" for name in verdicts))
    runs = Runs(verdicts)
    monkeypatch.setattr(session_survey, "run", runs)
    report = f"--report={folder / 'survey'}"
    options, _ = parser.parse(["survey", str(path), report, *words])
    return survey.run(options), runs


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((Verdict.VERIFIED, Verdict.VERIFIED), ExitCode.VERIFIED),
        ((Verdict.VERIFIED, Verdict.FAILED), ExitCode.PACKAGE_FAILED),
        ((Verdict.TESTBED, Verdict.FAILED), ExitCode.PACKAGE_FAILED),
        ((Verdict.TESTBED, Verdict.UNVERIFIED), ExitCode.TESTBED_FAILED),
        ((Verdict.VERIFIED, Verdict.UNVERIFIED), ExitCode.UNVERIFIED),
    ],
)
def test_each_package_has_a_line_and_the_worst_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verdicts: tuple[Verdict, Verdict],
    code: ExitCode,
) -> None:
    result, _ = run(monkeypatch, tmp_path, dict(zip("ab", verdicts, strict=True)))
    assert result == code
    content = read_json(Survey, tmp_path / "survey" / "survey.json")
    assert [entry.verdict for entry in content.results] == list(verdicts)
    assert content.finished
    table = (tmp_path / "survey" / "survey.md").read_text("utf-8")
    printed = capsys.readouterr().out
    for name, verdict in zip("ab", verdicts, strict=True):
        assert any(f"{name} 1.0" in line and verdict in line for line in printed.splitlines())
        assert any(f"{name} 1.0" in line and verdict in line for line in table.splitlines())
    assert (WORKS.name in table, NOT_COVERED.name in table) == (True, False)
    assert ("no such release" in table) == (Verdict.UNVERIFIED in verdicts)


def test_interrupt_keeps_the_finished_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts: dict[str, Verdict | type[BaseException]] = {
        "a": Verdict.FAILED,
        "b": KeyboardInterrupt,
        "c": Verdict.VERIFIED,
    }
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, tmp_path, verdicts)
    content = read_json(Survey, tmp_path / "survey" / "survey.json")
    assert not content.finished
    assert [entry.verdict for entry in content.results] == [
        Verdict.FAILED,
        Verdict.UNVERIFIED,
        Verdict.UNVERIFIED,
    ]
    assert all(entry.reason for entry in content.results[1:])
    assert "c 1.0" in capsys.readouterr().out


def test_options_are_those_of_each_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ("--machine=debian-13", "--machine=debian-12", "--machine=debian-13")
    more = ("--profile=quick", "--strict", "--no-provision")
    _, runs = run(monkeypatch, tmp_path, {"a": Verdict.VERIFIED}, *words, *more)
    assert runs.options == [GateOptions(("debian-13", "debian-12"), more)]


def test_folder_with_other_files_is_wrong_use_and_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey" / "thesis.txt").touch()
    with pytest.raises(WrongUse, match="survey"):
        run(monkeypatch, tmp_path, {"a": Verdict.VERIFIED})
    assert [path.name for path in (tmp_path / "survey").iterdir()] == ["thesis.txt"]


def test_survey_replaces_an_earlier_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(monkeypatch, tmp_path, {"a": Verdict.FAILED})
    assert run(monkeypatch, tmp_path, {"a": Verdict.VERIFIED})[0] == ExitCode.VERIFIED
