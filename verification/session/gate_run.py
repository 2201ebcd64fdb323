"""The controller's side of a gate: request, set-up, collected results and report."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from containers import progress
from containers.state import try_lock
from verification.models.base import DataError
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.inspection import BundledLibraries
from verification.models.pipeline import PipelineOutcome
from verification.models.release import file_sha256
from verification.models.report import PublishedPart, ReplayInputs, Report
from verification.models.run import ShardRecord
from verification.models.subject import Subject
from verification.report import folder, results_json, writer
from verification.rules.catalogue import catalogue
from verification.scenarios import cells as plan
from verification.session import (
    crash,
    published_by,
    replay_inputs,
    reporting,
    run_plan,
    shards,
)
from verification.session.prepare import PreparedRun, RunSetup, prepare, run_workflow
from verification.session.published_by import VerifiedFiles
from verification.session.recorder import Recorder
from verification.session.release_pipeline import plan_of, registrations_of
from verification.session.selection import Selection
from verification.session.session import Handover
from verification.subjects import report_template
from verification.wheel.windows import has_libraries_outside

PIPELINE = "pipeline.json"
CONTENTS = "contents.json"
SHARD = "shard.json"
"""The file of a shard with what `./e2e merge` needs."""


class GateRequest:
    """The checked request for a gate."""

    def __init__(self, selection: Selection, subject: Subject, report: Path) -> None:
        """`report` is the folder of the report.

        Raises:
            WrongUse: the report cannot be written to this folder, or the folder contains something
                else; or --tests names a folder and no cell runs the package's own tests.
            DataError: the texts of the subject's VERIFICATION.md are not valid.
        """
        report_template.load(subject)
        self.selection = selection
        self.subject = subject
        self.report = report
        self.cells: tuple[Cell, ...]
        """The cells of this run: those of its shard, or `all_cells`."""
        self.all_cells: tuple[Cell, ...]
        """The cells of the selected machines that can run with the selected files."""
        self._shards: Mapping[str, int] = {}
        """The shard of each cell that is known before the set-up, by the id of the cell."""
        self.without_tests: tuple[Cell, ...]
        """The cells that do not run because there are no own tests."""
        self.not_offered: Mapping[str, str]
        """The reasons why cells have nothing to try with the subject, by the name of the cell."""
        self.plan_cells()
        needed = {cell.machine.name for cell in self.cells}
        idle = frozenset(
            cell.machine.name for cell in self.all_cells if cell.machine.name not in needed
        )
        self.selection = selection.model_copy(update={"idle": idle})
        if selection.tests_named and not any(cell.runs_tests for cell in self.all_cells):
            raise WrongUse(
                "--tests: no cell of this profile on these machines runs the package's own tests; "
                "remove --tests or select another profile or machine"
            )
        folder.check(report)

    def plan_cells(
        self, *, outside_libraries: bool = False, bundled: BundledLibraries | None = None
    ) -> None:
        """Choose the cells.

        ``outside_libraries`` is True if a Windows wheel has a DLL outside its package. ``bundled``
        are the native libraries of the release. Both are known after the set-up, before pytest
        collects the tests.
        """
        possible = tuple(
            cell
            for cell in plan.cells(
                self.selection.machines,
                self.subject,
                self.selection.profile,
                outside_libraries=outside_libraries,
                bundled=bundled,
            )
            if self.selection.history != "none" or not cell.scenario.needs_previous
        )
        has_tests = self.selection.tests is not None
        self.all_cells = tuple(cell for cell in possible if has_tests or not cell.runs_tests)
        self.cells = self._cells_of_shard()
        # Comparing the cells of two tuples would take a minute for 10,000 cells.
        self.without_tests = tuple(cell for cell in possible if cell.runs_tests and not has_tests)
        self.not_offered = plan.not_offered(
            self.selection.machines, self.subject, self.selection.profile, bundled=bundled
        )

    def _cells_of_shard(self) -> tuple[Cell, ...]:
        shard = self.selection.shard
        if shard is None:
            return self.all_cells
        if not self._shards:
            has_workflow = self.selection.source is not None
            self._shards = shards.assign(self.all_cells, shard.total, workflow=has_workflow)
        # A cell that is added after the set-up runs where its machine is prepared.
        by_machine: dict[str, int] = {}
        for cell in self.all_cells:
            if number := self._shards.get(cell.id):
                by_machine.setdefault(cell.machine.name, number)
        return tuple(
            cell
            for cell in self.all_cells
            if shard.number
            == (self._shards.get(cell.id) or by_machine.get(cell.machine.name, shard.total))
        )

    def expect_release(self, prepared: PreparedRun) -> None:
        """Give each cell the expectation that follows from the wheels of the release."""
        self.cells = tuple(map(prepared.with_expectation, self.cells))
        self.all_cells = tuple(map(prepared.with_expectation, self.all_cells))


class _NotPublished(Exception):
    """The index serves no wheel of the release of --published-by."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(str(cause))
        self.cause = cause


