"""The conftest of a gate without an engine.

A unit test copies this module next to a `behaviour.json`. That JSON file says what each cell does,
by the id of the cell, and how the set-up, the workers and the engine behave. A cell without an
entry works.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL
from tests.helpers.sample_testbed import on_engines, prepared_run, run_setup
from verification.commands.gate_plugin import (
    LOST_ENGINE,
    gate_session,
    handover,
    pipeline,
    pytest_addoption,
    pytest_configure,
    pytest_generate_tests,
    pytest_xdist_auto_num_workers,
    report_item,
)
from verification.models.cause import Cause, Severity
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release
from verification.models.results import CellResult
from verification.models.subject import Subject
from verification.models.verdict import Outcome
from verification.scenarios import machines
from verification.session import gate_run, replay_inputs
from verification.session.prepare import RunSetup
from verification.session.selection import Selection
from verification.session.session import Handover
from verification.verdict import verdict_of_cell

__all__ = [
    "gate_session",
    "handover",
    "pipeline",
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_xdist_auto_num_workers",
    "report_item",
]
FOLDER = Path(__file__).parent
IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
BEHAVIOUR: dict[str, str] = json.loads((FOLDER / "behaviour.json").read_text("utf-8"))
WHEELS = {"linux": LINUX_WHEEL, "windows": WINDOWS_WHEEL}


def prepare(_selection: Selection, _subject: Subject, stack: contextlib.ExitStack) -> RunSetup:
    """Return a prepared testbed without containers."""
    stack.callback((FOLDER / "removed").touch)
    if BEHAVIOUR.get("engine") == "lost at the end":
        stack.callback(_lose_engine)
    match BEHAVIOUR.get("set-up"):
        case "testbed failure":
            raise TestbedFailure("engine-unreachable", "engine", "no answer")
        case "wrong use":
            raise WrongUse("--release 9.9.9")
        case "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
        case "interrupted, and its clean-up fails":
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                raise TestbedFailure("engine-unreachable", "engine", "no answer")
        case "interrupted in a destructor":
            lose_interrupts(os.getpid())
        case "crashes":
            raise KeyError("a defect of the suite")
    ready = prepared_run()
    if names := BEHAVIOUR.get("engines"):
        ready = on_engines(prepared_run(None, *machines.load()), *names.split())
        on_last = BEHAVIOUR.get("machine of the last engine")
        kept = {name: image for name, image in ready.machines.items() if name != on_last}
        ready = ready.model_copy(update={"machines": kept})
    return run_setup(ready)


def lose_interrupts(pid: int) -> None:
    """Send two interrupts to a process. If it is this process, lose the KeyboardInterrupt."""
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(pid, signal.SIGINT)


def _lose_engine() -> None:
    raise ConnectionError("no answer")


def keep(_release: Release, _subject: str, _seed: int) -> None:
    """Replace the function that stores the files of a release: they do not exist here."""


if IN_WORKER and BEHAVIOUR.get("workers") == "die at the start":
    os._exit(1)
vars(gate_run)["prepare"] = prepare
vars(replay_inputs)["keep"] = keep


@pytest.fixture
def run_cell(request: pytest.FixtureRequest, handover: Handover) -> Callable[[Cell], CellResult]:
    """Return a function that returns the result in `behaviour.json` instead of running a cell."""
    engine = handover.prepared.testbed.engine.name

    def run_on_engine(cell: Cell) -> CellResult:
        with (FOLDER / "ran").open("a") as file:
            file.write(f"{cell.id} {engine}\n")
        behaviour = BEHAVIOUR.get(cell.id, "works")
        if behaviour.startswith("ends engine "):
            if engine in behaviour.split():
                request.node.user_properties.append((LOST_ENGINE, engine))
                behaviour = "testbed-failure"
            else:
                behaviour = "works"
        return run(cell, behaviour).model_copy(update={"engine": engine})

    return run_on_engine


def run(cell: Cell, behaviour: str) -> CellResult:
    """Do what `behaviour.json` says about this cell, and return the result."""
    outcome = Outcome.WORKS
    match behaviour:
        case "dies":
            os._exit(1)
        case "raises":
            raise KeyError("a defect of the suite")
        case "interrupts":
            raise KeyboardInterrupt
        case "interrupts the controller twice":
            lose_interrupts(os.getppid() if IN_WORKER else os.getpid())
        case "kills the controller":
            (FOLDER / "worker").write_text(str(os.getpid()))
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        case "skips":
            pytest.skip("unverified: no such image")
        case name:
            outcome = Outcome(name)
    severity = Severity.TESTBED if outcome is Outcome.TESTBED else Severity.BROKEN
    cause = Cause(name="crash", severity=severity, where=cell.id, message="m", remedy="r")
    return CellResult(
        id=cell.id,
        machine=cell.machine.name,
        installer=cell.installer.name,
        scenario=cell.scenario.name,
        expectation=cell.expectation,
        outcome=outcome,
        verdict=verdict_of_cell(outcome, (), strict=False),
        causes=(cause,) if outcome in (Outcome.FAILS, Outcome.TESTBED) else (),
        seconds=0.1,
        wheel=WHEELS[cell.machine.os],
    )
