"""The progress of a gate, as its controller shows it."""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import re
from collections.abc import Generator

import pytest

from containers.progress import HEARTBEAT_SECONDS, Progress
from tests.helpers.sample_run import cell, planned, report
from tests.helpers.screen import Terminal, screen
from verification.commands import gate_progress
from verification.commands.gate_progress import GateProgress, line_ender
from verification.models.cause import Cause
from verification.models.run import RunResult
from verification.models.verdict import Outcome
from verification.rules.catalogue import catalogue
from verification.session.recorder import RESULT, Recorder, TestPhaseReport, as_property
from verification.session.user_files import history

CELLS = ("debian-11-pip-upgrade", "debian-13-pip-venv", "windows-wine-uv-system")


def node(ident: str) -> str:
    return f"tests/gate/test_machines.py::test_a_cell[{ident}]"


class Gate:
    """Three cells on two workers, and what is printed of them."""

    def __init__(
        self, past: dict[str, float] | None = None, file: io.StringIO | None = None
    ) -> None:
        self.now = 0.0
        self.file = file or io.StringIO()
        self.progress = Progress(
            self.file,
            environment={"TERM": "xterm"} if file else {},
            clock=lambda: self.now,
            wall=lambda: self.now,
            refreshes=False,
        )
        self.recorder = Recorder(RunResult(subject="quiverdb", planned=tuple(map(planned, CELLS))))
        self.recorder.select({node(ident): ident for ident in CELLS})
        self.shown = GateProgress(self.recorder, 2, progress=self.progress, past=past)

    def start(self, ident: str) -> None:
        finish(self.shown.pytest_runtest_logstart(node(ident)))

    def report(self, test: TestPhaseReport) -> None:
        if result := self.recorder.add(test):
            self.shown.ended(result)

    def end(
        self, ident: str, *causes: Cause, seconds: float = 2.1, outcome: Outcome | None = None
    ) -> None:
        result = cell(ident, *causes, seconds=seconds, outcome=outcome)
        properties = {RESULT: as_property(result)}
        self.report(
            TestPhaseReport(node=node(ident), phase="call", outcome="passed", properties=properties)
        )

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


def cause(name: str) -> Cause:
    return catalogue().cause(name, where="x", observed="y")


def test_a_cell_has_one_line_when_it_has_ended() -> None:
    gate = Gate()
    gate.start(CELLS[0])
    assert gate.lines() == [], "pytest shows tests; a cell is shown when it has ended"
    gate.end(CELLS[0])
    assert gate.lines() == ["cell 1/3 debian-11-pip-upgrade works 2.1 s"]
    gate.report(TestPhaseReport(node=node(CELLS[0]), phase="teardown", outcome="failed"))
    gate.start(CELLS[0])  # a worker that took over may begin it again
    assert gate.lines() == []
    assert gate.progress.running() == []


def test_the_causes_of_a_failed_cell_are_named() -> None:
    gate = Gate()
    gate.start(CELLS[2])
    causes = (cause("missing-runtime-library"), cause("crash"), cause("crash"))
    gate.end(CELLS[2], *causes, seconds=9)
    assert gate.lines() == [
        "cell 1/3 windows-wine-uv-system fails (missing-runtime-library, crash) 9.0 s"
    ]


def test_the_notes_of_a_cell_that_works_are_not_named() -> None:
    gate = Gate()
    gate.end(CELLS[1], cause("works-with-more"), outcome=Outcome.WORKS)
    assert gate.lines() == ["cell 1/3 debian-13-pip-venv works 2.1 s"]


def test_a_cell_whose_test_was_skipped_is_unverified() -> None:
    gate = Gate(past={})
    gate.start(CELLS[1])
    gate.report(TestPhaseReport(node=node(CELLS[1]), phase="setup", outcome="skipped"))
    assert gate.lines() == ["cell 1/3 debian-13-pip-venv unverified"]
    assert gate.shown.status() == "1 of 3 cells, 1 unverified"


def test_a_cell_whose_test_failed_without_a_result_is_a_testbed_failure() -> None:
    gate = Gate(past={})
    gate.start(CELLS[1])
    gate.report(TestPhaseReport(node=node(CELLS[1]), phase="setup", outcome="failed"))
    assert gate.lines() == ["cell 1/3 debian-13-pip-venv testbed-failure (testbed-defect)"]
    assert gate.shown.status() == "1 of 3 cells, 1 testbed-failure"


