"""What the cells of a run have come to: told while they run, beside what pytest itself tells.

Only the controlling process has one: it sees the reports of all workers.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import statistics
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from containers.progress import PROGRESS, Progress, Step
from verification.history.store import HistoryError
from verification.session.suite import required
from verification.session.user_files import history_to_write

_CELL = re.compile(r"\[([^\]]+)\](?:@[^\]]*)?$")  # behind the @ is the group of pytest-xdist


def parameter(nodeid: str) -> str:
    """Return what is in the brackets of a test's id; of a test of a cell that is the cell's."""
    found = _CELL.search(nodeid)
    return found[1] if found else ""


TestStatus = tuple[str, str, str | tuple[str, dict[str, bool]]]
"""What pytest shows of a test: its category, a letter and a word."""


class Tally:
    """Counts the cells that ended, and says which run, how far it is and how long it will take."""

    def __init__(
        self,
        report: Path,
        workers: int,
        *,
        progress: Progress = PROGRESS,
        past: dict[str, float] | None = None,
    ) -> None:
        """``past`` has the seconds that cells took before; by default the history tells them."""
        self.workers = max(1, workers)
        self.done: dict[str, dict[str, Any]] = {}
        self._report = report
        self._progress = progress
        self._past = past
        self._every: set[str] = set()
        self._running: dict[str, Step] = {}

    # ---- what pytest tells ----

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Tell on pytest's own stream, since both write there; and leave it as it was."""
        # A duplicate: where tests run in this process, the stream itself is captured meanwhile.
        with os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace") as file:
            self._progress.print_to(file, functools.partial(end_line, session.config))
            self._progress.status = self.status
            try:
                return (yield)
            finally:
                self.stop()

    def stop(self) -> None:
        """Say no more of cells."""
        for step in self._running.values():
            self._progress.drop(step)
        self._running.clear()
        self._progress.status = str
        self._progress.print_to(None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, object, object]:
        """Note which cell a worker has come to."""
        with self._progress.paused():
            told = yield
            if ident := self._of(nodeid):
                self._running[ident] = self._progress.begin(f"cell {ident}", quiet=True)
            return told

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(
        self, report: pytest.TestReport
    ) -> Generator[None, object, object]:
        """Tell of a cell once its verdict is there, or it is known that there will be none."""
        with self._progress.paused():
            told = yield
            if (ident := self._of(report.nodeid)) and (result := self._result(ident, report)):
                self._ended(ident, result)
            return told

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, config: pytest.Config
    ) -> Generator[None, TestStatus, TestStatus]:
        """Keep pytest from printing a letter for each test where the display is live."""
        category, letter, word = yield
        if self._progress.live and config.get_verbosity() <= 0:
            return category, "", ""
        return category, letter, word

    def _of(self, nodeid: str) -> str:
        """Return the cell that a test is of, if that has not ended; else nothing."""
        if not self._every:
            self._every = required(self._report)
        ident = parameter(nodeid)
        return ident if ident in self._every and ident not in self.done else ""

    def _result(self, ident: str, report: pytest.TestReport) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError):
            path = self._report / "cells" / f"{ident}.json"
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
        if report.outcome == "passed" and report.when != "teardown":
            return None
        return {"verdict": "unverified", "causes": [], "seconds": 0.0}

    def _ended(self, ident: str, result: dict[str, Any]) -> None:
        self.done[ident] = result
        names = ", ".join(dict.fromkeys(cause["name"] for cause in result["causes"]))
        told = f"cell {len(self.done)}/{len(self._every)} {ident} {result['verdict']}"
        told += f" ({names})" if names and result["verdict"] != "verified" else ""
        told += f" {result['seconds']:.1f} s" if result["seconds"] else ""
        step = self._running.pop(ident, None) or self._progress.begin(f"cell {ident}", quiet=True)
        # On a terminal the display counts it.
        self._progress.end(step, "" if self._progress.live else told)
        step.seconds = result["seconds"] or step.seconds

    # ---- how far it is ----

    def status(self) -> str:
        """Return how many cells ended, how many of them badly, and how long the others will take.

        How long is known from the history of the same cells, for those that it has.
        """
        counts = Counter(result["verdict"] for result in self.done.values())
        parts = [f"{len(self.done)} of {len(self._every)} cells"]
        parts += [f"{n} {word}" for word, n in sorted(counts.items()) if word != "verified"]
        if (left := self.left_seconds() or 0.0) >= 1:  # what takes longer than ever says nothing
            parts.append(f"about {left:.0f} s left")
        return ", ".join(parts)

    def left_seconds(self) -> float | None:
        """Return how long the cells that have not ended will take, or None if nothing tells."""
        if self._past is None:
            self._past = _past()
        here = {ident: float(told["seconds"]) for ident, told in self.done.items()}
        known = self._past | here
        times = [known[ident] for ident in self._every if known.get(ident)]
        if not times:
            return None
        usual = statistics.mean(times)
        left = sum(known.get(ident, usual) for ident in self._every - self.done.keys())
        running = dict(self._progress.running())
        passed = sum(running.get(f"cell {ident}", 0.0) for ident in self._running)
        return max(0.0, left - passed) / self.workers


def end_line(config: pytest.Config) -> None:
    """End the line that pytest is in the middle of, and write it out."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        reporter.ensure_newline()
    writer = config.get_terminal_writer()
    if writer.width_of_current_line:
        writer.line()
    writer.flush()


def _past() -> dict[str, float]:
    try:
        history = history_to_write()
        return history.seconds() if history else {}
    except HistoryError:
        return {}  # that the history cannot be read is told at the end, when it is written
