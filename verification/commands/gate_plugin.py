"""pytest's side of a gate: the controller prepares and reports the run; the workers run cells.

The controller owns everything that is shared. pytest-xdist sends the prepared data to each worker.
pytest's report of each test contains the result of its cell.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from xdist.workermanage import WorkerController

from containers import engine as engines
from containers.machine import Machine
from containers.progress import PROGRESS, print_line
from containers.state import default_folder
from verification.commands import common, exit_codes
from verification.commands.cell_scheduler import CellScheduler, RunOnce, Workers
from verification.commands.gate import CONTROLLER
from verification.commands.gate_progress import GateProgress
from verification.commands.parser import LIMIT_OPTIONS
from verification.models.base import DataError, parse_json
from verification.models.cell import Cell
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.pipeline import PipelineResult
from verification.models.results import CellResult
from verification.models.subject import Subject
from verification.models.verdict import EXIT_CODES, Outcome
from verification.parent import die_with_parent
from verification.report import folder, terminal
from verification.scenarios import profiles
from verification.session import crash, hosts, kept_machines, reporting, shards
from verification.session.checkout import (
    EVENT_KINDS,
    Checkout,
    CheckoutOptions,
    minimal_subject,
    read_checkout,
)
from verification.session.gate_run import GateRequest, GateRun
from verification.session.recorder import ITEM, TestPhaseReport
from verification.session.selection import Options, select
from verification.session.session import CellRun, Handover, Session
from verification.session.user_files import user_path
from verification.subjects import subject as subjects
from verification.suggestions import did_you_mean

_PATHS = (
    *("source", "wheels", "subject", "tests", "actions-from", "report"),
    *("repository", "publisher", "index-files", "published-by", "digests", "engines"),
)
"""The options whose value is a path."""
HANDOVER_KEY = "quiverdb_e2e"
"""The key of the `Handover` in pytest-xdist's `workerinput`."""
REQUEST_STASH = pytest.StashKey[GateRequest]()
HANDOVER_STASH = pytest.StashKey[Handover]()
SHARES_STASH = pytest.StashKey[Sequence[tuple[str, int]]]()
"""The number of workers of each engine, if pytest-xdist asks for it."""
LOST_ENGINE = "lost-engine"
"""The property of pytest's test report that names the engine that ended while the test ran."""
_CELL_TEST = "test_cell"
"""The test function in tests/gate/test_machines.py."""
_OPERATORS = ("and", "or", "not", "(", ")")
"""The words and signs of ``-k`` that are not names."""
_NODES = (ast.BoolOp, ast.boolop, ast.UnaryOp, ast.Not, ast.Constant)
"""The nodes of a valid expression of ``-k``, if each name in it is a number."""
_MAX_TEXT = 400
"""The number of characters of a failure that are recorded."""


class SetupEnded(KeyboardInterrupt):
    """The run ends in its set-up. The report is written. pytest ends without a message."""


