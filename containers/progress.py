"""Show the running steps and their durations: live on a terminal, otherwise line by line.

On a terminal, the running steps are below the text and are refreshed every half second. Finished
steps scroll above them. In a file and in continuous integration, each line has the time (UTC) and
the seconds since the start. If nothing is printed for a long time, a line names the running steps.

A step of this module is an activity of the suite, such as the build of an image.
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
"""If nothing is printed for this time, a line names the running steps."""
_REFRESH_SECONDS = 0.5
_MAX_ROWS = 6
_READER_IS_GONE = (OSError, ValueError)  # the errors of a closed output; the run continues


@dataclasses.dataclass
class ProgressStep:
    """A running or finished step."""

    title: str
    """For example "image index: building". The part before the colon is `subject`."""
    started_at: float
    """The time of its start, by the clock of `Progress`."""
    detail: str = ""
    """The last line about this step, without `subject`."""
    seconds: float = 0.0
    """Its duration, when it has finished."""

    @property
    def subject(self) -> str:
        """What the step is about, such as "image index". Lines about the step begin with it."""
        return self.title.partition(": ")[0]

    @property
    def kind(self) -> str:
        """The first word of `subject`: image, wheel, cell."""
        return self.subject.partition(" ")[0]

    def progress(self, now: float) -> str:
        """Return `subject`, the duration until ``now`` and `detail` as one line."""
        detail = f", {self.detail}" if self.detail else ""
        return f"{self.subject} ({now - self.started_at:.0f} s{detail})"

    def row(self, now: float) -> str:
        """Return its row in the live display."""
        detail = f" | {self.detail}" if self.detail else ""
        return f"{now - self.started_at:7.0f} s  {self.title}{detail}"


class Progress:
    """The steps of a process and their display. All threads of the process share it."""

    def __init__(
        self,
        file: TextIO | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        refreshes: bool = True,
    ) -> None:
        """Without ``file``, print to stderr or stdout. Without ``refreshes``, start no thread."""
        self.ended: list[ProgressStep] = []
        """The steps that succeeded, in the order of their ends."""
        self.status: Callable[[], str] = str
        """Returns the line above the running steps. The heartbeat line begins with it."""
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
        """Print a line.

        On a terminal, a line that begins with the subject of a running step and a colon, such as
        "image index: ", is shown next to that step instead.
        """
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
        """Begin a step and print its title, unless ``quiet``. Return it for `end` or `fail`."""
        with self._lock:
            step = ProgressStep(title, self._clock())
            self._running.append(step)
            if not quiet and not self.live:
                expected = self._expected.get(step.kind, 0)
                number = self._finished.get(step.kind, 0)
                number += sum(running.kind == step.kind for running in self._running)
                count = f" ({number} of {max(number, expected)} {step.kind}s)" if expected else ""
                self._print(f"{title} ...{count}")
            self._show()
            if self._refreshes and self._thread is None:
                self._thread = threading.Thread(target=self._refresh, daemon=True)
                self._thread.start()
            return step

    def end(self, step: ProgressStep, line: str | None = None) -> None:
        """End a step that succeeded. Print ``line`` or, by default, the duration of the step."""
        with self._lock:
            step.seconds = self._clock() - step.started_at
            self._running.remove(step)
            self.ended.append(step)
            finished = self._finished[step.kind] = self._finished.get(step.kind, 0) + 1
            if line is None:
                line = f"{step.title}: done in {step.seconds:.1f} s"
                if expected := self._expected.get(step.kind):
                    line += f" ({finished} of {max(finished, expected)} {step.kind}s)"
            if line:
                self._print(line)
            self._show()

    def fail(self, step: ProgressStep) -> None:
        """End a step that failed. The caller prints the reason."""
        with self._lock:
            self._running.remove(step)
            self._show()

    def expect(self, kind: str, number: int) -> None:
        """Set how many steps of a kind will follow. Their lines then show the progress."""
        with self._lock:
            self._expected[kind] = self._finished.get(kind, 0) + number

    def running(self) -> list[tuple[str, float]]:
        """Return the title and the duration (seconds) of each running step, the longest first."""
        with self._lock:
            now = self._clock()
            return [(step.title, now - step.started_at) for step in self._running]

    # ---- output ----

    @property
    def file(self) -> TextIO:
        """The output: the file of `print_to`, stdout on GitHub, otherwise stderr.

        GitHub merges both streams into one log, but keeps the order only within one stream. pytest
        and the workflow commands use stdout.
        """
        if self._file:
            return self._file
        # Not cached, because tests replace both streams.
        return sys.stdout if self._environment.get("GITHUB_ACTIONS") == "true" else sys.stderr

    def print_to(self, file: TextIO | None, end_line: Callable[[], None] = lambda: None) -> None:
        """Print to this file from now on. None selects the default output.

        ``end_line`` is called before each output. It ends the incomplete line of another program
        that writes to the same terminal.
        """
        with self.paused():
            self._file, self._end_line = file, end_line

    @property
    def live(self) -> bool:
        """True if the display is live: on a terminal with cursor movement, and not in CI."""
        if self._environment.get("CI") or self._environment.get("TERM", "dumb") == "dumb":
            return False
        try:
            return self.file.isatty()
        except ValueError:  # the file is closed
            return False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Remove the display while another program writes to the terminal. Other threads wait."""
        with self._lock:
            self._hide()
            yield
            self._show()

    def refresh(self) -> None:
        """Refresh the display. Without a display, print the heartbeat line when it is due."""
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
        rows = [step.row(now) for step in self._running[:_MAX_ROWS]]
        counts = [
            f"{self._finished.get(kind, 0)} of {expected} {kind}s"
            for kind, expected in self._expected.items()
            if any(step.kind == kind for step in self._running)
        ]
        if (hidden := len(self._running) - _MAX_ROWS) > 0:
            counts.append(f"{hidden} more running")
        if status := self.status() or ", ".join(counts):
            rows.insert(0, status)
        # The last row is empty, because tox only forwards complete lines.
        return Group(*(Text(row, no_wrap=True, overflow="ellipsis") for row in rows), "")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Stop printing. By default rich would end the program."""
        self.quiet = True


PROGRESS = Progress()
"""The progress of this process."""


def print_line(line: str) -> None:
    """Print one line."""
    PROGRESS.print_line(line)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step and, if it succeeds, its duration."""
    running_step = PROGRESS.begin(title)
    try:
        yield
    except BaseException:
        PROGRESS.fail(running_step)
        raise
    PROGRESS.end(running_step)


@contextlib.contextmanager
def group(title: str) -> Iterator[None]:
    """Fold the lines of the block in the log of GitHub ("Workflow commands", groups)."""
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
    """Return the longest steps (title, seconds) as one line. Steps of less than 1 s are omitted."""
    longest = sorted(timed, key=lambda step: -step[1])[:limit]
    return ", ".join(f"{title} {seconds:.1f} s" for title, seconds in longest if seconds >= 1)
