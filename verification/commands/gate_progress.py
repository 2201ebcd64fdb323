"""The progress of a gate, next to pytest's output: finished cells, running cells, time left."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from typing import Protocol

import pytest

from containers.progress import PROGRESS, Progress, ProgressStep
from verification.history.store import HistoryError
from verification.models.results import CellResult
from verification.models.verdict import Outcome, Verdict
from verification.session.recorder import Recorder
from verification.session.user_files import history_to_write

TestStatus = tuple[str, str, str | tuple[str, Mapping[str, bool]]]
"""What pytest shows of a test: its category, a letter and a word."""
_GOOD = (Outcome.WORKS, Outcome.REFUSED)


class GateProgress:
    """Shows the progress of the cells. Only the controller has one: it gets all reports."""

    def __init__(
        self,
        recorder: Recorder,
        workers: int,
        *,
        progress: Progress = PROGRESS,
        past: Mapping[str, float] | None = None,
    ) -> None:
        """`past` holds the seconds that cells took before; by default those of the history."""
        self._recorder = recorder
        self._workers = max(1, workers)
        self._progress = progress
        self._past = past
        self._running: dict[str, ProgressStep] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Print to pytest's own stream while it runs, and leave it as it was."""
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        end_line = line_ender(session.config.get_terminal_writer(), reporter)
        # A duplicate: where tests run in this process, the stream itself is captured meanwhile.
        with os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace") as file:
            self._progress.print_to(file, end_line)
            self._progress.status = self.status
            try:
                return (yield)
            finally:
                self.stop()

    def stop(self) -> None:
        """Show no more of cells."""
        for step in self._running.values():
            self._progress.drop(step)
        self._running.clear()
        self._progress.status = str
        self._progress.print_to(None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, object, object]:
        """Note that a worker has begun a cell."""
        with self._progress.paused():
            returned = yield
        planned = self._recorder.cell_of(nodeid)
        if planned and planned.id not in self._recorder.results:
            self._running[planned.id] = self._begin(planned.id)
        return returned

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, config: pytest.Config
    ) -> Generator[None, TestStatus, TestStatus]:
        """Keep pytest from printing a letter for each test where the display is live."""
        category, letter, word = yield
        if self._progress.live and config.get_verbosity() <= 0:
            return category, "", ""
        return category, letter, word

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Let pytest write meanwhile."""
        with self._progress.paused():
            yield
        self._progress.refresh()

    def ended(self, result: CellResult) -> None:
        """Show the result of a cell."""
        names = ", ".join(dict.fromkeys(cause.name for cause in result.causes))
        done, total = len(self._recorder.results), len(self._recorder.selected())
        line = f"cell {done}/{total} {result.id} {result.outcome}"
        line += f" ({names})" if names and result.verdict is not Verdict.VERIFIED else ""
        line += f" {result.seconds:.1f} s" if result.seconds else ""
        step = self._running.pop(result.id, None) or self._begin(result.id)
        # On a terminal the display counts it.
        self._progress.end(step, "" if self._progress.live else line)
        step.seconds = result.seconds or step.seconds

    def _begin(self, ident: str) -> ProgressStep:
        return self._progress.begin(f"cell {ident}", quiet=True)

    def status(self) -> str:
        """Return how many cells ended, how many of them badly, and how long the others take."""
        results = self._recorder.results
        counts = Counter(result.outcome for result in results.values())
        parts = [f"{len(results)} of {len(self._recorder.selected())} cells"]
        parts += [f"{n} {word}" for word, n in sorted(counts.items()) if word not in _GOOD]
        if (left := self.seconds_left() or 0.0) >= 1:
            parts.append(f"about {left:.0f} s left")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Return how long the cells that have not ended will take, in seconds, if that is known.

        Earlier runs of the same cells show it.
        """
        if self._past is None:
            self._past = past_seconds()
        results = self._recorder.results
        known = dict(self._past) | {ident: result.seconds for ident, result in results.items()}
        selected = {cell.id for cell in self._recorder.selected()}
        times = [known[ident] for ident in selected if known.get(ident)]
        if not times:
            return None
        usual = statistics.mean(times)
        left = sum(known.get(ident, usual) for ident in selected - results.keys())
        running = dict(self._progress.running())
        passed = sum(running.get(f"cell {ident}", 0.0) for ident in self._running)
        return max(0.0, left - passed) / self._workers


class LineWriter(Protocol):
    """What pytest writes to its terminal with."""

    @property
    def width_of_current_line(self) -> int:
        """How much of the current line is written."""

    def line(self) -> None:
        """End the line."""

    def flush(self) -> None:
        """Write what is buffered."""


def line_ender(writer: LineWriter, reporter: pytest.TerminalReporter | None) -> Callable[[], None]:
    """Return what ends the line that pytest is in the middle of, so that one of ours can begin."""

    def end_line() -> None:
        if reporter:
            reporter.ensure_newline()
        if writer.width_of_current_line:
            writer.line()
        writer.flush()

    return end_line


def past_seconds() -> dict[str, float]:
    """Return how long each cell took in earlier runs, in seconds, by its id."""
    try:
        kept = history_to_write()
        return kept.seconds() if kept else {}
    except HistoryError:
        return {}  # the end of the run reports it, where the history is written