class Controller:
    """Prepares the run, passes it to the workers, collects the results and writes the report."""

    def __init__(self, request: GateRequest, config: pytest.Config) -> None:
        self.run = GateRun(request)
        self.config = config
        self.workers = Workers(config.stash.get(SHARES_STASH, _shares(request)))
        self.scheduler: CellScheduler | None = None
        self._typical: dict[str, float] = {}
        """The typical seconds of each cell, by its id."""
        workers = len(getattr(config.option, "tx", None) or ())
        self.progress = GateProgress(self.run.recorder, workers)
        config.pluginmanager.register(self.progress, "e2e-progress")
        PROGRESS.verbose = config.get_verbosity() > 0
        self.text = ""
        """The report for the terminal. Its last line is the verdict."""
        self.session: pytest.Session | None = None
        self.has_started = False
        """True after the start of the run; False if pytest only lists the tests."""
        self.code: ExitCode | None = None
        """The exit code of the verdict; None until the report is written."""
        self._interrupted = False
        self._lost_workers = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> Iterator[None]:
        """Set up the run before the workers start and before pytest collects the tests.

        If pytest's session fails at this point, pytest ends without calling pytest_sessionfinish.
        In this case, this method writes the report.
        """
        self.session = session
        if session.config.option.collectonly:
            exit_codes.accept_signals()
            return (yield)
        try:
            self._set_up()
            return (yield)  # pytest-xdist starts the workers
        except SetupEnded:
            raise
        except KeyboardInterrupt:
            self._interrupted = True
            if self.run.setup is None:
                folder.clear(self.run.request.report)
            self._end(interrupted=True)
            raise SetupEnded from None
        except (pytest.UsageError, pytest.exit.Exception):
            raise
        except Exception as error:  # noqa: BLE001  (pytest-xdist raises many kinds)
            self.run.fail("workers", crash.line(error))
            self._end(interrupted=False)
            raise SetupEnded from None

    def _set_up(self) -> None:
        try:
            self.run.begin()
            self.has_started = True
            exit_codes.accept_signals()
            self.run.set_up()
        except (WrongUse, DataError) as error:
            raise pytest.UsageError(str(error)) from None
        handover = self.run.handover()
        if handover is None:
            self._end(interrupted=False)
            raise SetupEnded
        self.config.stash[HANDOVER_STASH] = handover

    def pytest_report_header(self) -> list[str]:
        """Return the lines that describe the prepared run."""
        return reporting.header(self.run.setup.prepared) if self.run.setup else []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Pass the prepared run to a worker, with the engine on which it runs its cells."""
        engine = self.workers.add(node.gateway.id)
        if handover := self.run.handover(engine):
            node.workerinput[HANDOVER_KEY] = handover.model_dump_json()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> CellScheduler:
        """Return the scheduler of the gate."""
        self._typical = {cell.id: shards.seconds(cell) for cell in self.run.request.cells}
        self.scheduler = CellScheduler(config, self)
        return self.scheduler

    def engine_of(self, node: WorkerController) -> str:
        """Return the engine of a worker."""
        return self.workers.engine_of(node.gateway.id)

    def engines_for(self, test: str) -> Collection[str] | None:
        """Return the engines that have the machine of a test; None for a test without a machine."""
        planned = self.run.recorder.cell_of(test)
        if planned is None or self.run.setup is None:
            return None
        return self.run.setup.prepared.engines_with(planned.machine)

    def seconds(self, test: str) -> float:
        """Return the expected seconds of a test: those of earlier runs, or the typical ones."""
        planned = self.run.recorder.cell_of(test)
        if planned is None:
            return 0.0
        return self.progress.past(planned.id) or self._typical[planned.id]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Iterable[str]) -> None:
        """Record which tests a worker collected."""
        if selected := list(ids):
            self._select(selected)  # if no test is selected, the planned cells did not run

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record which tests this process collected, if it runs the tests itself."""
        if session.items:
            self._select(item.nodeid for item in session.items)

    def _select(self, nodes: Iterable[str]) -> None:
        # Compare whole test names. A cell is never derived from the text of a node id.
        cell_ids = {f"{_CELL_TEST}[{cell.id}]": cell.id for cell in self.run.request.cells}
        selected = {}
        for node in nodes:
            if cell_id := cell_ids.get(node.rpartition("::")[2]):
                selected[node] = cell_id
        self.run.recorder.select(selected)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        """Record one phase of a test."""
        with self.progress.paused():
            yield
        if self._moves(report):
            return
        if result := self.run.recorder.add(phase_report(report)):
            self.progress.ended(result)

    def _moves(self, report: pytest.TestReport) -> bool:
        """Return True if the test runs again on another engine, because its engine has ended."""
        lost = dict(report.user_properties).get(LOST_ENGINE)
        if lost is None or self.scheduler is None:
            return False
        if lost not in self.scheduler.lost:
            print_line(f"engine {lost} does not answer any more")
        moves = self.scheduler.move(report.nodeid, str(lost))
        self.run.lost_engines = self.scheduler.lost
        return moves

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record that a signal ended the run. `-x` raises a subclass, which does not count."""
        self._interrupted = self._interrupted or excinfo.type is KeyboardInterrupt

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Record that the suite failed. Return True, so that pytest prints no traceback."""
        self.run.fail("pytest", crash.line(excinfo.value))
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record that pytest could not collect a file of the gate's tests."""
        if report.failed:
            text = " ".join(report.longreprtext.split())
            self.run.fail(report.nodeid or "tests", text[-_MAX_TEXT:])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object | None) -> None:
        """Record that a worker has ended, or died."""
        self.workers.remove(node.gateway.id)
        self._lost_workers = self._lost_workers or error is not None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report, and set the exit code of the verdict."""
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

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Remove everything that was started. Show the verdict, after all output of pytest."""
        self.run.close()
        if self.session and self.code is not None:
            self.session.exitstatus = self.code
        if self.text:
            with contextlib.suppress(OSError):  # the terminal may be closed
                sys.stdout.write(f"\n{self.text}")
                sys.stdout.flush()

    def _end(self, *, interrupted: bool) -> None:
        """Remove everything that was started, then write the report.

        The report contains an error of the removal.
        """
        exit_codes.ignore_signals()
        self._interrupted = self._interrupted or exit_codes.is_interrupted()
        self.run.remove_started()
        report, remarks = self.run.write(interrupted=interrupted or self._interrupted)
        self.text = terminal.for_stdout(report, remarks, self.run.request.report)
        self.code = ExitCode.UNVERIFIED if self._interrupted else EXIT_CODES[report.verdict]


