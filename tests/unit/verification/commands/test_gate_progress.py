"""The progress of a gate."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Generator

import pytest

from containers.progress import HEARTBEAT_SECONDS, Progress, typical_seconds
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


def node(cell_id: str) -> str:
    return f"tests/gate/test_machines.py::test_cell[{cell_id}]"


class Gate:
    """The progress of a gate with three cells on two workers. ``now``: its clock."""

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
        self.recorder.select({node(cell_id): cell_id for cell_id in CELLS})
        self.display = GateProgress(self.recorder, 2, progress=self.progress, past=past)

    def start(self, cell_id: str) -> None:
        finish(self.display.pytest_runtest_logstart(node(cell_id)))

    def report(self, test: TestPhaseReport) -> None:
        if result := self.recorder.add(test):
            self.display.ended(result)

    def end(
        self, cell_id: str, *causes: Cause, seconds: float = 2.1, outcome: Outcome | None = None
    ) -> None:
        result = cell(cell_id, *causes, seconds=seconds, outcome=outcome)
        properties = {RESULT: as_property(result)}
        self.report(
            TestPhaseReport(
                node=node(cell_id), phase="call", outcome="passed", properties=properties
            )
        )

    def lines(self) -> list[str]:
        """Return the lines since the last call, without their times."""
        lines = [re.sub(r"^.*? s\] ", "", line) for line in self.file.getvalue().splitlines()]
        self.file.seek(0)
        self.file.truncate()
        return lines


def finish(hook: Generator[None, object, object]) -> None:
    """Run a hook wrapper of pytest to its end."""
    next(hook)
    with contextlib.suppress(StopIteration):
        hook.send(None)


def numbers(gate: Gate) -> list[int]:
    """Return the numbers in the status: ended and all cells, bad outcomes, remaining seconds."""
    return [int(number) for number in re.findall(r"\d+", gate.display.status())]


def cause(name: str) -> Cause:
    return catalogue().cause(name, "x", "y")


def test_cell_has_one_line_at_its_end() -> None:
    gate = Gate()
    gate.start(CELLS[0])
    assert gate.lines() == []
    gate.end(CELLS[0])
    assert gate.lines() == ["cell 1/3 debian-11-pip-upgrade works 2.1 s"]
    gate.report(TestPhaseReport(node=node(CELLS[0]), phase="teardown", outcome="failed"))
    gate.start(CELLS[0])  # a second worker may start the test again
    assert gate.lines() == []
    assert gate.progress.running() == []


def test_line_of_a_failed_cell_names_its_causes() -> None:
    gate = Gate()
    gate.start(CELLS[2])
    causes = (cause("missing-runtime-library"), cause("crash"), cause("crash"))
    gate.end(CELLS[2], *causes, seconds=9)
    assert gate.lines() == [
        "cell 1/3 windows-wine-uv-system fails (missing-runtime-library, crash) 9.0 s"
    ]


def test_line_of_a_working_cell_does_not_name_its_notes() -> None:
    gate = Gate()
    gate.end(CELLS[1], cause("works-with-more"), outcome=Outcome.WORKS)
    assert gate.lines() == ["cell 1/3 debian-13-pip-venv works 2.1 s"]


def test_cell_of_a_skipped_test_is_unverified() -> None:
    gate = Gate(past={})
    gate.start(CELLS[1])
    gate.report(TestPhaseReport(node=node(CELLS[1]), phase="setup", outcome="skipped"))
    assert gate.lines() == ["cell 1/3 debian-13-pip-venv unverified"]
    assert numbers(gate)[:3] == [1, 3, 1]
    assert "1 unverified" in gate.display.status()


def test_cell_of_a_test_that_failed_without_a_result_is_a_testbed_failure() -> None:
    gate = Gate(past={})
    gate.start(CELLS[1])
    gate.report(TestPhaseReport(node=node(CELLS[1]), phase="setup", outcome="failed"))
    assert gate.lines() == ["cell 1/3 debian-13-pip-venv testbed-failure (testbed-defect)"]
    assert numbers(gate)[:3] == [1, 3, 1]
    assert "1 testbed-failure" in gate.display.status()


def test_status_counts_bad_outcomes() -> None:
    gate = Gate(past={})
    gate.end(CELLS[0], outcome=Outcome.REFUSED, seconds=0.1)
    gate.end(CELLS[1], outcome=Outcome.WORKS, seconds=0.1)
    assert numbers(gate) == [2, 3]
    gate.end(CELLS[2], outcome=Outcome.FALLS_BACK, seconds=0.1)
    assert numbers(gate) == [3, 3, 1]
    assert "1 falls-back" in gate.display.status()


def test_a_test_without_a_cell_is_not_shown() -> None:
    gate = Gate()
    gate.start("a parameter")
    gate.report(TestPhaseReport(node=node("a parameter"), phase="call", outcome="passed"))
    assert gate.progress.running() == []
    assert gate.lines() == []


def test_running_cell_is_named_after_a_long_silence() -> None:
    gate = Gate(past={})
    gate.progress.status = gate.display.status
    gate.start(CELLS[2])
    gate.now = HEARTBEAT_SECONDS
    gate.progress.refresh()
    (line,) = gate.lines()
    assert gate.display.status() in line
    assert "windows-wine-uv-system (30 s)" in line


def test_remaining_time_is_estimated_from_earlier_runs_of_the_cells() -> None:
    gate = Gate(past={CELLS[0]: 4.0, CELLS[1]: 20.0})
    gate.start(CELLS[0])
    gate.start(CELLS[1])
    linux, windows = (typical_seconds(f"cell {system}") for system in ("linux", "windows"))
    # The known cells take (4 + 20) / 2 of their typical seconds. So does the third cell.
    # Two workers share the sum.
    third = windows * 24 / (2 * linux)
    assert gate.display.seconds_left() == pytest.approx((24 + third) / 2)
    gate.now = 5
    gate.end(CELLS[0], seconds=5)
    # 5 of 20 seconds have passed. The known cells take 25 seconds now.
    third = windows * 25 / (2 * linux)
    assert gate.display.seconds_left() == pytest.approx((20 - 5 + third) / 2)
    assert numbers(gate) == [1, 3, round((15 + third) / 2)]


def test_slow_cell_does_not_hide_the_time_of_the_others() -> None:
    gate = Gate(past=dict.fromkeys(CELLS, 10.0))
    gate.start(CELLS[0])
    gate.now = 1000
    assert gate.display.seconds_left() == 10, "two cells of 10 s on two workers"


def test_estimate_is_the_same_after_each_new_selection() -> None:
    gate = Gate(past={CELLS[0]: 4.0})
    gate.end(CELLS[0], seconds=6)
    gate.end(CELLS[2], seconds=40)
    counted = gate.display.seconds_left()
    gate.recorder.select({node(cell_id): cell_id for cell_id in CELLS})
    assert gate.display.seconds_left() == pytest.approx(counted) != 0
    assert numbers(gate)[:2] == [2, 3]


def test_a_first_run_uses_typical_times() -> None:
    gate = Gate(past={})
    typical = [typical_seconds(f"cell {system}") for system in ("linux", "linux", "windows")]
    assert gate.display.seconds_left() == sum(typical) / 2
    assert gate.progress.later_work() == (sum(typical) / 2, "3 cells")
    gate.progress.print_estimate()
    (line,) = gate.lines()
    assert f"{sum(typical) / 2:.0f} s" in line
    assert "3 cells" in line


def test_durations_come_from_the_last_run_of_each_cell_in_the_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gate_progress.past_seconds() == {}
    for result in (cell(CELLS[0], seconds=3.0), cell(CELLS[0]), cell(CELLS[0], reason="no image")):
        history().record(report(result))
    assert gate_progress.past_seconds() == {CELLS[0]: 4.0}
    gate = Gate()
    gate.start(CELLS[0])
    linux, windows = (typical_seconds(f"cell {system}") for system in ("linux", "windows"))
    assert gate.display.seconds_left() == (4 + (linux + windows) * 4 / linux) / 2
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", "")
    assert gate_progress.past_seconds() == {}


def test_unreadable_history_has_no_durations() -> None:
    history().file.parent.mkdir(parents=True, exist_ok=True)
    history().file.write_bytes(b"no database" * 100)
    assert gate_progress.past_seconds() == {}


def test_ended_cell_has_no_line_on_a_live_display() -> None:
    gate = Gate(past={}, file=Terminal())
    gate.progress.status = gate.display.status
    gate.start(CELLS[0])
    gate.start(CELLS[1])
    gate.end(CELLS[0])
    lines = screen(gate.file.getvalue())
    assert gate.display.status() in lines[0]
    assert [line for line in lines if CELLS[0] in line] == []
    assert any(CELLS[1] in line for line in lines)


def test_no_cell_is_shown_after_the_end() -> None:
    gate = Gate()
    gate.start(CELLS[0])
    gate.display.stop()
    assert gate.progress.running() == []
    assert gate.progress.status() == ""


def test_unfinished_line_of_pytest_is_ended_before_a_line_of_the_suite(
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
