"""A limit for the number of requests of a client."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable


class Throttle:
    """Accepts ``limit`` requests of each client in ``seconds``; with the limit 0, all."""

    def __init__(
        self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def accepts(self, client: str) -> bool:
        """Count a request, and return True if the client may make it."""
        if not self._limit:
            return True
        with self._lock:
            now, times = self._clock(), self._times[client]
            while times and times[0] <= now - self._seconds:
                times.popleft()
            if len(times) >= self._limit:
                return False
            times.append(now)
            return True
