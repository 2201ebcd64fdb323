from __future__ import annotations

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, WINDOWS
from verification.models.evidence import CellEvidence, OwnTests
from verification.models.results import CellSummary
from verification.models.testbed import TestbedFailureRecord
from verification.report import cell_summary


def _without_commands(evidence: CellEvidence) -> CellEvidence:
    reached = {"install", "import_run", "exercise", "uninstall", "requests", "python"}
    return evidence.model_copy(
        update={name: CellEvidence.model_fields[name].default for name in reached}
    )


def test_a_command_can_be_pasted_on_its_own_machine() -> None:
    line = cell_summary.command_line(["/a b/pip", "install", "it's"])
    assert line == "'/a b/pip' install 'it'\"'\"'s'"
    line = cell_summary.command_line(["C:\\a b\\pip.exe", "x"], windows=True)
    assert line == '"C:\\a b\\pip.exe" x'


def test_the_evidence_in_short_has_commands_steps_and_what_was_served() -> None:
    found = cell_summary.summarize(sample_run.evidence())

    assert [command.name for command in found.commands] == [
        "install", "import", "exercise", "uninstall",
    ]  # fmt: skip
    assert {command.code for command in found.commands} == {0}
    assert dict(found.steps) == {"native-call": True, "round-trip": True}
    assert found.native
    assert (found.native.version, found.native.source) == ("0.5.0", "bundled")
    assert dict(found.served) == {LINUX_WHEEL: WHEELS[LINUX_WHEEL]}
    assert found.image.startswith("quiverdb-e2e/debian-13:")


@pytest.mark.parametrize("ident", [sample_run.LINUX, WINDOWS])
def test_a_cell_is_one_line_in_the_words_of_its_user(ident: str) -> None:
    line = cell_summary.sentence(cell_summary.summarize(sample_run.evidence(ident)))

    assert line == (
        "`pip install quiverdb` -> 0; import -> 0; native version 0.5.0 (bundled); "
        "passed: native-call, round-trip; `pip uninstall --yes quiverdb` -> 0"
    )


def test_a_cell_whose_machine_was_lost_says_so() -> None:
    lost = TestbedFailureRecord.model_validate(
        {"cause": "machine-lost", "where": "x", "observed": "it is gone"}
    )
    evidence = _without_commands(sample_run.evidence()).model_copy(update={"testbed": lost})

    assert (
        cell_summary.sentence(cell_summary.summarize(evidence))
        == "testbed: machine-lost: it is gone"
    )


def test_the_packages_own_tests_are_counted_with_what_was_left_out() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"tests": sample_run.own_tests()})
    found = cell_summary.summarize(evidence)

    assert found.tests
    assert cell_summary.counts(found.tests) == "106 passed, 2 skipped"
    assert found.tests.left_out == ("2 skipped: Windows does not fork",)
    assert "the package's own tests: 106 passed, 2 skipped" in cell_summary.sentence(found)


def test_own_tests_without_pytest_have_no_command() -> None:
    tests = OwnTests(
        tool=sample_run.command("pip"), trace="", pytest="", collected=None, internal="",
        end=None, counts={}, begun=0, within="", failures=(), left_out=(), sha256="c" * 64,
    )  # fmt: skip
    evidence = sample_run.evidence().model_copy(update={"tests": tests})
    found = cell_summary.summarize(evidence)

    (ran,) = [command for command in found.commands if command.name == "tests"]
    assert (ran.code, ran.seconds) == (None, None)
    assert "own tests: none ran" in cell_summary.sentence(found)


def test_a_summary_of_nothing_is_empty() -> None:
    assert cell_summary.sentence(CellSummary(commands=(), steps={})) == ""
