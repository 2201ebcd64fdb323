"""The results of a run, collected by the controller from pytest's test reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from verification.models.base import Model, parse_json
from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.results import CellResult
from verification.models.run import (
    FailedTest,
    PlannedCell,
    PublishedSummary,
    RunResult,
    RunVerdict,
)
from verification.models.verdict import Outcome, Verdict
from verification.rules.catalogue import catalogue
from verification.verdict import install_item, judge, not_run

RESULT = "cell-result"
"""The property of pytest's test report that contains the result of the cell, as JSON."""
ITEM = "item"
"""The property of pytest's test report that names the item of a test without a cell."""
PROPERTY_BYTES = 256 * 1024
"""The largest size of a property, in bytes. Processes exchange it."""
_MAX_CAUSES, _CAUSE_CHARACTERS, _TEXT_CHARACTERS = 20, 2000, 500
"""The limits of a shortened result."""


class TestPhaseReport(Model):
    """One phase of one test, as the test runner reports it."""

    __test__ = False

    node: str
    phase: Literal["setup", "call", "teardown", "crash"]
    outcome: Literal["passed", "failed", "skipped"]
    text: str = ""
    """The reason for a failure or a skip, in one line."""
    properties: Mapping[str, str] = {}


class Recorder:
    """Collects the results of a run. It does not depend on pytest, Docker or the report."""

    def __init__(self, run_plan: RunResult) -> None:
        """`run_plan` is the state before the first cell runs, with all planned cells."""
        self._run_plan = run_plan
        self._nodes: dict[str, PlannedCell] = {}
        self._selected: tuple[PlannedCell, ...] | None = None
        self._cells: dict[str, CellResult] = {}
        self._failed: list[FailedTest] = []

    def fail_setup(self, cause: Cause) -> None:
        """Record that the set-up failed."""
        self._run_plan = self._run_plan.model_copy(
            update={"setup_failure": cause, "prepared": False}
        )

    def fail(self, cause: Cause) -> None:
        """Record that the testbed failed outside the cells. The first failure counts."""
        if self._run_plan.setup_failure is None:
            self._run_plan = self._run_plan.model_copy(update={"setup_failure": cause})

    def set_run_plan(self, run_plan: RunResult) -> None:
        """Record the state of the run after the set-up."""
        self._run_plan = run_plan.model_copy(update={"published": self._run_plan.published})

    def set_published(self, published: PublishedSummary) -> None:
        """Record the comparison of the published release with the files of an earlier gate."""
        self._run_plan = self._run_plan.model_copy(update={"published": published})

    @property
    def run_plan(self) -> RunResult:
        """The state of the run before the first cell."""
        return self._run_plan

    def select(self, nodes: Mapping[str, str]) -> None:
        """Record which cells the test runner selected: the ids of the cells by test node."""
        planned = {cell.id: cell for cell in self._run_plan.planned}
        self._nodes |= {node: planned[cell_id] for node, cell_id in nodes.items()}
        selected = {cell.id for cell in self._nodes.values()}
        self._selected = tuple(cell for cell in planned.values() if cell.id in selected)

    def selected(self) -> tuple[PlannedCell, ...]:
        """Return the selected cells. Before a selection these are all planned cells."""
        return self._run_plan.planned if self._selected is None else self._selected

    def cell_of(self, node: str) -> PlannedCell | None:
        """Return the cell of a test, or None."""
        return self._nodes.get(node)

    def add(self, test: TestPhaseReport) -> CellResult | None:
        """Record one phase of a test. Return the result of its cell when it is complete."""
        planned = self._nodes.get(test.node)
        failed = test.outcome == "failed"
        if planned is None or planned.id in self._cells:
            if failed:
                self._failed.append(_failed_test(test, planned))
            return None
        if text := test.properties.get(RESULT):
            result = parse_json(CellResult, text, test.node)
            if failed and result.verdict is Verdict.VERIFIED:
                self._failed.append(_failed_test(test, planned))
            return self._add_cell(result)
        if failed:
            return self._add_cell(_result_of_failed_test(planned, test))
        if test.outcome == "skipped":
            return self._add_cell(not_run(planned, test.text or "the test of the cell was skipped"))
        if test.phase == "teardown":
            return self._add_cell(not_run(planned, "the test of the cell reported no result"))
        return None

    def _add_cell(self, result: CellResult) -> CellResult:
        self._cells[result.id] = result
        return result

    @property
    def results(self) -> Mapping[str, CellResult]:
        """The results until now, by the cell's id."""
        return self._cells

    def run_result(self, *, interrupted: bool = False, finished: bool = True) -> RunResult:
        """Return the input of the verdict.

        An interrupt also breaks what the testbed is doing. A failure of its set-up then says
        nothing.
        """
        failure = self._run_plan.setup_failure
        if interrupted and failure and failure.severity is Severity.TESTBED:
            failure = None
        return self._run_plan.model_copy(
            update={
                "setup_failure": failure,
                "finished": finished,
                "interrupted": interrupted,
                "planned": self.selected(),
                "cells": tuple(self._cells.values()),
                "failed_tests": tuple(self._failed),
            }
        )

    def judge(self, *, interrupted: bool = False, finished: bool = True) -> RunVerdict:
        """Return the verdict on the results until now."""
        return judge(self.run_result(interrupted=interrupted, finished=finished))


def _failed_test(test: TestPhaseReport, planned: PlannedCell | None) -> FailedTest:
    """Return a failed test without a cell result. If it is the test of a cell, the suite failed."""
    if planned:
        return FailedTest(node=test.node, item=install_item(planned.system), error=True)
    item = test.properties.get(ITEM, "")
    return FailedTest(node=test.node, item=item, error=test.phase != "call")


def _result_of_failed_test(planned: PlannedCell, test: TestPhaseReport) -> CellResult:
    """Return the result of a cell whose test failed without a result: a testbed failure."""
    reason = "the worker process ended while the cell ran" if test.phase == "crash" else test.text
    message = f"the suite failed: {reason or 'the test of the cell failed without a result'}"
    cause = catalogue().cause("testbed-defect", planned.id, message[:400])
    return CellResult(
        id=planned.id,
        machine=planned.machine,
        installer=planned.installer,
        scenario=planned.scenario,
        expectation=planned.expectation,
        outcome=Outcome.TESTBED,
        verdict=Verdict.TESTBED,
        causes=(cause,),
        seconds=0.0,
    )


def as_property(result: CellResult) -> str:
    """Return a result as the value of the property.

    A package chooses the number of its causes and the length of their facts. A result with more
    than `PROPERTY_BYTES` therefore has only its most severe causes, without long facts and without
    the mapped libraries, which could only disprove a cause.

    Raises:
        ValueError: also the shortened result has more than `PROPERTY_BYTES`.
    """
    text = result.model_dump_json()
    if len(text.encode()) > PROPERTY_BYTES:
        text = _shortened(result).model_dump_json()
    if len(text.encode()) > PROPERTY_BYTES:
        raise ValueError(f"{result.id}: the result has more than {PROPERTY_BYTES} bytes")
    return text


def _shortened(result: CellResult) -> CellResult:
    causes = [
        cause
        if len(cause.model_dump_json()) <= _CAUSE_CHARACTERS
        else cause.model_copy(
            update={
                "facts": {},
                "where": cause.where[:_TEXT_CHARACTERS],
                "message": cause.message[:_TEXT_CHARACTERS],
                "remedy": cause.remedy[:_TEXT_CHARACTERS],
            }
        )
        for cause in sorted_causes(result.causes)[:_MAX_CAUSES]
    ]
    return result.model_copy(update={"causes": tuple(causes), "mapped": ()})
