from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_wheels import SUBJECT
from verification.models.base import DataError
from verification.models.cause import Cause
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.report import Report
from verification.models.results import ItemResult
from verification.models.survey import PinnedRelease, SurveyResult
from verification.models.verdict import Outcome, Verdict
from verification.report import results_json
from verification.rules.catalogue import catalogue
from verification.session import new_subject, survey
from verification.session.survey import GateOptions
from verification.wheel.errors import BadWheel

XXHASH = PinnedRelease(name="xxhash", version="3.5.0")
FAULT = catalogue().cause("crash", "debian-13-pip-venv: import", "ended with SIGSEGV")
Gate = Callable[..., int]


def write_list(folder: Path, text: str) -> Path:
    path = folder / "list.txt"
    path.write_text(text)
    return path


def test_list_has_each_release_once_without_comments(tmp_path: Path) -> None:
    text = "# popular\n\nxxhash==3.5.0\nPy_Yaml == 6.0  # a parser\nxxhash==3.5.0\nxxhash==3.6\n"
    assert list(map(str, survey.read_list(write_list(tmp_path, text)))) == [
        "xxhash 3.5.0",
        "py-yaml 6.0",
        "xxhash 3.6",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "xxhash",
        "xxhash>=3",
        "xxhash==3.5.0 --hash=sha256:00",
        "xxhash==3.5.0 \\",
        "    --hash=sha256:00",
        "xxhash==3.5.0; python_version < '3.13'",
        "xxhash[all]==3.5.0",
        "xxhash==3.*",
        "-r other.txt",
        "xxhash @ file:///x.whl",
        "two words",
    ],
)
def test_line_of_another_form_is_wrong_use_that_names_the_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(WrongUse) as raised:
        survey.read_list(write_list(tmp_path, f"a==1\n{line}\n{line}\n"))
    message = str(raised.value)
    assert "line 2" in message
    assert line.strip() in message
    assert "1 more" in message
    assert "\n" not in message


def test_list_of_an_editor_for_windows_is_read(tmp_path: Path) -> None:
    text = "\ufeffxxhash==3.5.0\r\n"
    assert list(map(str, survey.read_list(write_list(tmp_path, text)))) == ["xxhash 3.5.0"]


