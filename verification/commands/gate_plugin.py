"""pytest's side of a gate: the controller prepares and reports the run; the workers run cells.

The controller owns everything that is shared. pytest-xdist's own channel carries the prepared data
to each worker. The report of each test carries the result of its cell back.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from xdist.workermanage import WorkerController

from containers.machine import Machine
from verification.commands import exit_codes
from verification.commands.gate import CONTROLLER
from verification.commands.gate_progress import GateProgress
from verification.models.base import DataError, parse_json
from verification.models.cell import Cell
from verification.models.errors import ExitCode, WrongUse
from verification.models.pipeline import PipelineResult
from verification.models.results import CellResult
from verification.models.verdict import EXIT_CODES
from verification.report import terminal
from verification.scenarios import profiles
from verification.session import crash, kept_machines, reporting
from verification.session.gate_run import GateRequest, GateRun
from verification.session.recorder import ITEM, TestPhaseReport
from verification.session.selection import Options, select
from verification.session.session import CellRun, Handover, Session
from verification.session.user_files import user_path
from verification.subjects import subject as subjects

HANDOVER_KEY = "quiverdb_e2e"
"""The key of pytest-xdist's `workerinput` under which a worker finds its `Handover`."""
REQUEST_STASH = pytest.StashKey[GateRequest]()
HANDOVER_STASH = pytest.StashKey[Handover]()
_CELL_TEST = "test_a_cell"
_WIDTH = 110
_TEXT = 400
"""How many characters of a failure are recorded."""


class Controller:
    """Prepares the run, hands it to the workers, collects the results and writes the report."""

    def __init__(self, request: GateRequest, config: pytest.Config) -> None:
        self.run = GateRun(request)
        self.config = config
        workers = len(getattr(config.option, "tx", None) or ())
        self.progress = GateProgress(self.run.recorder, workers)
        config.pluginmanager.register(self.progress, "e2e-progress")
        self.text = ""
        """The verdict as the terminal shows it."""
        self.began = False
        """True once the run began; False if pytest only lists the tests."""
        self.code: ExitCode | None = None
        """The exit code of the verdict, once the report is written."""
        self._interrupted = False
        self._lost_workers = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> Iterator[None]:
        """Set up before the workers start and before anything is collected.

        If the session fails here, pytest ends without a report, so this method writes it.
        """
        if session.config.option.collectonly:
            exit_codes.accept_signals()
            return (yield)
        try:
            self._set_up()
            return (yield)  # the workers start in here
        except KeyboardInterrupt:
            self._interrupted = True
            if self.run.setup is None:
                self.run.clear()
            self._end(interrupted=True)
            pytest.exit("interrupted during the set-up", returncode=self.code)
        except (pytest.UsageError, pytest.exit.Exception):
            raise
        except Exception as error:  # noqa: BLE001  (pytest-xdist raises many kinds)
            failure = self.run.fail("workers", crash.line(error))
            self._end(interrupted=False)
            pytest.exit(str(failure), returncode=self.code)

    def _set_up(self) -> None:
        try:
            self.run.begin()
            self.began = True
            exit_codes.accept_signals()
            self.run.set_up()
        except (WrongUse, DataError) as error:
            raise pytest.UsageError(str(error)) from None
        handover = self.run.handover()
        if handover is None:
            failure = self.run.recorder.facts.setup_failure
            self._end(interrupted=False)
            pytest.exit(str(failure), returncode=self.code)
        self.config.stash[HANDOVER_STASH] = handover

    def pytest_report_header(self) -> list[str]:
        """Say what is verified, with what."""
        return reporting.header(self.run.setup.prepared) if self.run.setup else []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand a worker what was prepared."""
        if handover := self.run.handover():
            node.workerinput[HANDOVER_KEY] = handover.model_dump_json()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Iterable[str]) -> None:
        """Learn from a worker which tests are selected."""
        if selected := list(ids):
            self._select(selected)  # if no test is selected, the planned cells did not run

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn which tests are selected where they run in this process."""
        if session.items:
            self._select(item.nodeid for item in session.items)

    def _select(self, nodes: Iterable[str]) -> None:
        # The id of a cell's test is made from the cell's: nothing is read out of a test's id.
        ends = {f"::{_CELL_TEST}[{cell.id}]": cell.id for cell in self.run.request.cells}
        chosen = {}
        for node in nodes:
            if ident := ends.get(f"::{node.rpartition('::')[2]}"):
                chosen[node] = ident
        self.run.recorder.select(chosen)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        """Record what a phase of a test showed."""
        with self.progress.paused():
            yield
        if result := self.run.recorder.add(phase_report(report)):
            self.progress.ended(result)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record that a signal ended the run. `-x` raises a subclass, which does not count."""
        self._interrupted = self._interrupted or excinfo.type is KeyboardInterrupt

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record that the suite's own code failed."""
        self.run.fail("pytest", crash.line(excinfo.value))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record that a file of the gate's tests cannot be collected."""
        if report.failed:
            self.run.fail(report.nodeid or "tests", " ".join(report.longreprtext.split())[-_TEXT:])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object | None) -> None:
        """Record that a worker died."""
        self._lost_workers = self._lost_workers or error is not None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report; the exit code of the run is that of its verdict."""
        if self.run.setup is None or session.config.option.collectonly:
            return
        unfinished = (
            pytest.ExitCode.USAGE_ERROR,
            pytest.ExitCode.INTERNAL_ERROR,
            pytest.ExitCode.INTERRUPTED,
        )
        missing = len(self.run.recorder.results) < len(self.run.recorder.selected())
        if self._lost_workers and missing and not self._interrupted:
            self.run.fail("workers", "worker processes ended before all cells ran")
        self._end(interrupted=exitstatus in unfinished)
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            self.code = ExitCode.WRONG_USE
        session.exitstatus = self.code or ExitCode.VERIFIED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the verdict."""
        if self.text:
            terminalreporter.write_line("")
            terminalreporter.write(self.text)

    def pytest_unconfigure(self) -> None:
        """Remove everything that was started."""
        self.run.close()

    def _end(self, *, interrupted: bool) -> None:
        """Remove everything that was started, then write the report with any failure of that."""
        exit_codes.ignore_signals()
        self.run.remove_started()
        report, remarks = self.run.write(interrupted=interrupted)
        self.text = terminal.render(report, remarks, width=_WIDTH, colour=_colour(self.config))
        self.code = ExitCode.UNVERIFIED if self._interrupted else EXIT_CODES[report.verdict]


