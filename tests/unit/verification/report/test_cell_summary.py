from __future__ import annotations

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, WINDOWS
from verification.models.evidence import CellEvidence, OwnTests
from verification.models.results import CellSummary
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
