"""The progress of a gate: finished cells, running cells and the remaining time."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Protocol

import pytest

from containers.progress import PROGRESS, Progress, ProgressStep, duration, typical_seconds
from verification.history.store import HistoryError
from verification.models import printable
from verification.models.results import CellResult
from verification.models.run import PlannedCell
from verification.models.verdict import Outcome, Verdict
from verification.report import signs
from verification.session.recorder import Recorder
from verification.session.user_files import history_to_write


class GateProgress:
    """Shows the progress of the cells.

    Only the controller uses it, because only the controller gets pytest's reports of all tests.
    """

    def __init__(
        self,
        recorder: Recorder,
        workers: int,
        *,
        progress: Progress = PROGRESS,
        past: Mapping[str, float] | None = None,
    ) -> None:
        """`past` has earlier durations in seconds by cell id; None reads the history."""
        self._recorder = recorder
        self._workers = max(1, workers)
        self._progress = progress
        self._history = past
        self._past: Mapping[str, float] = {}
        self._cells: dict[str, PlannedCell] = {}
        self._running: dict[str, ProgressStep] = {}
        self._counts: Counter[Outcome] = Counter()
        self._selected: Sequence[PlannedCell] | None = None
        # Sums of seconds, so that a step of the display takes the same time in a large gate.
        self._past_left = self._typical_left = 0.0  # of cells that have not ended
        self._known = self._known_typical = 0.0  # of cells whose duration is known
        progress.later_work = self.remaining_cells

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Print the progress to the terminal while the tests run."""
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        end_line = line_ender(session.config.get_terminal_writer(), reporter) if reporter else None
        # pytest captures stdout while a test runs in this process, but not a duplicate of it.
        with os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace") as file:
            self._progress.print_to(printable.printable(file), end_line or (lambda: None))
            self._progress.status = self.status
            try:
                return (yield)
            finally:
                self.stop()

    def stop(self) -> None:
        """Stop the display of cells."""
        for step in self._running.values():
            self._progress.fail(step)
        self._running.clear()
        self._progress.status = self._progress.summary
        self._progress.print_to(None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, object, object]:
        """Show that a worker has begun a cell."""
        with self._progress.paused():
            hook_result = yield
        planned = self._recorder.cell_of(nodeid)
        known = (self._recorder.results, self._running)
        if planned and not any(planned.id in cells for cells in known):
            self._running[planned.id] = self._begin(planned.id)
        return hook_result

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Pause the display, so that pytest can write."""
        with self._progress.paused():
            yield
        self._progress.refresh()

    def ended(self, result: CellResult) -> None:
        """Show the result of a cell."""
        self._count(result)
        names = ", ".join(dict.fromkeys(cause.name for cause in result.causes))
        ended, selected = len(self._recorder.results), len(self._recorder.selected())
        line = f"cell {ended}/{selected} {result.id} {result.outcome}"
        line += f" ({names})" if names and result.verdict is not Verdict.VERIFIED else ""
        line += f" {result.seconds:.1f} s" if result.seconds else ""
        step = self._running.pop(result.id, None) or self._begin(result.id)
        # On a terminal, the live display counts the cells instead of printing lines.
        self._progress.end(step, "" if self._progress.live else line)
        step.seconds = result.seconds or step.seconds

    def _begin(self, cell_id: str) -> ProgressStep:
        return self._progress.begin(f"cell {cell_id}")

    def past(self, cell_id: str) -> float:
        """Return the seconds of a cell in earlier runs, or 0."""
        return self._past_seconds().get(cell_id, 0.0)

    def _past_seconds(self) -> Mapping[str, float]:
        if self._history is None:
            self._history = past_seconds()
        return self._history

    def remaining_cells(self) -> tuple[float, str]:
        """Return the seconds and the number of the cells that have not ended."""
        number = len(self._recorder.selected()) - len(self._recorder.results)
        return self.seconds_left(), f"{number} cell{'' if number == 1 else 's'}" if number else ""

    def status(self) -> str:
        """Return the number of ended cells, their bad outcomes, and the remaining time."""
        ended, selected = len(self._recorder.results), len(self._recorder.selected())
        parts = [f"{ended} of {selected} cells"]
        parts += [
            f"{n} {word}" for word, n in sorted(self._counts.items()) if word not in signs.EXPECTED
        ]
        if (seconds := self.seconds_left()) >= 1:
            parts.append(f"about {duration(seconds)} left")
        return ", ".join(parts)

    def seconds_left(self) -> float:
        """Return the estimated seconds until all cells have ended.

        A cell takes as long as in an earlier run. A cell without an earlier run takes its typical
        seconds, times the average of duration and typical seconds of the known cells.
        """
        self._plan()
        running = dict(self._progress.running())
        elapsed = sum(
            min(running.get(f"cell {cell.id}", 0.0), self._expected(cell))
            for cell_id in self._running
            if (cell := self._cells.get(cell_id))
        )
        remaining = self._past_left + self._typical_left * self._pace
        return max(0.0, remaining - elapsed) / self._workers

    @property
    def _pace(self) -> float:
        return self._known / self._known_typical if self._known else 1.0

    def _expected(self, cell: PlannedCell) -> float:
        """Return the expected seconds of a cell."""
        return self._past.get(cell.id) or typical_seconds(f"cell {cell.system}") * self._pace

    def _plan(self) -> None:
        """Sum up the expected seconds of the selected cells, if the selection has changed."""
        selected = self._recorder.selected()
        if selected is self._selected:
            return
        self._past, self._selected = self._past_seconds(), selected
        self._cells = {cell.id: cell for cell in selected}
        self._past_left = self._typical_left = self._known = self._known_typical = 0.0
        for cell in selected:
            self._add(cell, self._recorder.results.get(cell.id))

    def _count(self, result: CellResult) -> None:
        """Count the outcome and the duration of a cell that has ended."""
        self._counts[result.outcome] += 1
        if self._recorder.selected() is self._selected:  # otherwise `_plan` counts the result
            self._add(self._cells[result.id], None, -1)
            self._add(self._cells[result.id], result)

    def _add(self, cell: PlannedCell, result: CellResult | None, sign: int = 1) -> None:
        """Add a cell to the sums. ``result`` is None if it has not ended."""
        typical, past = typical_seconds(f"cell {cell.system}"), self._past.get(cell.id)
        if result is None and past:
            self._past_left += sign * past
        elif result is None:
            self._typical_left += sign * typical
        if known := (result.seconds if result else past):
            self._known += sign * known
            self._known_typical += sign * typical


class LineWriter(Protocol):
    """The part of pytest's terminal writer that `line_ender` uses."""

    @property
    def width_of_current_line(self) -> int:
        """The number of characters in the current line."""

    def line(self) -> None:
        """End the line."""

    def flush(self) -> None:
        """Write the buffered text."""


def line_ender(writer: LineWriter, reporter: pytest.TerminalReporter | None) -> Callable[[], None]:
    """Return the function that ends pytest's unfinished line, so that the suite can print one."""

    def end_line() -> None:
        if reporter:
            reporter.ensure_newline()
        if writer.width_of_current_line:
            writer.line()
        writer.flush()

    return end_line


def past_seconds() -> dict[str, float]:
    """Return the duration of each cell in earlier runs, in seconds, by its id."""
    try:
        history = history_to_write()
        return history.seconds() if history else {}
    except HistoryError:
        return {}  # the run reports this error at its end, when it writes the history