def phase_report(report: pytest.TestReport) -> TestPhaseReport:
    """Return a report of pytest as the recorder takes it."""
    known = report.when in ("setup", "call", "teardown")
    return TestPhaseReport(
        node=report.nodeid,
        # pytest-xdist reports another phase for the test of a worker that ended.
        phase=report.when if known else "crash",
        outcome=report.outcome,
        text=_reason(report),
        properties={key: str(value) for key, value in report.user_properties},
    )


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return " ".join(report.longreprtext.split())[-_TEXT:]


def _colour(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return bool(reporter and reporter.hasmarkup)


# ---- pytest's hooks, which conftest.py imports ----


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the options that the command line hands to pytest."""
    group = parser.getgroup("quiverdb-e2e")
    group.addoption("--profile", choices=sorted(profiles.load()))
    group.addoption("--history", choices=("none", "all"))
    for name in ("source", "wheels", "subject", "tests", "actions-from", "report"):
        group.addoption(f"--{name}", metavar="PATH")
    group.addoption("--release", metavar="VERSION")
    group.addoption("--machine", action="append", metavar="NAME")
    for name in ("strict-verdict", "no-pipeline", "no-provision", "keep-failed"):
        group.addoption(f"--{name}", action="store_true")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the options; take the part of the controller or of a worker."""
    if config.getoption("profile") is None:
        return
    worker = getattr(config, "workerinput", None)
    try:
        request = request_of(config)
    except (WrongUse, DataError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[REQUEST_STASH] = request
    if worker is None:
        config.pluginmanager.register(Controller(request, config), CONTROLLER)
    elif HANDOVER_KEY in worker:
        config.stash[HANDOVER_STASH] = parse_json(
            Handover, worker[HANDOVER_KEY], "the controller's handover"
        )


def request_of(config: pytest.Config) -> GateRequest:
    """Return what pytest's options ask for.

    Raises:
        WrongUse: they exclude one another, or name what is not there.
    """
    for word in config.getoption("file_or_dir"):
        if not (config.invocation_params.dir / word.partition("::")[0]).exists():
            raise WrongUse(f"{word}: there is no such option, file or folder")
    keyword = config.getoption("keyword")
    check_keyword(keyword)
    named = _path(config, "subject")
    subject = subjects.load(named) if named else subjects.load()
    options = Options(
        source=_path(config, "source"),
        wheels=_path(config, "wheels"),
        release=config.getoption("release"),
        subject=subject.name if named else "",
        profile=config.getoption("profile"),
        history=config.getoption("history"),
        machines=tuple(config.getoption("machine") or ()),
        tests=_path(config, "tests"),
        pipeline=not config.getoption("no_pipeline"),
        actions_from=_path(config, "actions_from"),
        strict=config.getoption("strict_verdict"),
        provision=not config.getoption("no_provision"),
        keyword=keyword,
        deselected=tuple(config.getoption("deselect") or ()),
    )
    selection = select(options, config.rootpath, subject.platforms)
    return GateRequest(selection, subject, _path(config, "report") or config.rootpath / "report")


def _path(config: pytest.Config, option: str) -> Path | None:
    value = config.getoption(option.replace("-", "_"))
    if value is None:
        return None
    if not value:
        raise WrongUse(f"--{option} is empty; name a path or leave the option out")
    return user_path(value)


def check_keyword(keyword: str) -> None:
    """Check that ``-k`` can be read: the workers would notice it after all set-up only.

    Raises:
        WrongUse: it cannot.
    """
    words = (
        word if word in ("and", "or", "not", "(", ")") else "x"
        for word in re.findall(r"[()]|[^\s()]+", keyword)
    )
    try:
        ast.parse(" ".join(words) or "x", mode="eval")
    except SyntaxError:
        raise WrongUse(
            f"-k {keyword}: it is no expression of names, `and`, `or`, `not` and parentheses"
        ) from None


def workers() -> int:
    """Return how many workers run cells: half as many again as processors, since each waits."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_xdist_auto_num_workers() -> int | None:
    """Return what ``-n auto`` stands for, where the environment does not say it."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else workers()


def start_order(cells: Iterable[Cell], worker_count: int) -> list[Cell]:
    """Return the cells in the order in which the workers start them: the slow ones first.

    pytest-xdist gives each worker two tests at once. A worker gets a slow cell and a quick one, so
    that no slow cell waits for another while a worker is free.
    """

    def speed(cell: Cell) -> tuple[bool, bool, bool]:
        on_wine, by_pip = cell.machine.runs_on == "wine", "pip" in cell.installer.name
        return not (cell.runs_tests or (on_wine and by_pip)), not on_wine, not by_pip

    ordered = sorted(cells, key=speed)
    if len(ordered) < 2 * worker_count:
        return ordered
    pairs = zip(ordered[:worker_count], reversed(ordered[-worker_count:]), strict=True)
    return [*itertools.chain.from_iterable(pairs), *ordered[worker_count:-worker_count]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell of the selected machines."""
    if "cell" not in metafunc.fixturenames or REQUEST_STASH not in metafunc.config.stash:
        return
    cells = start_order(metafunc.config.stash[REQUEST_STASH].cells, workers())
    metafunc.parametrize("cell", cells, ids=[cell.id for cell in cells])


# ---- fixtures, which conftest.py imports ----


@pytest.fixture(scope="session")
def handover(request: pytest.FixtureRequest) -> Handover:
    """Return what the controller prepared."""
    handed = request.config.stash.get(HANDOVER_STASH, None)
    if handed is None:
        pytest.fail("this test verifies a release: run it with `./e2e gate` (or --profile gate)")
    return handed


@pytest.fixture(scope="session")
def gate_session(request: pytest.FixtureRequest, handover: Handover) -> Session:
    """Return the session on which this process runs its cells."""
    asked = request.config.stash[REQUEST_STASH]
    return Session(handover.prepared, asked.subject, asked.report, strict=asked.selection.strict)


@pytest.fixture
def run_cell(
    request: pytest.FixtureRequest, gate_session: Session, handover: Handover
) -> Callable[[Cell], CellResult]:
    """Return the function that runs a cell as the options ask for it."""
    asked = request.config.stash[REQUEST_STASH]

    def keep(ran: CellRun, kept_running: list[Machine]) -> None:
        kept_machines.keep(asked.report, handover.prepared.testbed, ran, kept_running)

    def run(cell: Cell) -> CellResult:
        if reason := handover.prepared.reason_not_run(cell, asked.selection):
            pytest.skip(f"unverified: {reason}")
        kept = keep if request.config.getoption("keep_failed") else None
        return gate_session.run(cell, tests=asked.selection.tests, keep=kept).result

    return run


@pytest.fixture
def pipeline(handover: Handover) -> PipelineResult:
    """Return what the release workflow showed."""
    if handover.pipeline is None:
        facts = handover.facts.pipeline
        pytest.skip(f"unverified: {facts.not_run}" if facts else "the workflow is out of scope")
    return handover.pipeline


@pytest.fixture(autouse=True)
def report_item(request: pytest.FixtureRequest) -> None:
    """Put the item that a test is of into its report."""
    if mark := request.node.get_closest_marker("item"):
        request.node.user_properties.append((ITEM, mark.args[0]))
