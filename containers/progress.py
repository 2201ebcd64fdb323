"""What is happening, how far it is and what is slow: on a terminal in place, else line by line.

On a terminal the steps that run are shown below the text, renewed every half second, and what
ended scrolls by above them. Elsewhere, and in continuous integration, each line has the time (UTC)
and the seconds since the start, and nothing is silent for long: a line names what still runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

BEAT_SECONDS = 30
"""After so long without a line, one says what still runs."""
_REFRESH_SECONDS = 0.5
_MOST_ROWS = 6
# Control sequences of ECMA-48 and of the VT100, which every terminal of today knows.
_ERASE_BELOW = "\x1b[J"
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_DOWN, _UP = "\x1bD", "\x1bM"  # by a line in the same column; at the edge the screen scrolls


class Stream(Protocol):
    """Where it is told: a text file, or what behaves like one."""

    def write(self, text: str, /) -> object:
        """Write."""

    def flush(self) -> object:
        """Write it out now."""

    def isatty(self) -> bool:
        """Return whether it is a terminal."""

    def fileno(self) -> int:
        """Return its number."""


@dataclasses.dataclass
class Step:
    """Something that runs, or ran."""

    what: str
    """What it is; of "image index: building" the part before the colon is its subject."""
    began: float
    detail: str = ""
    """The last thing that was said of its subject while it ran."""
    seconds: float = 0.0
    """How long it took, once it has ended."""

    @property
    def subject(self) -> str:
        """The part of its name that lines about it begin with."""
        return self.what.partition(": ")[0]

    @property
    def kind(self) -> str:
        """The first word of its subject: image, wheel, cell."""
        return self.subject.partition(" ")[0]


class Progress:
    """What runs, and how it is told. All threads of a process share one."""

    def __init__(
        self,
        stream: Stream | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        ticks: bool = True,
    ) -> None:
        """``stream`` is found out unless given; without ``ticks`` nothing is told by itself."""
        self.ended: list[Step] = []
        """The steps that ended well, in that order."""
        self.status: Callable[[], str] = str
        """What is shown above the steps that run, and told with those that still run."""
        self.lock = threading.RLock()
        """Whoever else writes to the terminal holds it meanwhile, and calls `erase` before."""
        self._stream = stream
        self._environment = environment
        self._clock, self._wall = clock, wall
        self._start = clock()
        self._spoke = clock()
        self._running: list[Step] = []
        self._expected: dict[str, int] = {}
        self._finished: dict[str, int] = {}
        self._shown = False
        self._ticks = ticks
        self._ticker: threading.Thread | None = None

    # ---- what happens ----

    def say(self, line: str) -> None:
        """Tell one line. On a terminal a line on a step that runs is shown behind that step."""
        with self.lock:
            subject, colon, detail = line.partition(": ")
            for step in self._running:
                if colon and step.subject == subject:
                    step.detail = detail
                    if self.live:
                        self._draw()
                        return
            self._print(line)

    def begin(self, what: str, *, quiet: bool = False) -> Step:
        """Say that a step begins; return what `end` and `drop` take."""
        with self.lock:
            step = Step(what, self._clock())
            self._running.append(step)
            if not quiet and not self.live:
                self._print(f"{what} ...{self._place(step.kind)}")
            self._draw()
            self._tick_from_now_on()
            return step

    def end(self, step: Step, told: str | None = None) -> None:
        """Say that a step ended well, and how long it took; ``told`` is said instead if given."""
        with self.lock:
            step.seconds = self._clock() - step.began
            self._running.remove(step)
            self.ended.append(step)
            done = self._finished[step.kind] = self._finished.get(step.kind, 0) + 1
            if told is None:
                told = f"{step.what}: done in {step.seconds:.1f} s"
                if most := self._expected.get(step.kind):
                    told += f" ({done} of {max(done, most)} {step.kind}s)"
            if told:
                self._print(told)
            self._draw()

    def drop(self, step: Step) -> None:
        """Forget a step that did not end well: whoever ends it says why."""
        with self.lock:
            self._running.remove(step)
            self._draw()

    def expect(self, kind: str, number: int) -> None:
        """Say how many steps of a kind there will be, so that each can say how far it is."""
        with self.lock:
            self._expected[kind] = self._finished.get(kind, 0) + number

    def running(self) -> list[tuple[str, float]]:
        """Return what runs and for how many seconds, what runs longest first."""
        with self.lock:
            now = self._clock()
            return [(step.what, now - step.began) for step in self._running]

    def _place(self, kind: str) -> str:
        most = self._expected.get(kind)
        begun = self._finished.get(kind, 0) + sum(step.kind == kind for step in self._running)
        return f" ({begun} of {max(begun, most)} {kind}s)" if most else ""

    # ---- how it is told ----

    @property
    def stream(self) -> Stream:
        """Where it is told: stderr unless another is named.

        GitHub's log has both streams in one, and only of the lines of one of them it keeps the
        order: there it is stdout, on which pytest and the workflow commands are.
        """
        if self._stream:
            return self._stream
        # Asked anew each time: tests put others in their place.
        return sys.stdout if self._environment.get("GITHUB_ACTIONS") == "true" else sys.stderr

    def tell_on(self, stream: Stream | None) -> None:
        """Tell on this stream from now on; None is the usual one."""
        with self.lock:
            self.erase()
            self._stream = stream

    @property
    def live(self) -> bool:
        """Whether it is told in place: on a terminal that can, and not in CI."""
        if self._environment.get("CI") or self._environment.get("TERM", "dumb") == "dumb":
            return False
        try:
            return self.stream.isatty()
        except ValueError:  # it is closed
            return False

    def erase(self) -> None:
        """Remove what is shown below the text."""
        with self.lock:
            if self._shown:
                self._write(f"{_RESTORE}{_ERASE_BELOW}")
                self._shown = False

    def tick(self) -> None:
        """Do what is due now: renew what is shown, or say what still runs."""
        with self.lock:
            if self.live:
                self._draw()
            elif self._running and self._clock() - self._spoke >= BEAT_SECONDS:
                self._print(self._beat())

    def _beat(self) -> str:
        now = self._clock()
        steps = [
            f"{step.subject} ({now - step.began:.0f} s{', ' if step.detail else ''}{step.detail})"
            for step in self._running
        ]
        status = self.status()
        return f"{status}{'; ' if status else ''}still running: {', '.join(steps)}"

    def _print(self, line: str) -> None:
        seconds = f"[{self._clock() - self._start:6.1f} s]"
        if self.live:
            self.erase()
            self._write(f"{seconds} {line}\n")
            self._draw()
        else:
            now = time.strftime("%H:%M:%S", time.gmtime(self._wall()))
            self._write(f"{now} {seconds} {line}\n")
        self._spoke = self._clock()

    def _draw(self) -> None:
        if not self.live:
            return
        self.erase()
        if not (rows := self._rows()):
            return
        width = self._width()
        shown = "".join(f"{row[: width - 1]}\r\n" for row in rows)
        # Room is made first: were the screen to scroll later, the saved place would be a line off.
        room = (_DOWN + _DOWN * len(rows)) + (_UP + _UP * len(rows))
        # It ends with a line's end, since tox hands on whole lines only.
        self._write(f"{room}{_SAVE}\r\n{shown}")
        self._shown = True

    def _rows(self) -> list[str]:
        now = self._clock()
        rows = [
            f"{now - step.began:7.0f} s  {step.what}{' | ' if step.detail else ''}{step.detail}"
            for step in self._running[:_MOST_ROWS]
        ]
        told = [
            f"{self._finished.get(kind, 0)} of {most} {kind}s"
            for kind, most in self._expected.items()
            if any(step.kind == kind for step in self._running)
        ]
        if more := len(self._running) - _MOST_ROWS:
            told += [f"and {more} more run"] if more > 0 else []
        status = self.status() or ", ".join(told)
        return [status, *rows] if status and rows else rows

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        # Whoever reads it may have gone, which is no reason to stop the work.
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()

    def _tick_from_now_on(self) -> None:
        if self._ticks and self._ticker is None:
            self._ticker = threading.Thread(target=self._ticking, daemon=True, name="progress")
            self._ticker.start()

    def _ticking(self) -> None:
        while True:
            time.sleep(_REFRESH_SECONDS)
            with self.lock:
                if not self._running:
                    self._ticker = None
                    return
                self.tick()


PROGRESS = Progress()
"""That of this process."""


def say(line: str) -> None:
    """Tell one line."""
    PROGRESS.say(line)


@contextlib.contextmanager
def step(line: str) -> Iterator[None]:
    """Say that a step began and, when it ended without an error, how many seconds it took."""
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
    PROGRESS.stream.write(f"::group::{title}\n")
    try:
        yield
    finally:
        PROGRESS.stream.write("::endgroup::\n")
        PROGRESS.stream.flush()


def slowest(timed: list[tuple[str, float]], most: int = 5) -> str:
    """Return in one line what took longest, of what took a second or more; empty if nothing did."""
    found = sorted(timed, key=lambda one: -one[1])[:most]
    return ", ".join(f"{what} {seconds:.1f} s" for what, seconds in found if seconds >= 1)
