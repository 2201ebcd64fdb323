from __future__ import annotations

import json

import pytest

from tests.helpers import sample_evidence, sample_run
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, WINDOWS
from verification.models.evidence import (
    CellEvidence,
    OwnTestFailure,
    OwnTests,
    Steps,
    TestOutcome,
)
from verification.models.results import CellSummary, UseEvidence
from verification.models.testbed import TestbedFailureRecord
from verification.report import cell_summary


def _without_commands(evidence: CellEvidence) -> CellEvidence:
    names = {"install", "import_run", "exercise", "uninstall", "requests", "python"}
    return evidence.model_copy(
        update={name: CellEvidence.model_fields[name].default for name in names}
    )


def test_a_command_is_quoted_for_the_shell_of_its_machine() -> None:
    line = cell_summary.command_line(["/a b/pip", "install", "it's"])
    assert line == "'/a b/pip' install 'it'\"'\"'s'"
    line = cell_summary.command_line(["C:\\a b\\pip.exe", "x"], windows=True)
    assert line == '"C:\\a b\\pip.exe" x'


def test_use_is_judged_from_outside_if_the_host_read_its_values() -> None:
    evidence = sample_evidence.evidence()
    assert cell_summary.summarize(evidence).use is UseEvidence.OUTSIDE
    for name in ("chosen", "on_disk"):
        without = evidence.model_copy(update={name: None})
        assert cell_summary.summarize(without).use is UseEvidence.INSIDE
    assert cell_summary.summarize(_without_commands(evidence)).use is None


def test_a_summary_has_commands_steps_and_served_wheels() -> None:
    summary = cell_summary.summarize(sample_run.evidence())

    assert [command.name for command in summary.commands] == [
        "install", "import", "exercise", "uninstall",
    ]  # fmt: skip
    assert {command.code for command in summary.commands} == {0}
    assert dict(summary.steps) == {"native-call": True, "round-trip": True}
    assert summary.native
    assert (summary.native.version, summary.native.source) == ("0.5.0", "bundled")
    assert dict(summary.served) == {LINUX_WHEEL: WHEELS[LINUX_WHEEL]}
    assert summary.image.startswith("quiverdb-e2e/debian-13:")


@pytest.mark.parametrize("cell_id", [sample_run.LINUX, WINDOWS])
def test_the_sentence_of_a_cell_has_the_commands_as_the_user_types_them(cell_id: str) -> None:
    line = cell_summary.sentence(cell_summary.summarize(sample_run.evidence(cell_id)))

    data = ("`pip install quiverdb` -> 0", "0.5.0", "bundled", "native-call", "round-trip")
    positions = [line.find(text) for text in (*data, "`pip uninstall --yes quiverdb` -> 0")]
    assert positions[0] == 0
    assert positions == sorted(positions)


def test_the_sentence_of_a_timed_out_command_has_no_exit_code() -> None:
    summary = cell_summary.summarize(sample_run.evidence())
    install = summary.commands[0].model_copy(update={"timed_out": True})
    line = cell_summary.sentence(CellSummary(commands=(install,), steps={}))

    assert "`pip install quiverdb`" in line
    assert "->" not in line


def test_the_sentence_of_a_lost_machine_has_its_cause() -> None:
    lost = TestbedFailureRecord(cause="machine-lost", where="x", observed="it stopped")
    evidence = _without_commands(sample_run.evidence()).model_copy(update={"testbed": lost})
    summary = cell_summary.summarize(evidence)

    assert summary.commands == ()
    assert "machine-lost: it stopped" in cell_summary.sentence(summary)


def test_own_tests_are_counted_with_the_reasons_to_leave_some_out() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"tests": sample_run.own_tests()})
    summary = cell_summary.summarize(evidence)

    assert summary.tests
    assert cell_summary.counts(summary.tests) == "106 passed, 2 skipped"
    assert summary.tests.left_out == ("2 skipped: Windows does not fork",)
    assert "106 passed, 2 skipped" in cell_summary.sentence(summary)


def test_own_tests_without_pytest_have_no_command() -> None:
    tests = OwnTests(
        tool=sample_run.command("pip"), trace="", pytest="", collected=None, internal="",
        end=None, counts={}, begun=0, within="", failures=(), left_out=(), sha256="c" * 64,
    )  # fmt: skip
    evidence = sample_run.evidence().model_copy(update={"tests": tests})
    summary = cell_summary.summarize(evidence)

    (command,) = [command for command in summary.commands if command.name == "tests"]
    assert (command.code, command.seconds) == (None, None)
    with_pytest = sample_run.evidence().model_copy(update={"tests": sample_run.own_tests()})
    assert "passed, 2" in cell_summary.sentence(cell_summary.summarize(with_pytest))
    assert "passed, 2" not in cell_summary.sentence(summary)