def phase_report(report: pytest.TestReport) -> TestPhaseReport:
    """Convert pytest's report of a phase to the recorder's model."""
    is_phase = report.when in ("setup", "call", "teardown")
    return TestPhaseReport(
        node=report.nodeid,
        # If a worker process ends during a test, pytest-xdist reports "???" as the phase.
        phase=report.when if is_phase else "crash",
        outcome=report.outcome,
        text=_reason(report),
        properties={key: str(value) for key, value in report.user_properties},
    )


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):  # for a skipped test: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return " ".join(report.longreprtext.split())[-_MAX_TEXT:]


def shows_pytest(config: pytest.Config) -> bool:
    """Return True if the user asks for the output of pytest itself, for example with ``-v``."""
    options = ("collectonly", "usepdb", "trace", "setupshow", "setuponly", "setupplan")
    return config.get_verbosity() > 0 or any(map(config.getoption, options))


# ---- pytest's hooks, which conftest.py imports ----


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the options that `./e2e gate` passes to pytest."""
    group = parser.getgroup("quiverdb-e2e")
    group.addoption("--profile", choices=sorted(profiles.load()))
    group.addoption("--history", choices=("none", "all"))
    for name in _PATHS:
        group.addoption(f"--{name}", metavar="PATH")
    group.addoption("--event", choices=EVENT_KINDS)
    for name in ("workflow", "tag", "package-dir"):
        group.addoption(f"--{name}", metavar="NAME")
    group.addoption("--input", action="append", metavar="NAME=VALUE")
    group.addoption("--release", metavar="VERSION")
    group.addoption("--wait", metavar="MINUTES")
    group.addoption("--shard", metavar="K/N")
    group.addoption("--registry", metavar="HOST/NAMESPACE")
    group.addoption("--engine", action="append", metavar="CONTEXT")
    for name, metavar, *_ in LIMIT_OPTIONS:
        group.addoption(name, metavar=metavar)
    group.addoption("--machine", action="append", metavar="NAME")
    for name in ("strict-verdict", "no-pipeline", "no-provision", "keep-failed"):
        group.addoption(f"--{name}", action="store_true")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and configure this process as the controller or as a worker."""
    if config.getoption("profile") is None:
        return
    worker = getattr(config, "workerinput", None)
    try:
        request = request_of(config)
    except (WrongUse, DataError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[REQUEST_STASH] = request
    if worker is None:
        if not shows_pytest(config):
            config.pluginmanager.set_blocked("terminalreporter")
        config.pluginmanager.register(Controller(request, config), CONTROLLER)
    else:
        # The interrupt ends the cell. If it does not, pytest-xdist ends the worker after 15 s.
        die_with_parent(signal.SIGINT)
        config.pluginmanager.register(RunOnce())
    if worker and HANDOVER_KEY in worker:
        handover = parse_json(Handover, worker[HANDOVER_KEY], "the controller's handover")
        config.stash[HANDOVER_STASH] = handover
        request.plan_cells(
            outside_libraries=handover.outside_libraries, bundled=handover.prepared.bundled
        )
        request.expect_release(handover.prepared)


def request_of(config: pytest.Config) -> GateRequest:
    """Return the request that pytest's options describe.

    Raises:
        WrongUse: two options cannot be combined, or an option names something that does not exist.
    """
    for word in config.getoption("file_or_dir"):
        if not (config.invocation_params.dir / word.partition("::")[0]).exists():
            raise WrongUse(
                f"{word}: no such option, file or folder; `./e2e gate --help` lists the options"
            )
    keyword = config.getoption("keyword")
    subject_file = _path(config, "subject")
    subject = subjects.load(subject_file) if subject_file else subjects.load()
    checkout = checkout_of(config, subject if subject_file else None)
    if checkout and not subject_file:
        subject = minimal_subject(checkout, _path(config, "wheels"))
    options = Options(
        source=_path(config, "source"),
        wheels=_path(config, "wheels"),
        release=config.getoption("release"),
        subject=subject.name if subject_file else "",
        subject_file=subject_file,
        profile=config.getoption("profile"),
        history=config.getoption("history"),
        machines=tuple(config.getoption("machine") or ()),
        tests=_path(config, "tests"),
        pipeline=not config.getoption("no_pipeline"),
        actions_from=_path(config, "actions_from"),
        checkout=checkout,
        published_by=_path(config, "published_by"),
        wait=config.getoption("wait"),
        limits=common.limit_words(vars(config.option)),
        strict=config.getoption("strict_verdict"),
        provision=not config.getoption("no_provision"),
        shard=config.getoption("shard"),
        registry=config.getoption("registry"),
        digests=_path(config, "digests"),
        engines=tuple(config.getoption("engine") or ()),
        engines_file=_path(config, "engines"),
        keyword=keyword,
        deselected=tuple(config.getoption("deselect") or ()),
    )
    selection = select(options, config.rootpath, subject.platforms)
    if len(selection.engines) > 1 and config.getoption("numprocesses") == 0:
        raise WrongUse("--engine: several engines need workers; remove -n0")
    report = _path(config, "report") or default_folder(config.rootpath, "report")
    request = GateRequest(selection, subject, report)
    check_selection(keyword, request.cells, config.rootpath / "tests" / "gate")
    return request


def checkout_of(config: pytest.Config, subject: Subject | None) -> Checkout | None:
    """Return the checkout of ``--repository``. ``subject`` is that of ``--subject``.

    Raises:
        WrongUse: an option about the checkout has no ``--repository``, or the checkout cannot be
            verified.
    """
    root = _path(config, "repository")
    if root is None:
        for name in (
            *("workflow", "event", "input", "tag", "package-dir", "publisher", "index-files"),
        ):
            if config.getoption(name.replace("-", "_")):
                raise WrongUse(f"--{name} needs --repository; name the checkout, or remove it")
        return None
    if not root.is_dir():
        raise WrongUse(f"--repository {root}: this folder does not exist; correct the path")
    options = CheckoutOptions(
        root=root,
        workflow=config.getoption("workflow") or "",
        event=config.getoption("event"),
        inputs=tuple(config.getoption("input") or ()),
        tag=config.getoption("tag") or "",
        package_dir=config.getoption("package_dir") or "",
        publisher=_path(config, "publisher"),
        index_files=_path(config, "index_files"),
        wheels=_path(config, "wheels"),
        project=canonicalize_name(subject.name) if subject else "",
    )
    checkout = read_checkout(options, subject.publishers if subject else None)
    if subject and canonicalize_name(subject.name) != checkout.project:
        raise WrongUse(
            f"--repository {root}: its package is {checkout.project}, but --subject describes "
            f"{subject.name}; correct one of them"
        )
    return checkout


def _path(config: pytest.Config, option: str) -> Path | None:
    value = config.getoption(option.replace("-", "_"))
    if value is None:
        return None
    if not value:
        raise WrongUse(f"--{option} is empty; write a path or remove the option")
    return user_path(value)


class _Keyword:
    """The expression of ``-k``: names, ``and``, ``or``, ``not`` and parentheses."""

    def __init__(self, keyword: str) -> None:
        """Parse the expression.

        Raises:
            WrongUse: the expression is not valid.
        """
        tokens = re.findall(r"[()]|[^\s()]+", keyword)
        # Each name becomes its number, because a name such as debian-13 is no name of Python.
        words = [
            token if token in _OPERATORS else str(number) for number, token in enumerate(tokens)
        ]
        self._names = tokens
        try:
            self._expression = ast.parse(" ".join(words) or "True", mode="eval").body
            is_valid = all(isinstance(node, _NODES) for node in ast.walk(self._expression))
        except SyntaxError:
            is_valid = False
        if not is_valid:
            raise WrongUse(
                f"-k {keyword}: not an expression of names, `and`, `or`, `not` and parentheses"
            )

    def matches(self, test: str) -> bool:
        """Return whether the expression selects the test with this name.

        pytest compares each name with a part of the names of a test and its file, and ignores case
        (pytest reference, "-k EXPRESSION").
        """
        return self._is_true(self._expression, test.lower())

    def _is_true(self, expression: ast.expr, test: str) -> bool:
        match expression:
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self._is_true(value, test) for value in values)
            case ast.BoolOp(values=values):
                return any(self._is_true(value, test) for value in values)
            case ast.UnaryOp(operand=operand):
                return not self._is_true(operand, test)
            case ast.Constant(value=int(number)) if number is not True:
                return self._names[number].lower() in test
        return True  # an empty expression selects all tests


