"""Show which steps run, how far they are and which are slow: live on a terminal, else line by line.

On a terminal, the running steps are below the text and are refreshed every half second. Finished
steps scroll above them. Elsewhere, and in continuous integration, each line has the time (UTC) and
the seconds since the start. If nothing is printed for a long time, a line names the running steps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

HEARTBEAT_SECONDS = 30
"""After so long without a line, one names what still runs."""
_REFRESH_SECONDS = 0.5
_MOST_ROWS = 6
_READER_IS_GONE = (OSError, ValueError)  # no reason to stop the work


@dataclasses.dataclass
class ProgressStep:
    """Something that runs, or ran."""

    title: str
    """What it is; of "image index: building" the part before the colon is its subject."""
    began: float
    detail: str = ""
    """The last line about its subject while it ran."""
    seconds: float = 0.0
    """How long it took, once it has ended."""

    @property
    def subject(self) -> str:
        """The part of its name that lines about it begin with."""
        return self.title.partition(": ")[0]

    @property
    def kind(self) -> str:
        """The first word of its subject: image, wheel, cell."""
        return self.subject.partition(" ")[0]

    def progress(self, now: float) -> str:
        """Return its subject with how long it has been running and its detail."""
        detail = f", {self.detail}" if self.detail else ""
        return f"{self.subject} ({now - self.began:.0f} s{detail})"

    def row(self, now: float) -> str:
        """Return its row in the display."""
        return f"{now - self.began:7.0f} s  {self.title}{' | ' if self.detail else ''}{self.detail}"


class Progress:
    """The steps of a process and their display. All its threads share one."""

    def __init__(
        self,
        file: TextIO | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        refreshes: bool = True,
    ) -> None:
        """``file`` is stderr or stdout unless given; without ``refreshes`` only calls print."""
        self.ended: list[ProgressStep] = []
        """The steps that ended well, in that order."""
        self.status: Callable[[], str] = str
        """The line above the steps that run; also printed with those that still run."""
        self._lock = threading.RLock()
        self._file = file
        self._end_line: Callable[[], None] = lambda: None
        self._environment = environment
        self._clock, self._wall = clock, wall
        self._start = self._printed = clock()
        self._running: list[ProgressStep] = []
        self._expected: dict[str, int] = {}
        self._finished: dict[str, int] = {}
        self._display: Live | None = None
        self._thread: threading.Thread | None = None
        self._refreshes = refreshes

    # ---- steps ----

    def print_line(self, line: str) -> None:
        """Print a line. On a terminal a line about a step that runs is shown next to that step."""
        with self._lock:
            subject, colon, detail = line.partition(": ")
            for step in self._running:
                if colon and step.subject == subject:
                    step.detail = detail
                    if self.live:
                        self._show()
                        return
            self._print(line)

    def begin(self, title: str, *, quiet: bool = False) -> ProgressStep:
        """Begin a step and print that, unless ``quiet``; return what `end` and `drop` take."""
        with self._lock:
            step = ProgressStep(title, self._clock())
            self._running.append(step)
            if not quiet and not self.live:
                most = self._expected.get(step.kind, 0)
                number = self._finished.get(step.kind, 0)
                number += sum(other.kind == step.kind for other in self._running)
                count = f" ({number} of {max(number, most)} {step.kind}s)" if most else ""
                self._print(f"{title} ...{count}")
            self._show()
            if self._refreshes and self._thread is None:
                self._thread = threading.Thread(target=self._refresh, daemon=True)
                self._thread.start()
            return step

    def end(self, step: ProgressStep, line: str | None = None) -> None:
        """End a step that went well. Print how long it took, or ``line`` if that is given."""
        with self._lock:
            step.seconds = self._clock() - step.began
            self._running.remove(step)
            self.ended.append(step)
            done = self._finished[step.kind] = self._finished.get(step.kind, 0) + 1
            if line is None:
                line = f"{step.title}: done in {step.seconds:.1f} s"
                if most := self._expected.get(step.kind):
                    line += f" ({done} of {max(done, most)} {step.kind}s)"
            if line:
                self._print(line)
            self._show()

    def drop(self, step: ProgressStep) -> None:
        """End a step that failed. Whoever ends it prints why."""
        with self._lock:
            self._running.remove(step)
            self._show()

    def expect(self, kind: str, number: int) -> None:
        """Set how many steps of a kind there will be, so that each line says how far it is."""
        with self._lock:
            self._expected[kind] = self._finished.get(kind, 0) + number

    def running(self) -> list[tuple[str, float]]:
        """Return what runs and for how many seconds, what runs longest first."""
        with self._lock:
            now = self._clock()
            return [(step.title, now - step.began) for step in self._running]

    # ---- output ----

    @property
    def file(self) -> TextIO:
        """Where it is printed: stderr unless another is named.

        GitHub's log has both streams in one and keeps the order of the lines of one of them only:
        there it is stdout, which pytest and the workflow commands use.
        """
        if self._file:
            return self._file
        # Asked anew each time: tests replace both.
        return sys.stdout if self._environment.get("GITHUB_ACTIONS") == "true" else sys.stderr

    def print_to(self, file: TextIO | None, end_line: Callable[[], None] = lambda: None) -> None:
        """Print to this file from now on; None is the usual one.

        ``end_line`` is called before anything is printed: whoever else writes to the same terminal
        ends the line that it is in the middle of.
        """
        with self.paused():
            self._file, self._end_line = file, end_line

    @property
    def live(self) -> bool:
        """True if the display is live: on a terminal that is able to, and not in CI."""
        if self._environment.get("CI") or self._environment.get("TERM", "dumb") == "dumb":
            return False
        try:
            return self.file.isatty()
        except ValueError:  # it is closed
            return False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Remove the display while someone else writes to the terminal; other threads wait."""
        with self._lock:
            self._hide()
            yield
            self._show()

    def refresh(self) -> None:
        """Renew the display; without one, print what still runs if nothing was printed for long."""
        with self._lock:
            if self.live:
                self._show()
            elif self._running and self._clock() - self._printed >= HEARTBEAT_SECONDS:
                steps = ", ".join(step.progress(self._clock()) for step in self._running)
                status = self.status()
                self._print(f"{status}{'; ' if status else ''}still running: {steps}")

    def _refresh(self) -> None:
        while True:
            time.sleep(_REFRESH_SECONDS)
            with self._lock:
                if not self._running:
                    self._thread = None
                    return
                self.refresh()

    def _print(self, line: str) -> None:
        time_of_day = time.strftime("%H:%M:%S ", time.gmtime(self._wall()))
        prefix = f"{'' if self.live else time_of_day}[{self._clock() - self._start:6.1f} s]"
        with contextlib.suppress(*_READER_IS_GONE):
            if self._display:
                self._display.console.print(Text(f"{prefix} {line}"), soft_wrap=True)
            else:
                self._end_line()
                self.file.write(f"{prefix} {line}\n")
                self.file.flush()
        self._printed = self._clock()

    def _show(self) -> None:
        if not self._running or not self.live:
            self._hide()
            return
        with contextlib.suppress(*_READER_IS_GONE):
            if self._display is None:
                self._end_line()
                self._display = Live(
                    get_renderable=self._rows,
                    console=_Console(
                        file=self.file, force_terminal=True, _environ=self._environment
                    ),
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._display.start()
            self._display.refresh()

    def _hide(self) -> None:
        display, self._display = self._display, None
        if display:
            with contextlib.suppress(*_READER_IS_GONE):
                display.stop()

    def _rows(self) -> Group:
        now = self._clock()
        rows = [step.row(now) for step in self._running[:_MOST_ROWS]]
        counts = [
            f"{self._finished.get(kind, 0)} of {most} {kind}s"
            for kind, most in self._expected.items()
            if any(step.kind == kind for step in self._running)
        ]
        if (more := len(self._running) - _MOST_ROWS) > 0:
            counts.append(f"and {more} more run")
        if status := self.status() or ", ".join(counts):
            rows.insert(0, status)
        # The last row is empty: tox passes on whole lines only.
        return Group(*(Text(row, no_wrap=True, overflow="ellipsis") for row in rows), "")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Print no more, where rich would end the program."""
        self.quiet = True


PROGRESS = Progress()
"""That of this process."""


def print_line(line: str) -> None:
    """Print one line."""
    PROGRESS.print_line(line)


@contextlib.contextmanager
def step(line: str) -> Iterator[None]:
    """Print that a step begins and, when it ends without an error, how many seconds it took."""
    begun = PROGRESS.begin(line)
    try:
        yield
    except BaseException:
        PROGRESS.drop(begun)
        raise
    PROGRESS.end(begun)


@contextlib.contextmanager
def group(title: str) -> Iterator[None]:
    """Fold the lines up to the end, where the log is GitHub's ("Workflow commands", groups)."""
    if PROGRESS.live or os.environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    PROGRESS.file.write(f"::group::{title}\n")
    try:
        yield
    finally:
        PROGRESS.file.write("::endgroup::\n")
        PROGRESS.file.flush()


def slowest(timed: list[tuple[str, float]], limit: int = 5) -> str:
    """Return in one line what took longest, of what took a second or more; empty if nothing did."""
    longest = sorted(timed, key=lambda step: -step[1])[:limit]
    return ", ".join(f"{what} {seconds:.1f} s" for what, seconds in longest if seconds >= 1)
