"""Show the running steps and their durations: live on a terminal, otherwise line by line.

On a terminal, the running steps are below the text and are refreshed every half second. Finished
steps scroll above them. In a file and in continuous integration, each step has one line at its end,
with the time (UTC) and the seconds since the start. If nothing is printed for a long time, a line
names the running steps. The remaining time is estimated from typical_seconds.toml.

A step of this module is an activity of the suite, such as the build of an image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from verification.models import printable

HEARTBEAT_SECONDS = 30
"""If nothing is printed for this time, a line names the running steps."""
_REFRESH_SECONDS = 0.5
_MAX_ROWS = 6
_MIN_WIDTH = 20
_STEPS_AT_ONCE = 2
"""The number of steps that run at once on average, on the host of the typical seconds."""
_WORDS = {
    "image": "building {} image{}",
    "wheel": "building {} wheel{}",
    "workflow": "running the release workflow",
}
"""What the steps of a kind do, for `Progress.print_estimate`."""
_READER_IS_GONE = (OSError, ValueError)  # the errors of a closed output; the run continues


def _kind(subject: str) -> str:
    return subject.partition(" ")[0]


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
        """The first word of its subject: image, wheel, cell."""
        return _kind(self.subject)

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
        """Without ``file``, print to stdout. Without ``refreshes``, start no thread."""
        self.ended: list[ProgressStep] = []
        """The steps that succeeded, in the order of their ends."""
        self.status: Callable[[], str] = self.summary
        """Returns the line above the running steps. The heartbeat line begins with it."""
        self.later_work: Callable[[], tuple[float, str]] = lambda: (0.0, "")
        """Returns the seconds and the name of the work after the expected steps."""
        self.verbose = False
        """True if lines about a running step are printed."""
        self._lock = threading.RLock()
        self._file = file
        self._end_line: Callable[[], None] = lambda: None
        self._environment = environment
        self._clock, self._wall = clock, wall
        self._start = self._printed = clock()
        self._running: list[ProgressStep] = []
        self._expected: dict[str, int] = {}
        self._expected_seconds: dict[str, float] = {}  # by subject
        self._finished: dict[str, int] = {}
        self._display: Live | None = None
        self._thread: threading.Thread | None = None
        self._refreshes = refreshes

    # ---- steps ----

    def print_line(self, line: str) -> None:
        """Print a line.

        A line that begins with the subject of a running step and a colon, such as "image index: ",
        is the detail of this step. It is printed only if `verbose`.
        """
        with self._lock:
            subject, colon, detail = line.partition(": ")
            for step in self._running:
                if colon and step.subject == subject:
                    step.detail = detail
                    self._show()
                    if self.live or not self.verbose:
                        return
            self._print(line)

    def begin(self, title: str) -> ProgressStep:
        """Begin a step. Return it for `end` or `fail`."""
        with self._lock:
            step = ProgressStep(title, self._clock())
            self._running.append(step)
            self._start_refreshing()
            return step

    def _start_refreshing(self) -> None:
        self._show()
        if self._refreshes and self._thread is None:
            self._thread = threading.Thread(target=self._refresh, daemon=True)
            self._thread.start()

    def end(self, step: ProgressStep, line: str | None = None) -> None:
        """End a step that succeeded. Print ``line`` or, by default, the duration of the step."""
        with self._lock:
            step.seconds = self._clock() - step.started_at
            self._remove(step)
            self.ended.append(step)
            finished = self._finished[step.kind] = self._finished.get(step.kind, 0) + 1
            if line is None:
                line = f"{step.title}: done in {step.seconds:.1f} s"
                if (expected := self._expected.get(step.kind, 0)) > 1:
                    line += f" ({finished} of {max(finished, expected)} {step.kind}s)"
            if line:
                self._print(line)
            self._show()

    def fail(self, step: ProgressStep) -> None:
        """End a step that failed. The caller prints the reason."""
        with self._lock:
            self._remove(step)
            self._show()

    def _remove(self, step: ProgressStep) -> None:
        self._running.remove(step)
        for key in (step.subject, step.kind):
            self._expected_seconds.pop(key, None)

    def expect(self, kind: str, names: Iterable[str]) -> None:
        """Set which steps of a kind will follow: those with the subject "kind name".

        An empty name stands for one step of the kind with any name.
        """
        with self._lock:
            subjects = [f"{kind} {name}".strip() for name in names]
            kept = {
                key: value for key, value in self._expected_seconds.items() if _kind(key) != kind
            }
            self._expected_seconds = kept | {
                subject: typical_seconds(subject) for subject in subjects
            }
            self._expected[kind] = self._finished.get(kind, 0) + len(subjects)

    def seconds_left(self) -> float:
        """Return the estimated seconds until the end of the expected steps and what follows.

        A step takes its typical seconds on a host as fast as this one. A step that runs longer is
        expected to take another tenth of its time, so that the estimate never stands still.
        """
        with self._lock:
            now = self._clock()
            running = {
                key: now - step.started_at
                for step in self._running
                for key in (step.subject, step.kind)
            }
            elapsed = {subject: running.get(subject, 0.0) for subject in self._expected_seconds}
            late = [
                (elapsed[subject], seconds)
                for subject, seconds in self._expected_seconds.items()
                if elapsed[subject] > seconds
            ]
            ended = [(step.seconds, typical_seconds(step.subject)) for step in self.ended]
            measured = [(seconds, typical) for seconds, typical in (*ended, *late) if typical]
            total = sum(typical for _, typical in measured)
            pace = max(1.0, sum(seconds for seconds, _ in measured) / total) if total else 1.0
            left = [
                max(seconds * pace - elapsed[subject], elapsed[subject] / 10)
                for subject, seconds in self._expected_seconds.items()
            ]
        return max(sum(left) / _STEPS_AT_ONCE, *left, 0.0) + self.later_work()[0]

    def print_estimate(self) -> None:
        """Print how long the expected steps and what follows take, and what they are."""
        with self._lock:
            kinds = list(map(_kind, self._expected_seconds))
        parts = [
            words.format(number, "s" if number > 1 else "")
            for kind, words in _WORDS.items()
            if (number := kinds.count(kind))
        ]
        parts += filter(None, [self.later_work()[1]])
        if parts:
            self.print_line(f"about {duration(self.seconds_left())}: {', '.join(parts)}")
            with self._lock:
                self._start_refreshing()

    def forget_expected(self) -> None:
        """Forget the expected steps that did not run, such as the build of a cached wheel."""
        with self._lock:
            self._expected_seconds.clear()
            self._show()

    def summary(self) -> str:
        """Return the remaining time, and how many of the expected steps have finished."""
        with self._lock:
            parts = [
                f"{self._finished.get(kind, 0)} of {expected} {kind}s"
                for kind, expected in self._expected.items()
                if expected > 1 and any(step.kind == kind for step in self._running)
            ]
        if self._expected_seconds or parts:
            parts.insert(0, f"about {duration(self.seconds_left())} left")
        return ", ".join(parts)

    def running(self) -> list[tuple[str, float]]:
        """Return the title and the duration (seconds) of each running step, the longest first."""
        with self._lock:
            now = self._clock()
            return [(step.title, now - step.started_at) for step in self._running]

    # ---- output ----

    @property
    def file(self) -> TextIO:
        """The output: the file of `print_to`, otherwise stdout. stderr is for errors."""
        return self._file or sys.stdout  # not cached, because tests replace the stream

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
            elif self._is_busy and self._clock() - self._printed >= HEARTBEAT_SECONDS:
                steps = ", ".join(step.progress(self._clock()) for step in self._running)
                running = f"still running: {steps}" if steps else "waiting for another run"
                self._print("; ".join(filter(None, (self.status(), running))))

    @property
    def _is_busy(self) -> bool:
        """True if steps run, or if expected steps have not begun."""
        return bool(self._running or self._expected_seconds)

    def _refresh(self) -> None:
        while True:
            time.sleep(_REFRESH_SECONDS)
            with self._lock:
                if not self._is_busy:
                    self._thread = None
                    return
                self.refresh()

    def _print(self, line: str) -> None:
        time_of_day = time.strftime("%H:%M:%S ", time.gmtime(self._wall()))
        prefix = f"{'' if self.live else time_of_day}[{self._clock() - self._start:6.1f} s]"
        with contextlib.suppress(*_READER_IS_GONE):
            if self._display:
                self._display.console.print(Text(f"{prefix} {printable.text(line)}"))
            else:
                self._end_line()
                self.file.write(self._wrapped(f"{prefix} {line}") + "\n")
                self.file.flush()
        self._printed = self._clock()

    def _wrapped(self, line: str) -> str:
        """Return a line with the width of COLUMNS, or unchanged if the variable is not set."""
        columns = self._environment.get("COLUMNS", "")
        if not columns.isdecimal() or int(columns) < _MIN_WIDTH:
            return line
        return textwrap.fill(
            line,
            int(columns),
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _show(self) -> None:
        if not self._is_busy or not self.live:
            self._hide()
            return
        with contextlib.suppress(*_READER_IS_GONE):
            if self._display is None:
                self._end_line()
                self._display = Live(
                    get_renderable=self._rows,
                    console=_Console(
                        file=printable.trusted(self.file),
                        force_terminal=True,
                        _environ=self._environment,
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
        hidden = len(self._running) - _MAX_ROWS
        status = [self.status(), f"{hidden} more running" if hidden > 0 else ""]
        if header := ", ".join(filter(None, status)):
            rows.insert(0, header)
        # The last row is empty, because tox only forwards complete lines.
        return Group(
            *(Text(printable.text(row), no_wrap=True, overflow="ellipsis") for row in rows), ""
        )


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
    output = printable.trusted(PROGRESS.file)
    output.write(f"::group::{title}\n")
    try:
        yield
    finally:
        output.write("::endgroup::\n")
        output.flush()


@functools.cache
def _typical() -> Mapping[str, Mapping[str, float]]:
    text = Path(__file__).with_name("typical_seconds.toml").read_text("utf-8")
    return tomllib.loads(text)


def typical_seconds(subject: str) -> float:
    """Return the typical seconds of a step, such as "image index", from typical_seconds.toml."""
    kind, _, name = subject.partition(" ")
    by_name = _typical().get(kind, {})
    return float(by_name.get(name, by_name.get("default", 0.0)))


def duration(seconds: float) -> str:
    """Return a time for people: seconds up to 90, else minutes, rounded."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def slowest(timed: list[tuple[str, float]], limit: int = 5) -> str:
    """Return the longest steps (title, seconds) as one line. Steps of less than 1 s are omitted."""
    longest = sorted(timed, key=lambda step: -step[1])[:limit]
    return ", ".join(f"{title} {seconds:.1f} s" for title, seconds in longest if seconds >= 1)
