"""Read untrusted files in a child process with limits, so that they cannot end the run.

A child of `fork` needs no imports. It gets one path after the other, and answers with JSON.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeVar

import pydantic

from verification.models.base import Model, parse_json
from verification.models.cause import FactValue
from verification.parent import die_with_parent
from verification.wheel.errors import BadWheel, WheelTooLarge

_MAX_ANSWER = 512 << 20
"""The maximum size of one answer in bytes."""
_ROOT = Path(__file__).parents[2]
_Result = TypeVar("_Result", bound=Model)


class ReadLimits(NamedTuple):
    """What a child process may use."""

    memory: int = 2 << 30
    """The bytes of memory that the child may add to that of its parent."""
    processor_seconds: int = 300
    """The processor time for one file, without the time for its size."""

    def seconds(self, path: Path) -> int:
        """Return the processor time for a file: 1 s more for each megabyte."""
        size = path.stat().st_size if path.is_file() else 0
        return self.processor_seconds + size // 1_000_000

    def wall_seconds(self, path: Path) -> int:
        """Return the time for a file on a host that other processes use too."""
        return 10 * self.seconds(path)


class InspectionFailed(Exception):
    """A reader crashed, or met a limit. This says nothing about the file."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class _Answer(Model):
    """What the child sends for one path. Exactly one field has a value."""

    value: pydantic.JsonValue = None
    error: str = ""
    """The message of an error that the caller expects."""
    kind: int = -1
    """The number of this error in the errors that the caller expects."""
    facts: Mapping[str, FactValue] = pydantic.Field(default_factory=dict)
    """The facts of a wheel that is too large."""
    crash: str = ""
    """An error that nobody expects, in one line."""


def read(
    function: Callable[[Path], _Result],
    paths: Sequence[Path],
    result: type[_Result],
    *,
    expected: tuple[type[ValueError], ...] = (BadWheel,),
    limits: ReadLimits | None = None,
) -> Iterator[_Result]:
    """Yield the result of ``function`` for each path. One child process reads all of them.

    Raises:
        InspectionFailed: the child crashed, raised an error that is not ``expected``, or met a
            limit.
        WheelTooLarge: the function raised it.
        ValueError: an error of ``expected`` that the function raised.
    """
    if not paths:
        return
    limits = limits or ReadLimits()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve, args=(sender, function, paths, expected, limits), daemon=True
    )
    with receiver, warnings.catch_warnings():
        # The child of a process with threads uses nothing that another thread can lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
        sender.close()
        try:
            for path in paths:
                answer = _receive(receiver, process, path, limits)
                if answer.error:
                    raise _error(path.name, answer, expected)
                if answer.crash:
                    raise InspectionFailed(path.name, answer.crash)
                yield result.model_validate(answer.value)
        finally:
            process.kill()
            process.join()


def _receive(
    receiver: Connection,
    process: multiprocessing.process.BaseProcess,
    path: Path,
    limits: ReadLimits,
) -> _Answer:
    try:
        if not receiver.poll(limits.wall_seconds(path)):
            reason = f"its inspection took longer than {limits.wall_seconds(path)} s"
            raise InspectionFailed(path.name, reason)
        return parse_json(_Answer, receiver.recv_bytes(_MAX_ANSWER), path.name)
    except EOFError:
        process.join()
        reason = _exit_reason(process.exitcode or 0, limits.seconds(path))
        raise InspectionFailed(path.name, reason) from None
    except OSError as error:
        raise InspectionFailed(path.name, f"its inspection has no result: {error}") from None


def _exit_reason(code: int, seconds: int) -> str:
    if code == -signal.SIGXCPU:
        return f"its inspection used more than {seconds} s of processor time"
    if code < 0:
        return f"its inspection ended with {signal.Signals(-code).name}"
    return f"its inspection ended with exit code {code}"


def _error(file: str, answer: _Answer, expected: tuple[type[ValueError], ...]) -> ValueError:
    if answer.facts:
        return WheelTooLarge(file, answer.error, answer.facts)
    return expected[answer.kind](answer.error)


# ---- the child ----


def _serve(
    sender: Connection,
    function: Callable[[Path], Model],
    paths: Sequence[Path],
    expected: tuple[type[ValueError], ...],
    limits: ReadLimits,
) -> None:
    """Send an answer for each path."""
    _restrict(limits)
    for path in paths:
        _limit_processor_time(limits.seconds(path))
        answer = _answer(function, path, expected, limits)
        sender.send_bytes(answer.model_dump_json().encode())


def _answer(
    function: Callable[[Path], Model],
    path: Path,
    expected: tuple[type[ValueError], ...],
    limits: ReadLimits,
) -> _Answer:
    try:
        return _Answer(value=function(path).model_dump(mode="json"))
    except WheelTooLarge as error:
        return _Answer(error=str(error), facts=error.facts)
    except expected as error:
        kind = next(number for number, kind in enumerate(expected) if isinstance(error, kind))
        return _Answer(error=str(error), kind=kind)
    except MemoryError:
        return _Answer(crash=f"its inspection needs more than {limits.memory >> 20} MiB of memory")
    except Exception as error:  # noqa: BLE001  (a reader can raise anything for a hostile file)
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(_ROOT)]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
        text = " ".join(str(error).split())[:200]
        return _Answer(crash=f"its inspection raised {type(error).__name__}: {text} ({where})")


def _restrict(limits: ReadLimits) -> None:
    """Limit what this process may use, and end it with its parent."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Unlike RLIMIT_AS, this limit does not count the files that are mapped to be read.
    data_pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
    memory = data_pages * os.sysconf("SC_PAGE_SIZE") + limits.memory
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _limit_processor_time(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))
