"""How a command ends: its exit code, one line for an error, and the launcher's confirmation.

The module needs only the standard library: a damaged environment ends in one line as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Never

from verification.models.errors import ExitCode
from verification.session import crash

CONFIRM = "QUIVERDB_E2E_CONFIRM"
"""The variable that names the launcher's pipe for the exit code: file descriptor and inode."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that sets the signal for the death of the parent."""
CRASH_ADVICE = "Run it again. If it fails again, `./e2e clean` removes all that is cached"


def exit_code_of(command: Callable[[], int], *, deferred: bool = False) -> int:
    """Run a command and return its exit code; an error that ends it becomes one line.

    With `deferred`, signals wait until the command calls `accept_signals`.
    """
    try:
        with interruptible(deferred=deferred):
            return command()
    except KeyboardInterrupt:
        print_error("interrupted; everything that was started is removed")
        return ExitCode.UNVERIFIED
    except Exception as error:  # noqa: BLE001  (Python itself would end with 1)
        code = getattr(error, "exit_code", None)
        if code is None:
            print_error(f"the suite failed, not the package: {crash.line(error)}. {CRASH_ADVICE}")
            return ExitCode.TESTBED_FAILED
        print_error(" ".join(str(error).split()))
        return int(code)


def print_error(line: str) -> None:
    """Print the line that ends a command."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"e2e: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interruptible(*, deferred: bool = False) -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT, SIGTERM or SIGHUP; later ones are ignored.

    The launcher starts a command with these signals blocked, so that none is lost.
    """
    # A background job of a shell starts with SIGINT ignored: this sets a handler for it too.
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK if deferred else signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if deferred:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def accept_signals() -> None:
    """Unblock the signals: the first one, also one that waits, raises KeyboardInterrupt."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore_signals() -> None:
    """Ignore signals while the report is written and the testbed is removed, which take seconds."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    ignore_signals()
    raise KeyboardInterrupt


def confirmation() -> Callable[[int], None]:
    """Return the function that confirms an exit code to the launcher, if it started this process.

    The launcher accepts an exit code as a verdict only if it is confirmed: a crash of Python ends
    with 1 as well. Processes that this one starts do not inherit the file descriptor.
    """
    descriptor = _launchers_pipe()
    if descriptor is None:
        return lambda _code: None
    os.set_inheritable(descriptor, False)
    _end_with_launcher()

    def confirm(code: int) -> None:
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{code}\n".encode())

    return confirm


def _launchers_pipe() -> int | None:
    """Return the file descriptor that the launcher names, if the launcher's pipe is open there.

    Other processes inherit the variable. In them the descriptor is another file, or is not open.
    """
    number, _, inode = os.environ.get(CONFIRM, "").partition(":")
    try:
        return int(number) if os.fstat(int(number)).st_ino == int(inode) else None
    except (OSError, ValueError):
        return None


def _end_with_launcher() -> None:
    """Interrupt this process if its launcher is killed: nothing waits for the run then."""
    with contextlib.suppress(AttributeError, OSError):  # only Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
