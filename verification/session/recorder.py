"""The results of a run, collected by the controller from the test reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from verification.models.base import Model, parse_json
from verification.models.cause import Cause
from verification.models.results import CellResult
from verification.models.run import FailedTest, PlannedCell, RunResult, RunVerdict
from verification.models.verdict import Outcome, Verdict
from verification.rules.catalogue import catalogue
from verification.verdict import install_item, judge, not_run

RESULT = "cell-result"
"""The property of a test's report that holds the result of its cell, as JSON."""
ITEM = "item"
"""The property that names the item of a test that is of no cell."""
PROPERTY_BYTES = 256 * 1024
"""How long a property may be, in bytes: it travels between processes."""


class TestPhaseReport(Model):
    """One phase of one test, as the test runner reports it."""

    __test__ = False

    node: str
    phase: Literal["setup", "call", "teardown", "crash"]
    outcome: Literal["passed", "failed", "skipped"]
    text: str = ""
    """Why it failed or was skipped, in one line."""
    properties: Mapping[str, str] = {}


class Recorder:
    """Collects what a run shows. It knows nothing of pytest, Docker or the report."""

    def __init__(self, facts: RunResult) -> None:
        """`facts` is what was known before the first cell ran; its plan is that of all cells."""
        self._facts = facts
        self._nodes: dict[str, PlannedCell] = {}
        self._selected: set[str] | None = None
        self._cells: dict[str, CellResult] = {}
        self._failed: list[FailedTest] = []

    def fail_setup(self, cause: Cause) -> None:
        """Record that the set-up failed."""
        self._facts = self._facts.model_copy(update={"setup_failure": cause, "prepared": False})

    def fail(self, cause: Cause) -> None:
        """Record that the testbed failed outside the cells; an earlier failure stays."""
        if self._facts.setup_failure is None:
            self._facts = self._facts.model_copy(update={"setup_failure": cause})

    def set_facts(self, facts: RunResult) -> None:
        """Record what the set-up showed."""
        self._facts = facts

    @property
    def facts(self) -> RunResult:
        """What was known before the first cell ran."""
        return self._facts

    def select(self, nodes: Mapping[str, str]) -> None:
        """Record which cells the test runner selected: the id of the cell by the test's node."""
        planned = {cell.id: cell for cell in self._facts.planned}
        self._nodes |= {node: planned[ident] for node, ident in nodes.items()}
        self._selected = {cell.id for cell in self._nodes.values()}

    def selected(self) -> tuple[PlannedCell, ...]:
        """Return the selected cells; all that are planned as long as nothing was selected."""
        every = self._facts.planned
        if self._selected is None:
            return every
        return tuple(cell for cell in every if cell.id in self._selected)

    def cell_of(self, node: str) -> PlannedCell | None:
        """Return the cell that a test is of."""
        return self._nodes.get(node)

    def add(self, test: TestPhaseReport) -> CellResult | None:
        """Record one phase of a test; return the result of its cell once it is known."""
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
            return self._add_cell(broken_test(planned, test))
        if test.outcome == "skipped":
            return self._add_cell(not_run(planned, test.text or "its test was skipped"))
        if test.phase == "teardown":
            return self._add_cell(not_run(planned, "its test reported no result"))
        return None

    def _add_cell(self, result: CellResult) -> CellResult:
        self._cells[result.id] = result
        return result

    @property
    def results(self) -> Mapping[str, CellResult]:
        """The results so far, by the cell's id."""
        return self._cells

    def run_result(self, *, interrupted: bool = False, finished: bool = True) -> RunResult:
        """Return everything that the verdict is computed from."""
        return self._facts.model_copy(
            update={
                "finished": finished,
                "interrupted": interrupted,
                "planned": self.selected(),
                "cells": tuple(self._cells.values()),
                "failed_tests": tuple(self._failed),
            }
        )

    def judge(self, *, interrupted: bool = False, finished: bool = True) -> RunVerdict:
        """Return the verdict on what there is now."""
        return judge(self.run_result(interrupted=interrupted, finished=finished))


def _failed_test(test: TestPhaseReport, planned: PlannedCell | None) -> FailedTest:
    """Return a failure that no result of a cell shows. Of a test of a cell it is the suite's."""
    if planned:
        return FailedTest(node=test.node, item=install_item(planned.system), error=True)
    item = test.properties.get(ITEM, "")
    return FailedTest(node=test.node, item=item, error=test.phase != "call")


def broken_test(planned: PlannedCell, test: TestPhaseReport) -> CellResult:
    """Return the result of a cell whose test has no result: the suite's own code failed."""
    what = "the worker process ended while the cell ran" if test.phase == "crash" else test.text
    observed = f"the suite's own code failed: {what or 'its test failed and reported no result'}"
    cause = catalogue().cause("testbed-defect", where=planned.id, observed=observed[:400])
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

    Raises:
        ValueError: it is longer than a property may be.
    """
    text = result.model_dump_json()
    if len(text.encode()) > PROPERTY_BYTES:
        raise ValueError(f"{result.id}: its result has more than {PROPERTY_BYTES} bytes")
    return text
