"""End a process with its parent. The module needs only the standard library."""

from __future__ import annotations

import contextlib
import ctypes
import signal

_PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that sets the signal for the death of the parent."""


def die_with_parent(number: signal.Signals) -> None:
    """Let the kernel send this signal to this process when its parent dies (prctl(2)).

    The launcher sets this for its commands itself.
    """
    with contextlib.suppress(AttributeError, OSError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
