"""Limits for the clients of a server: connections, and the time for a request."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from typing import Generic, TypeVar

_INTERVAL_SECONDS = 0.5

_Connection = TypeVar("_Connection")


class ClientLimits(Generic[_Connection]):
    """Counts the connections of each client address.

    Args:
        connections: how many connections a client can have.
        active: how many of them can use a thread at the same time. Further ones wait for their
            turn.
    """

    def __init__(self, *, connections: int, active: int) -> None:
        self._max_connections = connections
        self._max_active = active
        self._lock = threading.Lock()
        self._connections: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[_Connection]] = defaultdict(deque)

    def add(self, client: str) -> bool:
        """Count a new connection. Return False if the client has too many."""
        with self._lock:
            if self._connections[client] >= self._max_connections:
                return False
            self._connections[client] += 1
            return True

    def remove(self, client: str) -> None:
        """Count the end of a connection."""
        with self._lock:
            self._connections[client] -= 1

    def begin(self, client: str, connection: _Connection) -> bool:
        """Return True if a thread can serve a connection now. Otherwise the connection waits."""
        with self._lock:
            if self._active[client] >= self._max_active:
                self._waiting[client].append(connection)
                return False
            self._active[client] += 1
            return True

    def end(self, client: str) -> _Connection | None:
        """Count the end of a thread's turn. Return the connection whose turn is next, if any."""
        with self._lock:
            if waiting := self._waiting[client]:
                return waiting.popleft()
            self._active[client] -= 1
            return None


class Deadlines:
    """Ends the connections whose clients send a request too slowly."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, float] = {}

    def start(self) -> None:
        """Check the deadlines in the background."""
        threading.Thread(target=self._run, daemon=True).start()

    def set(self, connection: socket.socket, seconds: float) -> None:
        """Set the deadline of a connection, from now. It replaces an earlier one."""
        with self._lock:
            self._ends[connection] = time.monotonic() + seconds

    def clear(self, connection: socket.socket) -> None:
        """Remove the deadline of a connection."""
        with self._lock:
            self._ends.pop(connection, None)

    def _run(self) -> None:
        while True:
            time.sleep(_INTERVAL_SECONDS)
            with self._lock:
                now = time.monotonic()
                expired = [connection for connection, end in self._ends.items() if end < now]
                for connection in expired:
                    del self._ends[connection]
            for connection in expired:
                # The thread that reads the connection gets the end of the data. The method of an
                # SSL socket would also remove the encryption.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