@pytest.mark.parametrize("text", ["", "# nothing\n", None])
def test_list_without_a_release_is_wrong_use(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "missing.txt" if text is None else write_list(tmp_path, text)
    with pytest.raises(WrongUse, match=path.name):
        survey.read_list(path)


# ---- one release ----


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Return a function that replaces the gate with a Python script. Replace the description.

    The script gets the words of the command line. The function returns the list of these words,
    which is filled when the gate runs.
    """

    def replace(script: str) -> list[str]:
        words: list[str] = []
        start = subprocess.Popen

        def popen(command: list[str], **options: object) -> subprocess.Popen[bytes]:
            words.extend(command)
            options.pop("cwd")
            return start([sys.executable, "-c", script, *command], **options)  # type: ignore[call-overload,no-any-return]

        monkeypatch.setattr(subprocess, "Popen", popen)
        return words

    monkeypatch.setattr(new_subject, "of_release", lambda *_: (SUBJECT, XXHASH.version))
    return replace


def report_script(folder: Path, report: Report, code: int) -> str:
    """Return a script that writes a report, as the gate does, and ends with the code."""
    results_json.write(folder / "given.json", report)
    return (
        "import pathlib, shutil, sys\n"
        "(path,) = [word[9:] for word in sys.argv if word.startswith('--report=')]\n"
        "pathlib.Path(path).mkdir()\n"
        f"shutil.copy({str(folder / 'given.json')!r}, path + '/results.json')\n"
        f"sys.exit({code})\n"
    )


def report_with(verdict: Verdict, *causes: Cause, finished: bool = True) -> Report:
    outcome = Outcome.FAILS if causes else Outcome.WORKS
    changes = {"causes": causes, "outcome": outcome, "verdict": verdict}
    cell = sample_run.cell(sample_run.LINUX).model_copy(update=changes)
    item = ItemResult(id="linux-install", title="works", verdict=verdict, causes=causes)
    update = {"verdict": verdict, "items": (item,), "finished": finished}
    return sample_run.report(cell).model_copy(update=update)


@pytest.mark.parametrize(
    ("verdict", "causes", "outcome"),
    [(Verdict.VERIFIED, (), Outcome.WORKS), (Verdict.FAILED, (FAULT,), Outcome.FAILS)],
)
def test_result_is_that_of_the_gates_report(
    gate: Callable[[str], list[str]],
    tmp_path: Path,
    verdict: Verdict,
    causes: tuple[Cause, ...],
    outcome: Outcome,
) -> None:
    words = gate(report_script(tmp_path, report_with(verdict, *causes), 1))
    options = GateOptions(("debian-13", "windows-wine"), ("--strict",))
    result = survey.run(XXHASH, tmp_path / "xxhash-3.5.0", options)
    assert (result.verdict, result.reason) == (verdict, "")
    assert result.causes == tuple(cause.name for cause in causes)
    assert outcome in {platform.outcome for platform in result.platforms}
    assert (tmp_path / result.report / "results.json").is_file()
    assert {"--release=3.5.0", "--strict", "--machine=debian-13", "--machine=windows-wine"} <= set(
        words
    )


def test_only_machines_that_can_run_a_wheel_are_selected(
    gate: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux = tuple(p for p in SUBJECT.platforms if p.target.machine_system == "linux")
    subject = SUBJECT.model_copy(update={"platforms": linux})
    monkeypatch.setattr(new_subject, "of_release", lambda *_: (subject, XXHASH.version))
    words = gate(report_script(tmp_path, report_with(Verdict.VERIFIED), 0))
    survey.run(XXHASH, tmp_path / "a", GateOptions(("debian-13", "windows-wine")))
    assert [word for word in words if word.startswith("--machine")] == ["--machine=debian-13"]
    words.clear()
    result = survey.run(XXHASH, tmp_path / "a", GateOptions(("windows-wine",)))
    assert (result.verdict, words) == (Verdict.UNVERIFIED, [])
    assert "windows-wine" in result.reason


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(4, Verdict.UNVERIFIED), (3, Verdict.TESTBED), (1, Verdict.TESTBED), (0, Verdict.TESTBED)],
)
def test_gate_without_a_report_gives_its_last_line(
    gate: Callable[[str], list[str]], tmp_path: Path, code: int, verdict: Verdict
) -> None:
    gate(f"import sys; print('start'); print('e2e: the reason'); sys.exit({code})")
    result = survey.run(XXHASH, tmp_path / "a", GateOptions())
    assert (result.verdict, result.reason) == (verdict, "e2e: the reason")


def test_unfinished_report_is_no_verdict(gate: Callable[[str], list[str]], tmp_path: Path) -> None:
    gate(report_script(tmp_path, report_with(Verdict.VERIFIED, finished=False), 0))
    assert survey.run(XXHASH, tmp_path / "a", GateOptions()).verdict is Verdict.TESTBED


def test_gate_that_does_not_end_is_ended(
    gate: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "_SECONDS", 2)
    ended = tmp_path / "ended"
    gate(
        "import pathlib, signal, sys, time\n"
        f"signal.signal({int(signal.SIGTERM)}, lambda *_: (pathlib.Path({str(ended)!r}).touch(), "
        "sys.exit(5)))\ntime.sleep(60)"
    )
    result = survey.run(XXHASH, tmp_path / "a", GateOptions())
    assert result.verdict is Verdict.TESTBED
    assert ended.exists()


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (TestbedFailure("index-unreachable", "upstream index", "no answer"), Verdict.TESTBED),
        (WrongUse("no such release"), Verdict.UNVERIFIED),
        (DataError("no wheel has native code"), Verdict.UNVERIFIED),
        (BadWheel("not a wheel"), Verdict.UNVERIFIED),
        (RuntimeError("a defect"), Verdict.TESTBED),
    ],
)
def test_release_that_cannot_be_described_is_a_result_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, verdict: Verdict
) -> None:
    def of_release(*_: object) -> None:
        raise error

    monkeypatch.setattr(new_subject, "of_release", of_release)
    result = survey.run(XXHASH, tmp_path / "a", GateOptions())
    assert (result.verdict, result.report) == (verdict, "")
    assert str(error).rpartition(": ")[2] in result.reason


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("verified verified", Verdict.VERIFIED),
        ("verified unverified", Verdict.UNVERIFIED),
        ("unverified testbed-failure", Verdict.TESTBED),
        ("testbed-failure failed unverified", Verdict.FAILED),
    ],
)
def test_verdict_of_a_survey_is_the_worst(verdicts: str, expected: Verdict) -> None:
    results = [SurveyResult(release=XXHASH, verdict=Verdict(name)) for name in verdicts.split()]
    assert survey.worst(results) is expected