def check_selection(keyword: str, cells: Sequence[Cell], tests: Path) -> None:
    """Check before the set-up that ``-k`` selects a cell or another test of the folder `tests`.

    Raises:
        WrongUse: the expression is not valid, or it selects nothing.
    """
    expression = _Keyword(keyword)
    names = [f"test_machines.py {_CELL_TEST}[{cell.id}]" for cell in cells]
    for path in sorted(tests.glob("test_*.py")):
        names += [f"{path.name} {name}" for name in _test_functions(path) if name != _CELL_TEST]
    if any(map(expression.matches, names)):
        return
    parts = {
        "machines": [cell.machine.name for cell in cells],
        "installers": [cell.installer.name for cell in cells],
        "scenarios": [cell.scenario.name for cell in cells],
    }
    known = {kind: list(dict.fromkeys(values)) for kind, values in parts.items()}
    every = [name for values in known.values() for name in values]
    questions = (did_you_mean(word, every) for word in keyword.split())
    lists = (f"the {kind} are {', '.join(values)}" for kind, values in known.items())
    answer = next(filter(None, questions), f"; {'; '.join(lists)}")
    raise WrongUse(f"-k {keyword}: it selects no cell{answer}")


def _test_functions(path: Path) -> list[str]:
    """Return the names of the test functions of a file."""
    body = ast.parse(path.read_text("utf-8")).body
    functions = (statement.name for statement in body if isinstance(statement, ast.FunctionDef))
    return [name for name in functions if name.startswith("test_")]


