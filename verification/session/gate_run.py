"""The controller's side of a gate: the request, the set-up, the collected results, the report."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path

from containers import progress
from containers.state import try_lock
from verification.models.base import DataError
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.report import ReplayInputs, Report
from verification.models.subject import Subject
from verification.report import folder, results_json, writer
from verification.rules.catalogue import catalogue
from verification.scenarios import cells as plan
from verification.session import crash, facts, replay_inputs, reporting
from verification.session.prepare import RunSetup, prepare
from verification.session.recorder import Recorder
from verification.session.selection import Selection
from verification.session.session import EVIDENCE, Handover
from verification.session.user_files import history_to_write

_PARTS = (EVIDENCE, "kept", "replay")
"""The folders of a report."""
_PIPELINE = "pipeline.json"


class GateRequest:
    """What a gate is asked for, checked before anything starts."""

    def __init__(self, selection: Selection, subject: Subject, report: Path) -> None:
        """`report` is the folder of the report.

        Raises:
            WrongUse: the report cannot be written there, or it holds something else; no cell runs
                the tests that are named.
        """
        self.selection = selection
        self.subject = subject
        self.report = report
        every = tuple(
            cell
            for cell in plan.cells(selection.machines, subject, selection.profile)
            if selection.history != "none" or not cell.scenario.needs_previous
        )
        self.cells: tuple[Cell, ...] = tuple(
            cell for cell in every if selection.tests or not cell.runs_tests
        )
        """The cells of the selected machines; without earlier releases, none that needs one."""
        self.without_tests = tuple(cell for cell in every if cell not in self.cells)
        """The cells that would run the package's own tests, where there are none."""
        if selection.tests_named and not any(cell.runs_tests for cell in self.cells):
            raise WrongUse(
                "--tests: no cell of this profile and these machines runs the package's own tests; "
                "leave it out or choose others"
            )
        folder.check(report)


class GateRun:
    """One gate, as its controller runs it."""

    def __init__(self, request: GateRequest) -> None:
        self.request = request
        self.recorder = Recorder(facts.before_setup(request))
        self.setup: RunSetup | None = None
        """What was prepared; None as long as it is not, and where the set-up failed."""
        self._began = time.time()
        self._stack = contextlib.ExitStack()
        self._lock = contextlib.ExitStack()
        self._before: folder.FolderState | None = None
        self._inputs: ReplayInputs | None = None
        self._remarks: list[str] = []

    def begin(self) -> None:
        """Lock the report's folder and write a report that says that this run did not finish.

        A run that is killed leaves no verdict of an earlier run.

        Raises:
            WrongUse: another run writes its report there, or it cannot be written to. An earlier
                report stays unchanged.
        """
        report = self.request.report
        name = hashlib.sha256(os.fsencode(report.resolve())).hexdigest()[:16]
        if not self._lock.enter_context(try_lock(f"report-{name}")):
            raise WrongUse(
                f"--report {report}: another run is writing its report there; "
                "wait for its end or name another folder"
            )
        span = reporting.RunSpan(self._began, self._began, finished=False)
        judged = self.recorder.judge(finished=False)
        unfinished = reporting.build_report(self.request, None, judged, span)
        self._before = writer.begin(report, unfinished)

    def set_up(self) -> None:
        """Prepare the testbed. A failure of it, or of the build, is recorded.

        Raises:
            WrongUse, DataError: what the options name cannot be verified. The earlier report is
                restored.
        """
        setup = None
        try:
            with progress.group("Set-up: engine, images, wheels and index"):
                setup = prepare(self.request.selection, self.request.subject, self._stack)
        except (WrongUse, DataError):
            if self._before:
                self._before.restore()
            raise
        except TestbedFailure as error:
            self.recorder.fail_setup(_cause(error.cause, error.where, error.observed))
        except BuildFailed as error:
            self.recorder.fail_setup(_cause("build-failed", error.where, error.observed))
        except Exception as error:  # noqa: BLE001  (it counts as the testbed's failure)
            cause = _cause("testbed-defect", "set-up", crash.line(error))
            self.recorder.fail_setup(cause)
        self.clear()
        if setup:
            self._keep(setup)
        self.setup = setup

    def _keep(self, setup: RunSetup) -> None:
        self.recorder.set_facts(facts.after_setup(self.request, setup))
        if setup.pipeline:
            results_json.write_model(self.request.report / _PIPELINE, setup.pipeline)
        try:
            self._inputs = replay_inputs.keep(
                setup.prepared.release, self.request.subject.name, setup.prepared.seed
            )
        except OSError as error:
            self._remarks.append(f"no cell can be replayed: the files are not kept: {error}")

    def clear(self) -> None:
        """Remove the evidence of an earlier run, so that only evidence of this run remains."""
        report = self.request.report
        for name in _PARTS:
            shutil.rmtree(report / name, ignore_errors=True)
        (report / _PIPELINE).unlink(missing_ok=True)

    def handover(self) -> Handover | None:
        """Return what a worker needs; None if the testbed is not prepared."""
        if self.setup is None:
            return None
        return Handover(
            prepared=self.setup.prepared,
            facts=self.recorder.facts,
            pipeline=facts.pipeline_result(self.setup.pipeline),
        )

    def write(self, *, interrupted: bool) -> tuple[Report, tuple[str, ...]]:
        """Judge what there is, write every form of the report, and return it with remarks.

        Raises:
            OSError: not even results.json can be written.
        """
        judged = self.recorder.judge(interrupted=interrupted)
        span = reporting.RunSpan(self._began, time.time(), interrupted=interrupted)
        report = reporting.build_report(self.request, self.setup, judged, span, self._inputs)
        unwritten = writer.write(self.request.report, report, history=history_to_write())
        remarks = reporting.remarks(self.request, self.setup, report)
        return report, (*remarks, *self._remarks, *unwritten)

    def fail(self, where: str, observed: str) -> Cause:
        """Record that the suite failed outside the cells; return the cause."""
        cause = _cause("testbed-defect", where, observed)
        self.recorder.fail(cause)
        return cause

    def remove_started(self) -> None:
        """Remove everything that was started. A failure is the testbed's, and is recorded."""
        try:
            self._stack.close()
        except TestbedFailure as error:
            self.recorder.fail(_cause(error.cause, error.where, error.observed))
        except Exception as error:  # noqa: BLE001  (a lost engine raises many kinds)
            self.fail("clean-up", crash.line(error))

    def close(self) -> None:
        """Remove everything that was started, and let another run write its report there."""
        self.remove_started()
        self._lock.close()


def _cause(name: str, where: str, observed: str) -> Cause:
    return catalogue().cause(name, where=where, observed=observed)
