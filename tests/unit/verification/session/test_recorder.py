"""The results that the controller computes from test reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest

from tests.helpers.sample_expectation import shown
from verification.models.base import DataError
from verification.models.cause import Cause, Severity
from verification.models.results import CellResult
from verification.models.run import FailedTest, PlannedCell, RunResult, SystemFacts, WheelFacts
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.session.recorder import (
    ITEM,
    PROPERTY_BYTES,
    RESULT,
    Recorder,
    TestPhaseReport,
    as_property,
)
from verification.verdict import not_run

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
) -> TestPhaseReport:
    return TestPhaseReport(
        node=node, phase=phase, outcome=outcome, text=text, properties=properties or {}
    )


def with_result(node: str, planned: PlannedCell, **kinds: str) -> TestPhaseReport:
    properties = {RESULT: as_property(works(planned))}
    return TestPhaseReport.model_validate(
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
    made.add(TestPhaseReport(node=FIRST, phase="call", outcome="failed", properties=properties))
    assert made.results == {"one": failing}
    assert made.run_result().failed_tests == ()


@pytest.mark.parametrize(
    ("phase", "text", "observed"),
    [
        ("setup", "KeyError: 'x'", "KeyError: 'x'"),
        ("call", "KeyError: 'x'", "KeyError: 'x'"),
        ("call", "", "its test failed and reported no result"),
        ("crash", "worker 'gw0' crashed", "the worker process ended while the cell ran"),
        ("call", "x" * 500, "x" * 371),
    ],
)
def test_a_cell_whose_test_failed_without_a_result_is_a_testbed_failure(
    phase: Literal["setup", "call", "crash"], text: str, observed: str
) -> None:
    made = recorder()
    result = made.add(reported(phase=phase, outcome="failed", text=text))
    assert result is not None
    (cause,) = result.causes
    assert result == CellResult(
        id="one",
        machine="debian-13",
        installer="pip",
        scenario="venv",
        expectation=ExpectationKind.WORKS,
        outcome=Outcome.TESTBED,
        verdict=Verdict.TESTBED,
        causes=(cause,),
        seconds=0.0,
    )
    assert cause.severity is Severity.TESTBED
    line = f"the suite's own code failed: {observed}"
    assert shown(cause) == ("testbed-defect", "one", line, {})
    assert len(line) <= 400
    made.add(with_result(SECOND, TWO))
    assert made.judge().verdict is Verdict.TESTBED
    assert made.run_result().failed_tests == ()


@pytest.mark.parametrize("phase", ["setup", "call"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [("unverified: no such image", "unverified: no such image"), ("", "its test was skipped")],
)
def test_a_cell_whose_test_was_skipped_is_unverified_with_the_reason(
    phase: Literal["setup", "call"], text: str, reason: str
) -> None:
    made = recorder()
    result = made.add(reported(phase=phase, outcome="skipped", text=text))
    assert result == not_run(ONE, reason)
    assert made.add(reported(phase="teardown")) is None
    assert made.results == {"one": not_run(ONE, reason)}


def test_a_cell_whose_test_passed_without_a_result_is_unverified() -> None:
    made = recorder()
    assert made.add(reported(phase="setup")) is None
    assert made.add(reported()) is None
    assert made.add(reported(phase="teardown")) == not_run(ONE, "its test reported no result")


def test_a_cell_that_was_not_reported_is_unverified() -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    judged = made.judge(interrupted=True)
    assert judged.verdict is Verdict.UNVERIFIED
    assert [cell.outcome for cell in judged.cells] == [Outcome.WORKS, Outcome.UNVERIFIED]
    assert made.judge().verdict is Verdict.UNVERIFIED, "also where nobody interrupted it"


@pytest.mark.parametrize("phase", ["teardown", "crash"])
def test_what_fails_after_a_result_is_the_suites_fault(phase: str) -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    assert made.add(with_result(FIRST, ONE, phase=phase, outcome="failed")) is None
    made.add(with_result(SECOND, TWO))
    assert made.run_result().failed_tests == (
        FailedTest(node=FIRST, item="linux-install", error=True),
    )
    assert made.results == {"one": works(ONE), "two": works(TWO)}
    assert made.judge().verdict is Verdict.TESTBED


def test_a_worker_that_dies_after_a_result_is_the_suites_fault() -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    made.add(reported(phase="crash", outcome="failed"))
    (failed,) = made.run_result().failed_tests
    assert (failed.item, failed.error) == ("linux-install", True)


def test_a_test_that_fails_with_a_verified_result_is_the_suites_fault() -> None:
    made = recorder()
    assert made.add(with_result(FIRST, ONE, outcome="failed")) == works(ONE)
    (failed,) = made.run_result().failed_tests
    assert (failed.node, failed.item, failed.error) == (FIRST, "linux-install", True)
    made.add(with_result(SECOND, TWO))
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
    made.select({FIRST: "one"})
    made.select({SECOND: "two"})
    assert made.selected() == (ONE, TWO)
    assert made.cell_of(FIRST) == ONE
    made.select(NODES)
    made.select(NODES)
    assert made.selected() == (ONE, TWO)


def test_a_failed_setup_is_the_verdict() -> None:
    failure = Cause(
        name="engine-unreachable", severity=Severity.TESTBED, where="e", message="m", remedy="r"
    )
    made = Recorder(FACTS)
    made.fail_setup(failure)
    assert made.facts == FACTS.model_copy(update={"setup_failure": failure, "prepared": False})
    assert made.judge().verdict is Verdict.TESTBED
    made.set_facts(FACTS)
    assert made.facts is FACTS


def test_what_the_verdict_is_computed_from_is_what_was_recorded() -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    made.add(reported("t.py::test_x", outcome="failed"))
    recorded = made.run_result()
    assert recorded == FACTS.model_copy(
        update={"cells": (works(ONE),), "failed_tests": (FailedTest(node="t.py::test_x"),)}
    )
    assert made.run_result(interrupted=True) == recorded.model_copy(update={"interrupted": True})


def test_an_interrupted_run_is_unverified_though_all_its_cells_work() -> None:
    made = recorder()
    made.add(with_result(FIRST, ONE))
    made.add(with_result(SECOND, TWO))
    assert made.judge().verdict is Verdict.VERIFIED
    assert made.judge(interrupted=True).verdict is Verdict.UNVERIFIED


def test_a_test_has_neither_text_nor_properties_unless_they_are_reported() -> None:
    test = TestPhaseReport(node=FIRST, phase="call", outcome="passed")
    assert (test.text, test.properties) == ("", {})


def test_a_malformed_result_names_the_test_and_the_field() -> None:
    with pytest.raises(DataError, match=r"test_a_cell\[one\]: machine: "):
        recorder().add(reported(properties={RESULT: '{"id": "one"}'}))


def test_a_result_that_is_too_large_to_travel_is_refused() -> None:
    empty = len(as_property(works(ONE)).encode())
    fits = works(ONE).model_copy(update={"reason": "x" * (PROPERTY_BYTES - empty)})
    assert CellResult.model_validate_json(as_property(fits)) == fits
    for reason in (f"{fits.reason}x", f"{fits.reason[:-1]}é"):
        with pytest.raises(ValueError, match=r"^one: .* 262144 "):
            as_property(fits.model_copy(update={"reason": reason}))
