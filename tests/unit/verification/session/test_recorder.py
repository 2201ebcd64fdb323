"""The results that the controller computes from pytest's test reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest

from tests.helpers.sample_expectation import summary
from verification.models.base import DataError
from verification.models.cause import Cause, Severity
from verification.models.results import CellResult
from verification.models.run import FailedTest, PlannedCell, RunResult, SystemSummary, WheelSummary
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.rules.catalogue import catalogue
from verification.session.recorder import (
    ITEM,
    PROPERTY_BYTES,
    RESULT,
    Recorder,
    TestPhaseReport,
    as_property,
)
from verification.verdict import not_run

FIRST_CELL, SECOND_CELL = (
    PlannedCell(
        id=cell_id,
        machine="debian-13",
        installer="pip",
        scenario="venv",
        system="linux",
        expectation=ExpectationKind.WORKS,
    )
    for cell_id in ("one", "two")
)
RUN_PLAN = RunResult(
    subject="quiverdb",
    systems=(SystemSummary(system="linux", wheels=(WheelSummary(file="a.whl"),)),),
    planned=(FIRST_CELL, SECOND_CELL),
)
NODES = {"t.py::test_cell[one]": "one", "t.py::test_cell[two]": "two"}
FIRST, SECOND = NODES
ITEMS = {ITEM: "publisher"}


@pytest.fixture
def recorder() -> Recorder:
    """Return a recorder for which both cells are selected."""
    recorder = Recorder(RUN_PLAN)
    recorder.select(NODES)
    return recorder


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


def phase_report(
    node: str = FIRST,
    phase: Literal["setup", "call", "teardown", "crash"] = "call",
    outcome: Literal["passed", "failed", "skipped"] = "passed",
    text: str = "",
    properties: Mapping[str, str] | None = None,
) -> TestPhaseReport:
    return TestPhaseReport(
        node=node, phase=phase, outcome=outcome, text=text, properties=properties or {}
    )


def with_result(node: str, planned: PlannedCell, **changes: str) -> TestPhaseReport:
    properties = {RESULT: as_property(works(planned))}
    return TestPhaseReport.model_validate(
        {"node": node, "phase": "call", "outcome": "passed", "properties": properties} | changes
    )


def test_result_of_a_cell_is_read_once_from_the_report_of_its_test(recorder: Recorder) -> None:
    assert recorder.add(phase_report(phase="setup")) is None
    assert recorder.add(with_result(FIRST, FIRST_CELL)) == works(FIRST_CELL)
    assert recorder.add(with_result(FIRST, FIRST_CELL, phase="teardown")) is None
    recorder.add(with_result(SECOND, SECOND_CELL))
    judged = recorder.judge()
    assert judged.verdict is Verdict.VERIFIED
    assert judged.cells == (works(FIRST_CELL), works(SECOND_CELL))


def test_result_counts_if_its_test_failed(recorder: Recorder) -> None:
    failing = works(FIRST_CELL).model_copy(
        update={"outcome": Outcome.FAILS, "verdict": Verdict.FAILED}
    )
    properties = {RESULT: as_property(failing)}
    recorder.add(TestPhaseReport(node=FIRST, phase="call", outcome="failed", properties=properties))
    assert recorder.results == {"one": failing}
    assert recorder.run_result().failed_tests == ()


@pytest.mark.parametrize(
    ("phase", "text", "observed"),
    [
        ("setup", "KeyError: 'x'", "KeyError: 'x'"),
        ("call", "KeyError: 'x'", "KeyError: 'x'"),
        ("call", "", ""),
        ("crash", "worker 'gw0' crashed", "worker process"),
        ("call", "x" * 500, "x" * 300),
    ],
    ids=["setup", "call", "no text", "crash", "long text"],
)
def test_a_failed_test_without_a_result_is_a_testbed_failure_of_its_cell(
    recorder: Recorder, phase: Literal["setup", "call", "crash"], text: str, observed: str
) -> None:
    result = recorder.add(phase_report(phase=phase, outcome="failed", text=text))
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
    assert summary(cause) == ("testbed-defect", "one", {})
    assert observed in cause.message
    assert len(cause.message) <= 400
    recorder.add(with_result(SECOND, SECOND_CELL))
    assert recorder.judge().verdict is Verdict.TESTBED
    assert recorder.run_result().failed_tests == ()


@pytest.mark.parametrize("phase", ["setup", "call"])
@pytest.mark.parametrize("text", ["unverified: no such image", ""])
def test_cell_of_a_skipped_test_is_unverified_with_the_reason(
    recorder: Recorder, phase: Literal["setup", "call"], text: str
) -> None:
    result = recorder.add(phase_report(phase=phase, outcome="skipped", text=text))
    assert result is not None
    assert result.reason
    assert result == not_run(FIRST_CELL, text or result.reason)
    assert recorder.add(phase_report(phase="teardown")) is None
    assert recorder.results == {"one": result}


def test_cell_of_a_test_that_passed_without_a_result_is_unverified(recorder: Recorder) -> None:
    assert recorder.add(phase_report(phase="setup")) is None
    assert recorder.add(phase_report()) is None
    result = recorder.add(phase_report(phase="teardown"))
    assert result is not None
    assert result.reason
    assert result == not_run(FIRST_CELL, result.reason)


def test_cell_without_a_report_is_unverified(recorder: Recorder) -> None:
    recorder.add(with_result(FIRST, FIRST_CELL))
    judged = recorder.judge(interrupted=True)
    assert judged.verdict is Verdict.UNVERIFIED
    assert [cell.outcome for cell in judged.cells] == [Outcome.WORKS, Outcome.UNVERIFIED]
    assert recorder.judge().verdict is Verdict.UNVERIFIED


@pytest.mark.parametrize("phase", ["teardown", "crash"])
def test_failure_after_a_result_is_a_testbed_failure(recorder: Recorder, phase: str) -> None:
    recorder.add(with_result(FIRST, FIRST_CELL))
    assert recorder.add(with_result(FIRST, FIRST_CELL, phase=phase, outcome="failed")) is None
    recorder.add(with_result(SECOND, SECOND_CELL))
    assert recorder.run_result().failed_tests == (
        FailedTest(node=FIRST, item="linux-install", error=True),
    )
    assert recorder.results == {"one": works(FIRST_CELL), "two": works(SECOND_CELL)}
    assert recorder.judge().verdict is Verdict.TESTBED


def test_a_failed_test_with_a_verified_result_is_a_testbed_failure(recorder: Recorder) -> None:
    assert recorder.add(with_result(FIRST, FIRST_CELL, outcome="failed")) == works(FIRST_CELL)
    (failed,) = recorder.run_result().failed_tests
    assert (failed.node, failed.item, failed.error) == (FIRST, "linux-install", True)
    recorder.add(with_result(SECOND, SECOND_CELL))
    assert recorder.judge().verdict is Verdict.TESTBED


def test_failed_test_is_recorded_with_its_item(recorder: Recorder) -> None:
    assert recorder.add(phase_report("t.py::test_x", outcome="failed", properties=ITEMS)) is None
    recorder.add(phase_report("t.py::test_y", phase="setup", outcome="failed"))
    recorder.add(phase_report("t.py::test_z", properties=ITEMS))
    failed_tests = [(failed.item, failed.error) for failed in recorder.run_result().failed_tests]
    assert failed_tests == [("publisher", False), ("", True)]


def test_run_has_only_the_selected_cells() -> None:
    recorder = Recorder(RUN_PLAN)
    assert recorder.selected() == (FIRST_CELL, SECOND_CELL)  # before the tests are collected
    recorder.select({SECOND: "two"})
    assert recorder.selected() == (SECOND_CELL,)
    recorder.add(with_result(SECOND, SECOND_CELL))
    judged = recorder.judge()
    assert [cell.id for cell in judged.cells] == ["two"]
    assert judged.verdict is Verdict.VERIFIED
    assert recorder.cell_of(SECOND) == SECOND_CELL
    assert recorder.cell_of(FIRST) is None


def test_selections_of_several_workers_are_combined() -> None:
    recorder = Recorder(RUN_PLAN)
    recorder.select({FIRST: "one"})
    recorder.select({SECOND: "two"})
    assert recorder.selected() == (FIRST_CELL, SECOND_CELL)
    assert recorder.cell_of(FIRST) == FIRST_CELL
    recorder.select(NODES)
    recorder.select(NODES)
    assert recorder.selected() == (FIRST_CELL, SECOND_CELL)


def test_failed_set_up_is_the_verdict() -> None:
    failure = Cause(
        name="engine-unreachable", severity=Severity.TESTBED, where="e", message="m", remedy="r"
    )
    recorder = Recorder(RUN_PLAN)
    recorder.fail_setup(failure)
    assert recorder.run_plan == RUN_PLAN.model_copy(
        update={"setup_failure": failure, "prepared": False}
    )
    assert recorder.judge().verdict is Verdict.TESTBED
    assert recorder.judge(interrupted=True).verdict is Verdict.UNVERIFIED
    recorder.set_run_plan(RUN_PLAN)
    assert recorder.run_plan == RUN_PLAN


def test_input_of_the_verdict_has_everything_that_was_recorded(recorder: Recorder) -> None:
    recorder.add(with_result(FIRST, FIRST_CELL))
    recorder.add(phase_report("t.py::test_x", outcome="failed"))
    recorded = recorder.run_result()
    assert recorded == RUN_PLAN.model_copy(
        update={"cells": (works(FIRST_CELL),), "failed_tests": (FailedTest(node="t.py::test_x"),)}
    )
    assert recorder.run_result(interrupted=True) == recorded.model_copy(
        update={"interrupted": True}
    )


def test_interrupted_run_is_unverified_if_all_its_cells_work(recorder: Recorder) -> None:
    recorder.add(with_result(FIRST, FIRST_CELL))
    recorder.add(with_result(SECOND, SECOND_CELL))
    assert recorder.judge().verdict is Verdict.VERIFIED
    assert recorder.judge(interrupted=True).verdict is Verdict.UNVERIFIED


def test_text_and_properties_of_a_test_are_optional() -> None:
    test = TestPhaseReport(node=FIRST, phase="call", outcome="passed")
    assert (test.text, test.properties) == ("", {})


def test_invalid_result_is_an_error_that_names_the_test_and_the_field(recorder: Recorder) -> None:
    with pytest.raises(DataError, match=r"test_cell\[one\]: machine: "):
        recorder.add(phase_report(properties={RESULT: '{"id": "one"}'}))


def test_result_with_too_many_causes_keeps_the_most_severe_ones() -> None:
    files = ("\u00e9" * 200,) * 100
    many = [catalogue().cause("files-at-import", f"{n}", "x", files=files) for n in range(300)]
    broken = catalogue().cause("crash", "import", "x")
    result = works(FIRST_CELL).model_copy(update={"causes": (*many, broken), "mapped": ("a.so",)})
    read = CellResult.model_validate_json(as_property(result))
    assert read.causes[0] == broken
    assert {cause.name for cause in read.causes} == {"crash", "files-at-import"}
    assert len(read.causes) < len(result.causes)
    assert (read.mapped, read.outcome) == ((), result.outcome)


def test_too_large_result_is_an_error() -> None:
    empty = len(as_property(works(FIRST_CELL)).encode())
    fits = works(FIRST_CELL).model_copy(update={"reason": "x" * (PROPERTY_BYTES - empty)})
    assert CellResult.model_validate_json(as_property(fits)) == fits
    for reason in (f"{fits.reason}x", f"{fits.reason[:-1]}é"):
        with pytest.raises(ValueError, match=rf"^one: .*{PROPERTY_BYTES}"):
            as_property(fits.model_copy(update={"reason": reason}))
