from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from containers.progress import BEAT_SECONDS, Progress
from tests.helpers.sample_run import cell, report
from tests.helpers.screen import Terminal
from verification.commands import gate_progress
from verification.commands.gate_progress import Tally, end_line
from verification.session.user_files import history

CELLS = ("debian-11-pip-upgrade", "debian-13-pip-venv", "windows-wine-uv-system")


class Told:
    """A tally of three cells on two workers, and what it told."""

    def __init__(self, report: Path, past: dict[str, float] | None = None) -> None:
        self.report = report
        self.now = 0.0
        self.file = io.StringIO()
        progress = Progress(
            self.file,
            environment={},
            clock=lambda: self.now,
            wall=lambda: self.now,
            refreshes=False,
        )
        self.progress = progress
        self.tally = Tally(report, 2, progress=progress, past=past)
        (report / "required").mkdir(parents=True)
        (report / "cells").mkdir()
        # Each worker says what it was asked for.
        for name, cells in {"gw0": CELLS[:2], "gw1": CELLS[1:]}.items():
            (report / "required" / f"{name}.json").write_text(json.dumps(cells))

    def start(self, cell: str) -> None:
        finish(self.tally.pytest_runtest_logstart(f"tests/test_a.py::test_a[{cell}]@{cell}"))

    def ran(self, cell: str, *causes: str, verdict: str = "verified", seconds: float = 2.1) -> None:
        told = {
            "verdict": verdict,
            "causes": [{"name": name} for name in causes],
            "seconds": seconds,
        }
        (self.report / "cells" / f"{cell}.json").write_text(json.dumps(told))

    def reported(self, cell: str, when: str = "setup", outcome: str = "passed") -> None:
        nodeid = f"tests/test_a.py::test_a[{cell}]"
        report: Any = SimpleNamespace(nodeid=nodeid, when=when, outcome=outcome)
        finish(self.tally.pytest_runtest_logreport(report))

    def lines(self) -> list[str]:
        found = [re.sub(r"^.*? s\] ", "", line) for line in self.file.getvalue().splitlines()]
        self.file.seek(0)
        self.file.truncate()
        return found


def finish(hook: Generator[None, object, object]) -> None:
    """Run a hook that is wrapped around pytest's own."""
    next(hook)
    with contextlib.suppress(StopIteration):
        hook.send(None)


def test_a_cell_is_told_once_when_its_verdict_is_there(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.start(CELLS[0])
    assert told.lines() == [], "pytest tells of tests; a cell is told when it has ended"
    told.ran(CELLS[0])
    told.reported(CELLS[0])
    assert told.lines() == ["cell 1/3 debian-11-pip-upgrade verified 2.1 s"]
    told.reported(CELLS[0], "call", "failed")
    told.start(CELLS[0])  # its next test
    told.reported(CELLS[0])
    assert told.lines() == []
    assert told.progress.running() == []


def test_the_causes_of_a_failed_cell_are_named(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.start(CELLS[2])
    told.ran(CELLS[2], "missing-runtime-library", "crash", verdict="failed", seconds=9)
    told.reported(CELLS[2])
    assert told.lines() == [
        "cell 1/3 windows-wine-uv-system failed (missing-runtime-library, crash) 9.0 s"
    ]


@pytest.mark.parametrize(("when", "outcome"), [("setup", "skipped"), ("setup", "failed")])
def test_a_cell_without_a_verdict_is_told_as_unverified(
    tmp_path: Path, when: str, outcome: str
) -> None:
    told = Told(tmp_path, past={})
    told.start(CELLS[1])
    told.reported(CELLS[1], when, outcome)
    assert told.lines() == ["cell 1/3 debian-13-pip-venv unverified"]
    assert told.tally.status() == "1 of 3 cells, 1 unverified"


def test_tests_that_are_of_no_cell_are_left_to_pytest(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.start("a parameter")
    told.reported("a parameter")
    assert told.progress.running() == []
    assert told.lines() == []


def test_what_runs_is_named_when_nothing_was_told_for_long(tmp_path: Path) -> None:
    told = Told(tmp_path, past={})
    told.progress.status = told.tally.status
    told.start(CELLS[2])
    told.now = BEAT_SECONDS
    told.progress.refresh()
    assert told.lines() == ["0 of 3 cells; still running: cell windows-wine-uv-system (30 s)"]


def test_the_time_left_comes_from_the_same_cells_in_earlier_runs(tmp_path: Path) -> None:
    told = Told(tmp_path, past={CELLS[0]: 4.0, CELLS[1]: 20.0})
    told.start(CELLS[0])
    told.start(CELLS[1])
    # 4 and 20, and 12 as a cell usually takes, for the one that is not known; on two workers.
    assert told.tally.left_seconds() == 18
    told.now = 5
    told.ran(CELLS[0], seconds=5)
    told.reported(CELLS[0])
    # 20, of which 5 have passed, and 12.5.
    assert told.tally.left_seconds() == (20 - 5 + 12.5) / 2
    assert told.tally.status() == "1 of 3 cells, about 14 s left"


def test_where_nothing_is_known_no_time_is_told(tmp_path: Path) -> None:
    told = Told(tmp_path, past={})
    told.start(CELLS[0])
    assert told.tally.left_seconds() is None
    assert "left" not in told.tally.status()


def test_the_history_tells_how_long_each_cell_took_when_it_last_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gate_progress._past() == {}
    for last in (cell(CELLS[0], seconds=3.0), cell(CELLS[0]), cell(CELLS[0], reason="no image")):
        history().record(report(last))
    assert gate_progress._past() == {CELLS[0]: 4.0}
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", "")
    assert gate_progress._past() == {}


def test_a_line_begins_where_pytest_is_not_in_the_middle_of_one(
    pytestconfig: pytest.Config,
) -> None:
    file = io.StringIO()
    writer = type(pytestconfig.get_terminal_writer())(file)
    config: Any = SimpleNamespace(
        get_terminal_writer=lambda: writer,
        pluginmanager=SimpleNamespace(get_plugin=lambda _: None),
    )
    writer.write("....")
    for number in (1, 2):
        end_line(config)
        file.write(f"cell {number}/3\n")
    assert file.getvalue() == "....\ncell 1/3\ncell 2/3\n"


@pytest.mark.parametrize(
    ("live", "verbosity", "status"),
    [
        (True, 0, ("passed", "", "")),
        (False, 0, ("passed", ".", "PASSED")),
        (True, 1, ("passed", ".", "PASSED")),
    ],
)
def test_on_a_live_display_pytest_prints_no_letters(
    tmp_path: Path, live: bool, verbosity: int, status: tuple[str, str, str]
) -> None:
    progress = Progress(Terminal(), environment={"TERM": "xterm"} if live else {}, refreshes=False)
    config: Any = SimpleNamespace(get_verbosity=lambda: verbosity)
    hook = Tally(tmp_path, 2, progress=progress).pytest_report_teststatus(config)
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(("passed", ".", "PASSED"))
    assert ended.value.value == status
