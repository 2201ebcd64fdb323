"""A session: a prepared testbed on which cells run.

`gate`, `replay` and `reproduce` run their cells on a session. The controller of a gate prepares the
testbed, and each worker process makes its session from the values that the controller passes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from containers.machine import Machine
from verification import verdict
from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.evidence import CellEvidence
from verification.models.pipeline import PipelineResult
from verification.models.publisher import TrustedPublisher
from verification.models.results import CellResult
from verification.models.run import RunResult
from verification.models.subject import Subject
from verification.pipeline.plan import Plan
from verification.report import cell_summary, results_json
from verification.rules import diagnose, install_paths
from verification.session.prepare import PreparedRun
from verification.session.run_cell import CellRequest
from verification.session.run_cell import run as run_cell

EVIDENCE = "evidence"
"""The folder of the report with the raw evidence of each cell, named by its sha256."""


class Handover(Model):
    """The values that the controller passes to a worker."""

    prepared: PreparedRun
    run_plan: RunResult
    pipeline: PipelineResult | None = None
    plan: Plan | None = None
    """The plan of the release workflow; None if there is none."""
    publishers: tuple[TrustedPublisher, ...] = ()
    """The registrations of the publisher."""
    outside_libraries: bool = False
    """True if a Windows wheel has a DLL outside its package, which adds cells."""


class CellRun(NamedTuple):
    """One run of a cell: its evidence and its result."""

    evidence: CellEvidence
    result: CellResult


class Session:
    """Runs cells of one subject on a prepared testbed."""

    def __init__(
        self,
        prepared: PreparedRun,
        subject: Subject,
        report: Path,
        *,
        strict: bool = False,
    ) -> None:
        """`report` is the folder of the report, for the evidence."""
        self.prepared = prepared
        self.subject = subject
        self._report = report
        self._strict = strict

    def run(
        self,
        cell: Cell,
        *,
        tests: Path | None = None,
        keep: Callable[[CellRun, list[Machine]], None] | None = None,
    ) -> CellRun:
        """Run a cell on a new machine, write its evidence and judge it.

        `tests` is the folder of the package's own tests. If `keep` is set, the machines of the cell
        are not removed, and `keep` is called with them.

        Raises:
            WrongUse: the scenario runs the package's own tests, and `tests` is None.
        """
        running: list[Machine] | None = [] if keep else None
        request = CellRequest(self.prepared, self.subject, cell, tests)
        evidence = run_cell(request, running)
        cell_run = CellRun(evidence, self.judge(cell, evidence))
        if keep and running:
            keep(cell_run, running)
        return cell_run

    def judge(self, cell: Cell, evidence: CellEvidence) -> CellResult:
        """Write the evidence of a cell into the report, and return the result of the cell."""
        digest = results_json.write_by_content(self._report / EVIDENCE, evidence.to_json())
        expectation = self.prepared.expectation(self.subject, cell, evidence)
        diagnosis = diagnose(evidence, expectation)
        return CellResult(
            id=cell.id,
            machine=cell.machine.name,
            installer=cell.installer.name,
            scenario=cell.scenario.name,
            expectation=expectation.kind,
            outcome=diagnosis.outcome,
            verdict=verdict.verdict_of_cell(
                diagnosis.outcome, diagnosis.causes, strict=self._strict
            ),
            causes=diagnosis.causes,
            seconds=evidence.wall_seconds,
            reason=diagnosis.reason,
            wheel=self.prepared.served_wheel(evidence),
            mapped=install_paths.mapped_files(evidence),
            evidence=digest,
            summary=cell_summary.summarize(evidence),
            engine=evidence.engine,
            engine_retries=evidence.engine_retries,
        )