def workers(processors: int) -> int:
    """Return the number of workers: one and a half per processor, because cells often wait."""
    return (processors * 3 + 1) // 2


def _shares(request: GateRequest) -> list[tuple[str, int]]:
    """Return the number of workers of each engine if the user chose the number of all workers."""
    return [(choice.name, choice.workers or 1) for choice in request.selection.engines]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return the number of workers for ``-n auto``, or None if the environment sets it."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    try:
        choices = hosts.choices(config.getoption("engine") or (), _path(config, "engines"))
        shares = [(choice.name, choice.workers or _workers_on(choice.name)) for choice in choices]
    except (WrongUse, DataError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SHARES_STASH] = shares
    if not shares:
        return workers(len(os.sched_getaffinity(0)))
    return sum(count for _, count in shares)


def _workers_on(engine: str) -> int:
    """Return the number of workers of an engine.

    If it does not answer, the set-up starts it on this host, or reports this.
    """
    try:
        return workers(engines.named(engine, provision=False).processors())
    except TestbedFailure:
        return workers(len(os.sched_getaffinity(0)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell of the selected machines."""
    if "cell" not in metafunc.fixturenames or REQUEST_STASH not in metafunc.config.stash:
        return
    cells = metafunc.config.stash[REQUEST_STASH].cells
    metafunc.parametrize("cell", cells, ids=[cell.id for cell in cells])


# ---- fixtures, which conftest.py imports ----


@pytest.fixture(scope="session")
def handover(request: pytest.FixtureRequest) -> Handover:
    """Return the values that the controller prepared."""
    prepared = request.config.stash.get(HANDOVER_STASH, None)
    if prepared is None:
        pytest.fail("this test verifies a release; run it with `./e2e gate`")
    return prepared


@pytest.fixture(scope="session")
def gate_session(request: pytest.FixtureRequest, handover: Handover) -> Session:
    """Return the session on which this process runs its cells."""
    gate = request.config.stash[REQUEST_STASH]
    return Session(handover.prepared, gate.subject, gate.report, strict=gate.selection.strict)


@pytest.fixture
def run_cell(
    request: pytest.FixtureRequest, gate_session: Session, handover: Handover
) -> Callable[[Cell], CellResult]:
    """Return the function that runs a cell with the options of this gate."""
    gate = request.config.stash[REQUEST_STASH]

    def keep_machines(cell_run: CellRun, running: list[Machine]) -> None:
        kept_machines.keep(gate.report, handover.prepared.testbed, cell_run, running)

    def run(cell: Cell) -> CellResult:
        if reason := handover.prepared.reason_not_run(cell, gate.selection):
            pytest.skip(f"unverified: {reason}")
        keep = keep_machines if request.config.getoption("keep_failed") else None
        result = gate_session.run(cell, tests=gate.selection.tests, keep=keep).result
        engine = handover.prepared.testbed.engine
        if engine.name and result.outcome is Outcome.TESTBED and not engine.answers():
            request.node.user_properties.append((LOST_ENGINE, engine.name))
        return result

    return run


@pytest.fixture
def pipeline(handover: Handover) -> PipelineResult:
    """Return the result of the release workflow. Skip the test if there is none."""
    if handover.pipeline is None:
        pipeline = handover.run_plan.pipeline
        pytest.skip(
            f"unverified: {pipeline.not_run}" if pipeline else "the workflow is out of scope"
        )
    return handover.pipeline


@pytest.fixture(autouse=True)
def report_item(request: pytest.FixtureRequest) -> None:
    """Put the id of the test's item into pytest's report of the test."""
    if mark := request.node.get_closest_marker("item"):
        request.node.user_properties.append((ITEM, mark.args[0]))
