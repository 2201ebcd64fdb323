"""A pytest plugin that immediately records the result of each of the package's own tests.

It runs on the machine under test, in the interpreter that runs the tests. The probe's instructions
``plan.json`` are in the folder above, and name the files that it writes. Each event is one line of
JSON in ``test_events``, written immediately. After a crash or a hang the file has all earlier
events, and the event that started the running test. The stacks of all threads are then in the file
``trace``. The plugin does not judge.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import signal
import sys
from typing import List, Union

import pytest

# Bound before a test can replace it.
_dumps = json.dumps
# File descriptors, not file objects: an unclosed file object causes a ResourceWarning in a test.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
with open(
    os.path.join(os.path.dirname(__file__), os.pardir, "plan.json"), encoding="utf-8"
) as _file:
    _PLAN = json.load(_file)
_TEST_EVENTS = os.open(_PLAN["tests"]["test_events"], _FLAGS)
_TRACE = os.open(_PLAN["tests"]["trace"], _FLAGS)
_CHARACTERS = 2000


def record(kind: str, **values: Union[str, int, List[str], None]) -> None:
    """Write one event."""
    os.write(_TEST_EVENTS, (_dumps({"kind": kind, **values}) + "\n").encode())


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(args: List[str], parser: pytest.Parser) -> None:
    """Remove the options of the package's settings that need a plugin, and their values.

    A machine has no plugins of pytest except those that the tests' conftest.py defines. An operand
    after such an option is its value. The last operand is the folder of the tests.
    """
    known, unknown = parser.parse_known_and_unknown_args(args)
    values = known.file_or_dir[:-1]
    args[:] = [
        word
        for number, word in enumerate(args)
        if word not in unknown and not (word in values and args[number - 1] in unknown)
    ]


def pytest_sessionstart() -> None:
    """Start the time limit. pytest's faulthandler is off: it writes into the tests' output."""
    faulthandler.enable(file=_TRACE, all_threads=True)
    limit = _PLAN["seconds"]["tests"]
    if sys.platform == "win32":
        faulthandler.dump_traceback_later(limit, exit=True, file=_TRACE)
    else:
        # dump_traceback_later starts a thread, and Python warns if a process with threads forks.
        faulthandler.register(signal.SIGALRM, file=_TRACE, all_threads=True, chain=True)
        signal.setitimer(signal.ITIMER_REAL, limit)
    record("start", pytest=pytest.__version__, folder=os.getcwd())


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Record a file that cannot be collected, or that skips itself."""
    if report.failed:
        record("report", node=report.nodeid, outcome="uncollected", text=_text(report))
    elif report.skipped:
        record("report", node=report.nodeid, outcome="skipped", text=_reason(report))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Record the tests that the package's pytest settings deselect."""
    record("deselected", nodes=[item.nodeid for item in items])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Record the number of collected tests."""
    record("collected", number=len(session.items))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Record the start of a test."""
    record("begun", node=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record the result of set-up, call or teardown, if it decides the outcome of the test."""
    expected = hasattr(report, "wasxfail")
    if report.failed:
        outcome = "failed" if report.when == "call" else "error"
        record("report", node=report.nodeid, outcome=outcome, text=_text(report))
    elif report.skipped:
        outcome = "xfailed" if expected else "skipped"
        record("report", node=report.nodeid, outcome=outcome, text=_reason(report))
    elif report.when == "call":
        outcome = "xpassed" if expected else "passed"
        record("report", node=report.nodeid, outcome=outcome, text="")


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Record the end of a test."""
    record("ended", node=nodeid)


def pytest_internalerror(excrepr: object) -> None:
    """Record a failure of pytest or of a plugin."""
    record("internal", text=str(excrepr)[-_CHARACTERS:])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    """Record the end of the run, and from which file the package was imported."""
    name = _PLAN["package"]
    module = sys.modules.get(name)
    spec = None if module else importlib.util.find_spec(name)
    file = getattr(module, "__file__", None) or (spec.origin if spec else None)
    record("end", code=int(exitstatus), file=file, imported=module is not None)
    if sys.platform == "win32":
        faulthandler.cancel_dump_traceback_later()
    else:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _text(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return the end of pytest's description of a failure."""
    return report.longreprtext[-_CHARACTERS:]


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return the reason of a skip or of an expected failure."""
    skip = report.longrepr
    reason = skip[2] if isinstance(skip, tuple) else getattr(report, "wasxfail", "")
    return str(reason).removeprefix("Skipped: ")[:_CHARACTERS]
