"""Each identity token can be exchanged once. The index stores its `jti` until it expires."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# How many seconds an id is stored after the expiry: longer than the leeway for expired tokens.
_EXTRA_SECONDS = 35


class UsedTokens:
    """The ids of the exchanged tokens."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._expiry: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._expiry)

    def is_used(self, issuer: str, jti: str) -> bool:
        """Return True if a token was already exchanged."""
        with self._lock:
            self._remove_expired()
            return (issuer, jti) in self._expiry

    def mark_used(self, issuer: str, jti: str, expires: float) -> bool:
        """Mark a token as exchanged. Return False if it was already marked."""
        with self._lock:
            self._remove_expired()
            if (issuer, jti) in self._expiry:
                return False
            self._expiry[issuer, jti] = expires + _EXTRA_SECONDS
            return True

    def _remove_expired(self) -> None:
        now = self._clock()
        self._expiry = {key: expiry for key, expiry in self._expiry.items() if expiry > now}
