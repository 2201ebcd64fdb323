"""The pytest side of a run: the controlling process owns what is shared, the report is the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from xdist.workermanage import WorkerController

from containers import progress
from containers.state import held_if_free
from verification import verdict
from verification.commands.gate_progress import Tally
from verification.models.base import DataError
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, ExitCode, TestbedFailure, WrongUse
from verification.report import results, terminal
from verification.report import writer as forms
from verification.report.folder import MARK
from verification.rules.catalogue import catalogue
from verification.run_account import Account
from verification.session import prepare as gate
from verification.session import replay_inputs as inputs
from verification.session.suite import KEY, Suite
from verification.session.user_files import history_to_write


class Controller:
    """Prepares the run, hands it to the workers, and writes the report."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.stack = contextlib.ExitStack()
        self.account = Account(suite)
        self.text = ""
        """The verdict, as the terminal shows it."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> Iterator[None]:
        """Set everything up before the workers start and before anything is collected.

        pytest ends a session that is interrupted in here without a word to anyone; so the report is
        written here.
        """
        if session.config.option.collectonly:
            return (yield)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            self._set_up()
            return (yield)  # the workers start in here
        except KeyboardInterrupt:
            _no_more_interrupts()
            if self.suite.prepared is None:
                self._clear()
            code = self._write(interrupted=True)
            pytest.exit("interrupted while everything was set up", returncode=code)

    def _set_up(self) -> None:
        mine = hashlib.sha256(os.fsencode(self.suite.report.resolve())).hexdigest()[:16]
        if not self.stack.enter_context(held_if_free(f"report-{mine}")):
            raise pytest.UsageError(
                f"--report {self.suite.report}: another run is writing its report there; "
                "wait for its end or name another folder"
            )
        try:
            with progress.group("Set-up: engine, images, wheels and index"):
                self.suite.prepared = gate.prepare(
                    self.suite.selection, self.suite.subject, self.stack
                )
        except WrongUse as error:
            raise pytest.UsageError(str(error)) from None
        except TestbedFailure as error:
            self._clear()
            self.account.failure = catalogue().cause(
                error.cause, where=error.where, seen=error.seen
            )
        except BuildFailed as error:
            self._clear()
            self.account.failure = catalogue().cause(
                "build-failed", where=error.where, seen=error.seen
            )
        if self.suite.prepared:
            self._clear()
            self._keep_inputs(self.suite.prepared)
        if self.suite.prepared and self.suite.prepared.pipeline:
            results.write_json(self.suite.report / "pipeline.json", self.suite.prepared.pipeline)
        if failure := self.account.failure:
            code = self._write()
            told = f"{failure.name}: {failure.where}: {failure.message}. {failure.remedy}"
            pytest.exit(told, returncode=code)

    def _clear(self) -> None:
        """Remove what an earlier run left: what this run does not write is not there.

        Where it ends as wrong use, nothing takes the place of the last report.
        """
        for name in ("evidence", "cells", "required", "kept", "replay"):
            shutil.rmtree(self.suite.report / name, ignore_errors=True)
        (self.suite.report / "pipeline.json").unlink(missing_ok=True)
        forms.remove(self.suite.report)
        (self.suite.report / MARK).touch()

    def pytest_report_header(self) -> list[str]:
        """Say what is verified, with what."""
        prepared = self.suite.prepared
        if prepared is None:
            return []
        engine = prepared.testbed.engine
        lines = [f"engine: {engine.version} at {engine.url} ({engine.origin})"]
        lines += [
            f"image: {image.tag} {image.id[:19]} of {image.created[:19]}"
            for image in (*prepared.infrastructure, *prepared.machines.values())
        ]
        lines += [
            f"wheel: {name} sha256 {digest[:16]}"
            for name, digest in prepared.wheelhouse.digests().items()
        ]
        versions = " ".join(f"{k} {v}" for k, v in sorted(prepared.wheelhouse.locked().items()))
        return [*lines, f"locked: {versions}"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand a worker what was prepared."""
        if self.suite.prepared:
            node.workerinput[KEY] = json.dumps(self.suite.prepared.to_dict())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember each test that failed: its cause must be found, or it is unclassified."""
        if report.failed:
            found = self.account.unexplained if report.when == "call" else self.account.broken_tests
            found.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report; the exit code of the run is that of its verdict."""
        if self.suite.prepared is None or session.config.option.collectonly:
            return
        wrong = exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR)
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        _no_more_interrupts()
        code = self._write(interrupted=interrupted or wrong)
        session.exitstatus = ExitCode.WRONG_USE if exitstatus == 4 else code

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the verdict."""
        if self.text:
            terminalreporter.write_line("")
            terminalreporter.write(self.text)

    def pytest_unconfigure(self) -> None:
        """Remove everything that was started."""
        self.stack.close()

    def _keep_inputs(self, prepared: gate.Prepared) -> None:
        try:
            self.account.inputs = inputs.keep(prepared.wheelhouse, self.suite.subject.name)
        except OSError as error:
            self.account.not_kept = f"no cell can be replayed: the files are not kept: {error}"

    def _write(self, *, interrupted: bool = False) -> ExitCode:
        told = self.account
        total = told.judge(interrupted=interrupted)
        report = told.report(total, interrupted=interrupted)
        unwritten = forms.write(self.suite.report, report, history=history_to_write())
        self.text = terminal.render(
            report, [*told.remarks(), *unwritten], width=110, colour=_colour(self.suite.config)
        )
        return verdict.EXIT_CODES[total]


class Worker:
    """Runs cells with what the controlling process prepared."""

    def __init__(self, suite: Suite, told: str) -> None:
        suite.prepared = gate.Prepared.from_dict(json.loads(told))
        self.suite = suite


class Required:
    """Writes down which cells this process was asked for, after all selection."""

    def __init__(self, suite: Suite, name: str) -> None:
        self.suite = suite
        self.name = name

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell which cells the collected tests need."""
        calls = [getattr(item, "callspec", None) for item in session.items]
        params = [call.params for call in calls if call is not None]
        wanted = {told["cell"].id for told in params if "cell" in told}
        results.write_json(self.suite.report / "required" / f"{self.name}.json", sorted(wanted))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _no_more_interrupts() -> None:
    """Let the report be written whole, and what was started be removed: both take seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _colour(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return bool(reporter and reporter.hasmarkup)


SUITE = pytest.StashKey[Suite]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the choices; take the controller's part, or a worker's."""
    if config.getoption("profile") is None:
        return
    # The workers would find out after all set-up, and would not say it.
    for word in () if hasattr(config, "workerinput") else config.getoption("file_or_dir"):
        if not (config.invocation_params.dir / word.partition("::")[0]).exists():
            raise pytest.UsageError(f"{word}: there is no such option, file or folder")
    try:
        suite = Suite(config)
    except (WrongUse, DataError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SUITE] = suite
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        if KEY in worker:
            config.pluginmanager.register(Worker(suite, worker[KEY]), "e2e-worker")
    else:
        config.pluginmanager.register(Controller(suite), "e2e-controller")
        workers = len(getattr(config.option, "tx", None) or ())
        config.pluginmanager.register(Tally(suite.report, workers), "e2e-tally")
    name = worker["workerid"] if worker is not None else "main"
    config.pluginmanager.register(Required(suite, name), "e2e-required")