def test_only_what_is_bad_is_counted_next_to_the_number_of_cells() -> None:
    gate = Gate(past={})
    gate.end(CELLS[0], outcome=Outcome.REFUSED, seconds=0.1)
    gate.end(CELLS[1], outcome=Outcome.WORKS, seconds=0.1)
    assert gate.shown.status() == "2 of 3 cells"
    gate.end(CELLS[2], outcome=Outcome.FALLS_BACK, seconds=0.1)
    assert gate.shown.status() == "3 of 3 cells, 1 falls-back"


def test_tests_that_are_of_no_cell_are_left_to_pytest() -> None:
    gate = Gate()
    gate.start("a parameter")
    gate.report(TestPhaseReport(node=node("a parameter"), phase="call", outcome="passed"))
    assert gate.progress.running() == []
    assert gate.lines() == []


def test_what_runs_is_named_when_nothing_was_printed_for_long() -> None:
    gate = Gate(past={})
    gate.progress.status = gate.shown.status
    gate.start(CELLS[2])
    gate.now = HEARTBEAT_SECONDS
    gate.progress.refresh()
    assert gate.lines() == ["0 of 3 cells; still running: cell windows-wine-uv-system (30 s)"]


def test_the_time_left_comes_from_the_same_cells_in_earlier_runs() -> None:
    gate = Gate(past={CELLS[0]: 4.0, CELLS[1]: 20.0})
    gate.start(CELLS[0])
    gate.start(CELLS[1])
    # 4 and 20, and 12 as a cell usually takes, for the one that is not known; on two workers.
    assert gate.shown.seconds_left() == 18
    gate.now = 5
    gate.end(CELLS[0], seconds=5)
    # 20, of which 5 have passed, and 12.5.
    assert gate.shown.seconds_left() == (20 - 5 + 12.5) / 2
    assert gate.shown.status() == "1 of 3 cells, about 14 s left"


def test_where_nothing_is_known_no_time_is_shown() -> None:
    gate = Gate(past={})
    gate.start(CELLS[0])
    assert gate.shown.seconds_left() is None
    assert "left" not in gate.shown.status()


def test_the_history_has_how_long_each_cell_took_when_it_last_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gate_progress.past_seconds() == {}
    for last in (cell(CELLS[0], seconds=3.0), cell(CELLS[0]), cell(CELLS[0], reason="no image")):
        history().record(report(last))
    assert gate_progress.past_seconds() == {CELLS[0]: 4.0}
    gate = Gate()
    gate.start(CELLS[0])
    assert gate.shown.seconds_left() == 6
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", "")
    assert gate_progress.past_seconds() == {}


def test_a_history_that_cannot_be_read_shows_no_time() -> None:
    history().file.parent.mkdir(parents=True, exist_ok=True)
    history().file.write_bytes(b"no database" * 100)
    assert gate_progress.past_seconds() == {}


def test_on_a_live_display_a_cell_that_ended_leaves_no_line() -> None:
    gate = Gate(past={}, file=Terminal())
    gate.progress.status = gate.shown.status
    gate.start(CELLS[0])
    gate.start(CELLS[1])
    gate.end(CELLS[0])
    shown = screen(gate.file.getvalue())
    assert "1 of 3 cells" in shown[0]
    assert [line for line in shown if CELLS[0] in line] == []
    assert any(CELLS[1] in line for line in shown)


def test_at_the_end_no_cell_is_shown_any_more() -> None:
    gate = Gate()
    gate.start(CELLS[0])
    gate.shown.stop()
    assert gate.progress.running() == []
    assert gate.progress.status() == ""


def test_a_line_begins_where_pytest_is_not_in_the_middle_of_one(
    pytestconfig: pytest.Config,
) -> None:
    file = io.StringIO()
    writer = type(pytestconfig.get_terminal_writer())(file)
    end_line = line_ender(writer, None)
    writer.write("....")
    for number in (1, 2):
        end_line()
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
def test_pytest_prints_no_letters_on_a_live_display(
    pytestconfig: pytest.Config,
    live: bool,
    verbosity: int,
    status: tuple[str, str, str],
) -> None:
    config = copy.copy(pytestconfig)
    config.option = argparse.Namespace(verbose=verbosity)
    gate = Gate(file=Terminal() if live else None)
    hook = gate.shown.pytest_report_teststatus(config)
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(("passed", ".", "PASSED"))
    assert ended.value.value == status
