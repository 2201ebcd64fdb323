"""What the controller makes of the reports of tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest

from verification.models.base import DataError
from verification.models.cause import Cause, Severity
from verification.models.results import CellResult
from verification.models.run import PlannedCell, RunResult, SystemFacts, WheelFacts
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.session.recorder import (
    ITEM,
    PROPERTY_BYTES,
    RESULT,
    Recorder,
    TestOutcome,
    as_property,
)

ONE, TWO = (
    PlannedCell(
        id=ident,
        machine="debian-13",
        installer="pip",
        scenario="venv",
        system="linux",
        expectation=ExpectationKind.WORKS,
    )
    for ident in ("one", "two")
)
FACTS = RunResult(
    subject="quiverdb",
    systems=(SystemFacts(system="linux", wheels=(WheelFacts(file="a.whl"),)),),
    planned=(ONE, TWO),
)
NODES = {"t.py::test_a_cell[one]": "one", "t.py::test_a_cell[two]": "two"}
FIRST, SECOND = NODES
ITEMS = {ITEM: "publisher"}


def recorder() -> Recorder:
    made = Recorder(FACTS)
    made.select(NODES)
    return made


def works(planned: PlannedCell) -> CellResult:
    return CellResult(
        id=planned.id,
        machine=planned.machine,
        installer=planned.installer,
        scenario=planned.scenario,
        expectation=planned.expectation,
        outcome=Outcome.WORKS,
        verdict=Verdict.VERIFIED,
        causes=(),
        seconds=2.5,
        wheel="a.whl",
    )


def reported(
    node: str = FIRST,
    phase: Literal["setup", "call", "teardown", "crash"] = "call",
    outcome: Literal["passed", "failed", "skipped"] = "passed",
    text: str = "",
    properties: Mapping[str, str] | None = None,
) -> TestOutcome:
    return TestOutcome(
        node=node, phase=phase, outcome=outcome, text=text, properties=properties or {}
    )


def with_result(node: str, planned: PlannedCell, **kinds: str) -> TestOutcome:
    properties = {RESULT: as_property(works(planned))}
    return TestOutcome.model_validate(
        {"node": node, "phase": "call", "outcome": "passed", "properties": properties} | kinds
    )


def test_the_result_of_a_cell_is_taken_from_the_report_of_its_test() -> None:
    made = recorder()
    assert made.add(reported(phase="setup")) is None
    assert made.add(with_result(FIRST, ONE)) == works(ONE)
    assert made.add(with_result(FIRST, ONE, phase="teardown")) is None, "it comes once"
    made.add(with_result(SECOND, TWO))
    judged = made.judge()
    assert judged.verdict is Verdict.VERIFIED
    assert judged.cells == (works(ONE), works(TWO))


def test_a_result_counts_whatever_the_outcome_of_its_test() -> None:
    made = recorder()
    failing = works(ONE).model_copy(update={"outcome": Outcome.FAILS, "verdict": Verdict.FAILED})
    properties = {RESULT: as_property(failing)}
    made.add(TestOutcome(node=FIRST, phase="call", outcome="failed", properties=properties))
    assert made.results == {"one": failing}
    assert made.run_result().failed_tests == ()


@pytest.mark.parametrize("phase", ["setup", "call", "crash"])
def test_a_cell_whose_test_failed_without_a_result_is_a_testbed_failure(
    phase: Literal["setup", "call", "crash"],
) -> None:
    made = recorder()
    result = made.add(reported(phase=phase, outcome="failed", text="KeyError: 'x'"))
    assert result is not None
    assert (result.id, result.outcome, result.verdict) == ("one", Outcome.TESTBED, Verdict.TESTBED)
    assert [(cause.name, cause.severity) for cause in result.causes] == [
        ("testbed-defect", Severity.TESTBED)
    ]
    assert ("KeyError" in result.causes[0].message) == (phase != "crash")
    made.add(with_result(SECOND, TWO))
    assert made.judge().verdict is Verdict.TESTBED


def test_a_cell_whose_test_was_skipped_is_unverified_with_the_reason() -> None:
    made = recorder()
    result = made.add(reported(outcome="skipped", text="unverified: no such image"))
    assert result is not None
    assert result.outcome is Outcome.UNVERIFIED
    assert "no such image" in result.reason
    silent = made.add(reported(SECOND, outcome="skipped"))
    assert silent is not None
    assert silent.reason


def test_a_cell_whose_test_passed_without_a_result_is_unverified() -> None:
    made = recorder()
    assert made.add(reported()) is None
    result = made.add(reported(phase="teardown"))
    assert result is not None
    assert result.outcome is Outcome.UNVERIFIED


def test_a_cell_that_was_not_reported_is_unverified() -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    judged = made.judge(interrupted=True)
    assert judged.verdict is Verdict.UNVERIFIED
    assert [cell.outcome for cell in judged.cells] == [Outcome.WORKS, Outcome.UNVERIFIED]
    assert made.judge().verdict is Verdict.UNVERIFIED, "also where nobody interrupted it"


def test_a_teardown_that_fails_after_a_result_is_the_suites_fault() -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    made.add(with_result(FIRST, ONE, phase="teardown", outcome="failed"))
    made.add(with_result(SECOND, TWO))
    (failed,) = made.run_result().failed_tests
    assert failed.error
    assert made.judge().verdict is Verdict.TESTBED


def test_a_failed_test_of_an_item_is_kept_with_its_item() -> None:
    made = recorder()
    assert made.add(reported("t.py::test_x", outcome="failed", properties=ITEMS)) is None
    made.add(reported("t.py::test_y", phase="setup", outcome="failed"))
    made.add(reported("t.py::test_z", properties=ITEMS))
    found = [(failed.item, failed.error) for failed in made.run_result().failed_tests]
    assert found == [("publisher", False), ("", True)]


def test_the_cells_that_are_not_selected_are_not_part_of_the_run() -> None:
    made = Recorder(FACTS)
    assert made.selected() == (ONE, TWO), "all are planned until the tests are collected"
    made.select({SECOND: "two"})
    assert made.selected() == (TWO,)
    made.add(with_result(SECOND, TWO))
    judged = made.judge()
    assert [cell.id for cell in judged.cells] == ["two"]
    assert judged.verdict is Verdict.VERIFIED
    assert made.cell_of(SECOND) == TWO
    assert made.cell_of(FIRST) is None


def test_each_worker_may_say_what_it_selected() -> None:
    made = Recorder(FACTS)
    made.select(NODES)
    made.select(NODES)
    assert made.selected() == (ONE, TWO)


def test_a_failed_setup_is_the_verdict() -> None:
    made = Recorder(FACTS)
    made.fail_setup(
        Cause(
            name="engine-unreachable", severity=Severity.TESTBED, where="e", message="m", remedy="r"
        )
    )
    assert not made.facts.prepared
    assert made.judge().verdict is Verdict.TESTBED
    made.set_facts(FACTS)
    assert made.facts is FACTS


def test_a_malformed_result_names_the_field() -> None:
    with pytest.raises(DataError, match="machine"):
        recorder().add(reported(properties={RESULT: '{"id": "one"}'}))


def test_a_result_that_is_too_large_to_travel_is_refused() -> None:
    large = works(ONE).model_copy(update={"reason": "x" * PROPERTY_BYTES})
    with pytest.raises(ValueError, match="one"):
        as_property(large)
    fits = works(ONE).model_copy(update={"reason": "x" * 1000})
    assert CellResult.model_validate_json(as_property(fits)) == fits