def workers() -> int:
    """Return half as many workers again as there are processors: each waits now and then."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_xdist_auto_num_workers() -> int | None:
    """Return what ``-n auto`` stands for, where the environment does not say it."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else workers()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell of the selected machines."""
    if "cell" in metafunc.fixturenames and SUITE in metafunc.config.stash:
        # Where the installer must refuse there is nothing to use: other tests judge these cells.
        marked = {mark.name for mark in metafunc.definition.iter_markers()}
        found = [
            cell
            for cell in metafunc.config.stash[SUITE].cells
            if bool(cell.refusal) == ("refusal" in marked)
            if cell.runs_tests or "own_tests" not in marked
        ]
        # What takes long goes first: at the end no worker is left alone with it.
        found.sort(
            key=lambda cell: (cell.machine.runs_on != "wine", "pip" not in cell.installer.name)
        )
        metafunc.parametrize(
            "cell",
            [pytest.param(c, id=c.id, marks=pytest.mark.xdist_group(c.id)) for c in found],
            scope="session",
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests of cells where no cell is of their kind: they would test nothing."""
    if SUITE not in config.stash:
        return
    empty = [
        item
        for item in items
        if (call := getattr(item, "callspec", None))
        and not isinstance(call.params.get("cell", None), Cell)
        and "cell" in call.params
    ]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]
