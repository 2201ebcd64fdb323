"""Read the text that a user redirects or pipes into a command."""

from __future__ import annotations

import os
import select
import stat
import time

from containers.progress import print_line
from verification.reproduction import pasted_report

_MAX_BYTES = 8_000_000
_WAIT_SECONDS = 5.0
"""How long a pipe can stay silent. In continuous integration a pipe can stay open and empty."""
_TOTAL_SECONDS = 60.0
_CHUNK = 1 << 16


def pasted_text(descriptor: int = 0) -> str:
    """Return the text of standard input; empty for a terminal, a device or a closed input.

    It reads at most 8 MB, and waits at most 5 seconds for more data and 60 seconds in total.
    """
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return ""
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return ""
    data = bytearray()
    deadline = time.monotonic() + _TOTAL_SECONDS
    while len(data) < _MAX_BYTES and time.monotonic() < deadline:
        if not select.select([descriptor], [], [], _WAIT_SECONDS)[0]:
            if not data:
                print_line(f"standard input has no text within {_WAIT_SECONDS:.0f} s; not used")
            break
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    return pasted_report.decoded(bytes(data))
