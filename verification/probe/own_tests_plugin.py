"""A plugin of pytest: what each of the package's own tests did, written down at once.

It runs on the machine under test, in the interpreter that runs the tests; cell.py puts it there.
Each thing is one line of JSON in the file named by E2E_LEDGER, written as soon as it is known: a
crash or a hang loses none before it, and tells in which test it was. The stacks of all threads then
go to the file named by E2E_TRACE. It judges nothing.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import signal
import sys
from typing import Any

import pytest

# Bound before a test can put something else in their place.
_dumps = json.dumps
# Numbers of files, not objects: what is open to the end must not become a test's ResourceWarning.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_LEDGER = os.open(os.environ["E2E_LEDGER"], _FLAGS)
_TRACE = os.open(os.environ["E2E_TRACE"], _FLAGS)
_CHARACTERS = 2000


def tell(kind: str, **told: Any) -> None:
    """Write one line."""
    os.write(_LEDGER, (_dumps({"kind": kind, **told}) + "\n").encode())


def pytest_sessionstart() -> None:
    """Begin the watch: pytest's own is switched off, since its text goes where the tests' goes."""
    faulthandler.enable(file=_TRACE, all_threads=True)
    limit = float(os.environ["E2E_LIMIT_SECONDS"])
    if sys.platform == "win32":
        faulthandler.dump_traceback_later(limit, exit=True, file=_TRACE)
    else:
        # That would be a thread, and Python warns of a fork where there is more than one.
        faulthandler.register(signal.SIGALRM, file=_TRACE, all_threads=True, chain=True)
        signal.setitimer(signal.ITIMER_REAL, limit)
    tell("start", pytest=pytest.__version__, folder=os.getcwd())


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell of a file that cannot be read, or that leaves itself out."""
    if report.failed:
        tell("report", node=report.nodeid, outcome="uncollected", text=_text(report))
    elif report.skipped:
        tell("report", node=report.nodeid, outcome="skipped", text=_reason(report))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Tell which tests the tests' own settings leave out."""
    tell("deselected", nodes=[item.nodeid for item in items])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell how many tests there are to run."""
    tell("collected", number=len(session.items))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Tell that a test begins."""
    tell("begun", node=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell how one of the three parts of a test ended, if that says something of the test."""
    expected = hasattr(report, "wasxfail")
    if report.failed:
        outcome = "failed" if report.when == "call" else "error"
        tell("report", node=report.nodeid, outcome=outcome, text=_text(report))
    elif report.skipped:
        outcome = "xfailed" if expected else "skipped"
        tell("report", node=report.nodeid, outcome=outcome, text=_reason(report))
    elif report.when == "call":
        outcome = "xpassed" if expected else "passed"
        tell("report", node=report.nodeid, outcome=outcome, text="")


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Tell that a test ended."""
    tell("ended", node=nodeid)


def pytest_internalerror(excrepr: object) -> None:
    """Tell of a failure of pytest itself, or of a plugin in the tests' settings."""
    tell("internal", text=str(excrepr)[-_CHARACTERS:])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    """Tell that the run came to its end, and whose code it was that was tested."""
    name = os.environ["E2E_SUBJECT"]
    module = sys.modules.get(name)
    spec = None if module else importlib.util.find_spec(name)
    file = getattr(module, "__file__", None) or (spec.origin if spec else None)
    tell("end", code=int(exitstatus), file=file, imported=module is not None)
    if sys.platform == "win32":
        faulthandler.cancel_dump_traceback_later()
    else:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _text(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return the end of what pytest says of a failure."""
    return report.longreprtext[-_CHARACTERS:]


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return why it is left out, or was expected to fail."""
    told = report.longrepr
    reason = told[2] if isinstance(told, tuple) else getattr(report, "wasxfail", "")
    return str(reason).removeprefix("Skipped: ")[:_CHARACTERS]