class GateRun:
    """One gate: set-up, results and report. It belongs to the controller."""

    def __init__(self, request: GateRequest) -> None:
        self.request = request
        self.recorder = Recorder(run_plan.before_setup(request))
        self.setup: RunSetup | None = None
        """The prepared testbed and wheels; None before the set-up, and if the set-up failed."""
        self.lost_engines: frozenset[str] = frozenset()
        """The names of the engines that ended in the run."""
        self.outcome: PipelineOutcome | None = None
        """The outcome of the workflow, if the run verifies only the workflow."""
        self._began = time.time()
        self._outside_libraries = False
        self._stack = contextlib.ExitStack()
        self._lock = contextlib.ExitStack()
        self._before: folder.FolderState | None = None
        self._inputs: ReplayInputs | None = None
        self._remarks: list[str] = []
        self._verified: VerifiedFiles | None = None
        self._published: PublishedPart | None = None

    def begin(self) -> None:
        """Lock the report's folder and write a report of an unfinished run.

        This report replaces an earlier one, so that a killed run leaves no old verdict.

        Raises:
            WrongUse: another run uses this folder, or it cannot be written, or the report of
                --published-by cannot be used. An earlier report stays unchanged.
        """
        report, selection = self.request.report, self.request.selection
        if selection.published_by and selection.release:
            self._verified = published_by.verified_files(
                selection.published_by, self.request.subject.name, selection.release
            )
        name = hashlib.sha256(os.fsencode(report.resolve())).hexdigest()[:16]
        if not self._lock.enter_context(try_lock(f"report-{name}")):
            raise WrongUse(
                f"--report {report}: another run writes its report to this folder; "
                "wait for its end or name another folder"
            )
        span = reporting.RunSpan(self._began, self._began, finished=False)
        judged = self.recorder.judge(finished=False)
        unfinished = reporting.build_report(self.request, None, judged, span)
        self._before = writer.begin(report, unfinished)

    def set_up(self) -> None:
        """Prepare the testbed. A failure of the testbed or of the build is recorded.

        Raises:
            WrongUse, DataError: the options name something that cannot be verified. The earlier
                report is restored.
        """
        setup = None
        try:
            with progress.group("Set-up: engine, images, wheels and index"):
                self._compare()
                selection, subject = self.request.selection, self.request.subject
                if selection.workflow_only:
                    self.outcome = run_workflow(selection, subject, self._stack)
                else:
                    setup = prepare(selection, subject, self._stack)
        except (WrongUse, DataError):
            if self._before:
                self._before.restore()
            raise
        except (TestbedFailure, BuildFailed) as error:
            cause = catalogue().cause(
                error.cause, error.where, error.message, risk=False, **error.facts
            )
            self.recorder.fail_setup(cause)
        except _NotPublished as error:
            self.recorder.fail_setup(error.cause)
        except Exception as error:  # noqa: BLE001  (it counts as the testbed's failure)
            cause = catalogue().cause("testbed-defect", "set-up", crash.line(error))
            self.recorder.fail_setup(cause)
        folder.clear(self.request.report)
        if self.outcome:
            self._keep_outcome(self.outcome)
        if setup:
            self._keep(setup)
        self.setup = setup

    def _compare(self) -> None:
        """Compare the published release with the files of --published-by, if it is named.

        Raises:
            TestbedFailure: the index does not answer.
            _NotPublished: the index serves no wheel of the release.
        """
        if self._verified is None:
            return
        subject, minutes = self.request.subject, self.request.selection.wait_minutes
        comparison = published_by.compare(self._verified, subject, minutes)
        self._published = comparison.part
        self.recorder.set_published(comparison.summary)
        if not any(name.endswith(".whl") for name in comparison.part.files):
            raise _NotPublished(comparison.summary.causes[0])

    def _keep_outcome(self, outcome: PipelineOutcome) -> None:
        self.recorder.set_run_plan(run_plan.after_workflow(self.request, outcome))
        results_json.write_model(self.request.report / PIPELINE, outcome)

    def _keep(self, setup: RunSetup) -> None:
        self._outside_libraries = has_libraries_outside(
            setup.prepared.release.wheel_paths, self.request.subject.import_package
        )
        self.request.plan_cells(
            outside_libraries=self._outside_libraries, bundled=setup.prepared.bundled
        )
        self.request.expect_release(setup.prepared)
        self.recorder.set_run_plan(run_plan.after_setup(self.request, setup))
        results_json.write_model(self.request.report / CONTENTS, setup.inspection.contents)
        if setup.pipeline:
            results_json.write_model(self.request.report / PIPELINE, setup.pipeline)
        try:
            self._inputs = replay_inputs.keep(
                setup.prepared.release, self.request.subject, setup.prepared.seed
            )
        except OSError as error:
            self._remarks.append(
                f"no cell of this run can be replayed: its files cannot be stored: {error}"
            )

    def handover(self, engine: str = "") -> Handover | None:
        """Return the values for a worker on an engine, or None if the testbed is not prepared."""
        if self.setup is None:
            return None
        return Handover(
            prepared=self.setup.prepared.on(engine).model_copy(update={"others": {}}),
            run_plan=self.recorder.run_plan,
            pipeline=run_plan.pipeline_result(self.setup.pipeline),
            plan=plan_of(self.request.selection.checkout, self.request.subject),
            publishers=registrations_of(self.request.selection.checkout, self.request.subject),
            outside_libraries=self._outside_libraries,
        )

    def write(self, *, interrupted: bool) -> tuple[Report, tuple[str, ...]]:
        """Judge the results, write all formats of the report, and return it with remarks.

        Raises:
            OSError: results.json cannot be written.
        """
        judged = self.recorder.judge(interrupted=interrupted)
        span = reporting.RunSpan(self._began, time.time(), interrupted=interrupted)
        report = reporting.build_report(
            self.request, self.setup, judged, span, self._inputs, self._published
        )
        if self.outcome:
            report = reporting.with_workflow(report, self.request, self.outcome)
        report = reporting.with_lost_engines(report, self.lost_engines)
        report, write_errors = reporting.write(self.request.report, report)
        if self.request.selection.shard:
            self._write_shard(interrupted=interrupted)
        remarks = reporting.remarks(self.setup, report)
        return report, (*remarks, *self._remarks, *write_errors)

    def _write_shard(self, *, interrupted: bool) -> None:
        """Write what `./e2e merge` needs of this shard.

        Raises:
            OSError: the file cannot be written.
        """
        request = self.request
        assert request.selection.shard is not None
        record = ShardRecord(
            shard=request.selection.shard,
            results=file_sha256(request.report / results_json.NAME),
            cells=tuple(run_plan.planned(request.all_cells, request.subject)),
            run=self.recorder.run_result(interrupted=interrupted),
            packages={image.name: image.packages for image in self.setup.prepared.images}
            if self.setup
            else {},
        )
        results_json.write_model(request.report / SHARD, record)

    def fail(self, where: str, message: str) -> Cause:
        """Record that the suite failed outside the cells, and return the cause."""
        cause = catalogue().cause("testbed-defect", where, message)
        self.recorder.fail(cause)
        return cause

    def remove_started(self) -> None:
        """Remove everything that was started. Record an error as a testbed failure."""
        try:
            self._stack.close()
        except TestbedFailure as error:
            self.recorder.fail(catalogue().cause(error.cause, error.where, error.message))
        except Exception as error:  # noqa: BLE001  (a lost engine raises many kinds)
            self.fail("clean-up", crash.line(error))

    def close(self) -> None:
        """Remove everything that was started, and unlock the report's folder."""
        self.remove_started()
        self._lock.close()