def test_the_sentence_of_an_empty_summary_is_empty() -> None:
    assert cell_summary.sentence(CellSummary(commands=(), steps={})) == ""


# ---- what the user sees of a failure ----

TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "<string>", line 1, in <module>\n'
    "RuntimeError: cannot load libquiver.dll: error 0x7e\n"
)
PIP_ERROR = (
    "ERROR: Could not find a version that satisfies the requirement quiverdb\n"
    "ERROR: No matching distribution found for quiverdb"
)
UV_ERROR = (
    "  \N{MULTIPLICATION SIGN} No solution found when resolving dependencies:\n"
    "  \N{BOX DRAWINGS LIGHT ARC UP AND RIGHT} Because there is no version"
)


def _failing(name: str, **result: object) -> CellEvidence:
    """Return the evidence of a cell in which a command ended with 1."""
    evidence = sample_run.evidence()
    command = getattr(evidence, name).model_copy(update={"code": 1} | result)
    return evidence.model_copy(update={name: command})


def _with_step(step: str, kind: str, message: str) -> CellEvidence:
    failed = {"step": step, "ok": False, "error": {"type": kind, "message": message}}
    steps = Steps.model_validate({step: failed})
    exercise = sample_run.evidence().exercise
    assert exercise
    update = {"steps": steps, "code": 1, "stderr": TRACEBACK}
    return sample_run.evidence().model_copy(update={"exercise": exercise.model_copy(update=update)})


def test_cell_that_works_has_no_errors() -> None:
    assert cell_summary.errors(sample_run.evidence()) == {}


def test_error_of_a_step_is_its_exception_line() -> None:
    message = "cannot load libquiver.dll: error 0x7e " + "x" * 3000
    errors = cell_summary.errors(_with_step("native-call", "RuntimeError", message))
    assert errors == {"native-call": f"RuntimeError: {message}"}
    assert cell_summary.errors(_with_step("in-use", "KeyError", "")) == {"in-use": "KeyError"}


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("import_run", TRACEBACK, "RuntimeError: cannot load libquiver.dll: error 0x7e"),
        ("import_run", TRACEBACK + "second line\n", TRACEBACK.splitlines()[-1] + "\nsecond line"),
        ("install", f"Looking in indexes\n{PIP_ERROR}\n\n[notice] A new release\n", PIP_ERROR),
        ("install", f"Using Python\n{UV_ERROR}\n", UV_ERROR.strip()),
        ("uninstall", "WARNING: old\nno such package\n", "no such package"),
        ("exercise", "Segmentation fault\n", "Segmentation fault"),
    ],
)
def test_error_of_a_command_is_the_end_of_its_output(name: str, output: str, expected: str) -> None:
    errors = cell_summary.errors(_failing(name, stderr=output))
    assert errors == {name.removesuffix("_run"): expected}


def test_error_without_error_output_is_the_end_of_the_output() -> None:
    output = "".join(f"line {number}\n" for number in range(30))
    errors = cell_summary.errors(_failing("install", stdout=output))
    assert errors["install"].splitlines() == [f"line {number}" for number in range(20, 30)]


def test_error_of_a_crash_begins_with_its_signal() -> None:
    frames = [f'  File "a.py", line {number} in f' for number in range(30)]
    trace = "\n".join(["Fatal Python error: Segmentation fault", "", *frames])
    errors = cell_summary.errors(_failing("exercise", trace=trace, stderr=""))
    assert errors["exercise"].splitlines()[0] == "Fatal Python error: Segmentation fault"


def test_error_of_own_tests_has_each_failed_test() -> None:
    failure = OwnTestFailure(node="test_a.py::test_b", outcome=TestOutcome.FAILED, text="E 1 == 2")
    tests = sample_run.own_tests().model_copy(update={"failures": (failure,)})
    evidence = sample_run.evidence().model_copy(update={"tests": tests})
    assert cell_summary.errors(evidence) == {"tests": "test_a.py::test_b\nE 1 == 2"}


def test_errors_are_limited_in_size() -> None:
    long = cell_summary.errors(_failing("install", stderr="é" * 20_000))
    assert len(long["install"].encode()) <= cell_summary.MAX_ERROR_BYTES
    steps = {
        f"in-{number}": {
            "step": f"in-{number}",
            "error": {"type": "E", "message": "\x01" * 4000},
        }
        for number in range(40)
    }
    exercise = sample_run.evidence().exercise
    assert exercise
    exercise = exercise.model_copy(update={"steps": Steps.model_validate(steps)})
    errors = cell_summary.errors(sample_run.evidence().model_copy(update={"exercise": exercise}))
    assert 0 < len(json.dumps(errors)) < 2 * cell_summary.MAX_ERRORS_BYTES


def test_version_of_wine_is_in_the_summary() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"wine": "10.0"})
    assert cell_summary.summarize(evidence).wine == "10.0"
