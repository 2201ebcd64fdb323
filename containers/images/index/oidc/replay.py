"""Each identity token is good for one exchange: its `jti` is kept until it has expired."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Beyond the leeway with which a token is still taken after its end.
_KEPT = 35


class Replay:
    """The ids of the tokens that have been exchanged."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._until)

    def is_used(self, issuer: str, jti: str) -> bool:
        """Return whether a token has been exchanged already."""
        with self._lock:
            self._forget()
            return (issuer, jti) in self._until

    def take(self, issuer: str, jti: str, expires: float) -> bool:
        """Mark a token as exchanged; return False if another exchange was first."""
        with self._lock:
            self._forget()
            if (issuer, jti) in self._until:
                return False
            self._until[issuer, jti] = expires + _KEPT
            return True

    def _forget(self) -> None:
        now = self._clock()
        for name in [name for name, until in self._until.items() if until <= now]:
            del self._until[name]
