"""Lines that say what is happening, how long it took and since when."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

_START = time.monotonic()
_LOCK = threading.Lock()


def say(line: str) -> None:
    """Print one line to stderr, prefixed with the seconds since the program started."""
    with _LOCK:
        print(f"[{time.monotonic() - _START:6.1f} s] {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(line: str) -> Iterator[None]:
    """Say that a step began and, when it ended without an error, how many seconds it took."""
    say(f"{line} ...")
    began = time.monotonic()
    yield
    say(f"{line}: done in {time.monotonic() - began:.1f} s")
