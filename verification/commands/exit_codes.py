"""The end of a command: its exit code, one line for an error, and the confirmation to the launcher.

The module needs only the standard library, so that a damaged environment also gives one line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Never

from verification.models.errors import ExitCode
from verification.session import crash

CONFIRM = "QUIVERDB_E2E_CONFIRM"
"""The environment variable with the file descriptor and the inode of the launcher's pipe."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPT = threading.Event()
"""Set by the first signal, because the KeyboardInterrupt of a signal can be lost.

A clean-up that fails replaces it by its own error, and Python drops it in a destructor.
"""
CRASH_ADVICE = "Run it again. If it fails again, remove the cache with `./e2e clean`"


def exit_code_of(command: Callable[[], int], *, deferred: bool = False) -> int:
    """Run a command and return its exit code. For an error, print one line.

    With `deferred`, signals stay blocked until the command calls `accept_signals`.
    """
    code = None
    try:
        with interruptible(deferred=deferred):
            code = command()
            if not is_interrupted():
                return code
    except KeyboardInterrupt:
        pass
    except Exception as error:  # noqa: BLE001  (else Python would end with 1)
        code = getattr(error, "exit_code", None)
        if code is None:
            print_error(f"the suite failed, not the package: {crash.line(error)}. {CRASH_ADVICE}")
            code = ExitCode.TESTBED_FAILED
        else:
            print_error(" ".join(str(error).split()))
        return ExitCode.UNVERIFIED if is_interrupted() else int(code)
    if code != ExitCode.UNVERIFIED:  # else the command has reported it
        print_error("interrupted; everything that was started is removed")
    return ExitCode.UNVERIFIED


def print_error(line: str) -> None:
    """Print the error line of a command."""
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(f"e2e: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interruptible(*, deferred: bool = False) -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT, SIGTERM or SIGHUP, and ignore later ones.

    The launcher starts a command with these signals blocked, so that none is lost.
    """
    _INTERRUPT.clear()
    # A background job of a shell starts with SIGINT ignored. It needs a handler too.
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
    """Unblock the signals. The first one, also a pending one, raises KeyboardInterrupt."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore_signals() -> None:
    """Ignore signals, while the report is written and the testbed is removed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def is_interrupted() -> bool:
    """Return True if a signal interrupted the command, also if its KeyboardInterrupt was lost."""
    return _INTERRUPT.is_set()


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    _INTERRUPT.set()
    ignore_signals()
    raise KeyboardInterrupt


def confirmation() -> Callable[[int], None]:
    """Return the function that confirms an exit code to the launcher.

    The launcher accepts only a confirmed exit code as a verdict, because a crash of Python ends
    with 1 too. The function does nothing if the launcher did not start this process. Child
    processes do not inherit the file descriptor.
    """
    descriptor = _launcher_pipe()
    if descriptor is None:
        return lambda _code: None
    os.set_inheritable(descriptor, False)

    def confirm(code: int) -> None:
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{code}\n".encode())

    return confirm


def _launcher_pipe() -> int | None:
    """Return the file descriptor of the launcher's pipe, or None.

    Child processes inherit the variable but not the pipe. In them, this number belongs to another
    file or to none, so the inode is compared.
    """
    number, _, inode = os.environ.get(CONFIRM, "").partition(":")
    try:
        return int(number) if os.fstat(int(number)).st_ino == int(inode) else None
    except (OSError, ValueError):
        return None
