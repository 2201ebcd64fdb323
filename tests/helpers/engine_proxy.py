"""A proxy in front of the socket of an engine that delays and drops connections."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 16


class EngineProxy:
    """Forwards the connections of a Unix socket to another one, until it is stopped.

    The number of a connection and the seed decide its fate, so that a seed repeats a run.
    """

    def __init__(
        self, folder: Path, target: str, seed: str, *, slow: float = 0.0, dropped: float = 0.0
    ) -> None:
        """`target` is the path of the engine's socket.

        `slow` and `dropped` are the shares of the connections that are delayed, for at most two
        seconds, and closed, before or while the engine answers.
        """
        self.url = f"unix://{folder / 'engine.sock'}"
        self.dropped = 0
        self._target, self._seed = target, seed
        self._slow, self._drop = slow, dropped
        self._sockets: list[socket.socket] = []
        self._is_stopped = False
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / "engine.sock"))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close all connections, and accept no other one."""
        self._is_stopped = True
        for opened in (self._listening, *self._sockets):
            _close(opened)

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):  # it is stopped
            while True:
                client, _ = self._listening.accept()
                number += 1
                rng = random.Random(f"{self._seed}-{number}")  # noqa: S311  (repeatable)
                threading.Thread(target=self._serve, args=(client, rng), daemon=True).start()

    def _serve(self, client: socket.socket, rng: random.Random) -> None:
        is_slow, is_dropped = rng.random() < self._slow, rng.random() < self._drop
        limit = rng.choice([0, 1, 200]) if is_dropped else None
        engine = socket.socket(socket.AF_UNIX)
        self._sockets += [client, engine]
        if is_slow:
            time.sleep(rng.uniform(0, 2))
        with contextlib.suppress(OSError):
            engine.connect(self._target)
            if self._is_stopped:
                limit = 0
            threading.Thread(target=_copy, args=(client, engine), daemon=True).start()
            self.dropped += limit is not None
            _copy(engine, client, limit)
        _close(client)
        _close(engine)


def _close(opened: socket.socket) -> None:
    """Close a socket, also if another thread waits for its data."""
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()


def _copy(source: socket.socket, target: socket.socket, limit: int | None = None) -> None:
    """Copy until the end of `source`, or until `limit` bytes are copied."""
    with contextlib.suppress(OSError):
        while limit is None or limit > 0:
            data = source.recv(_CHUNK if limit is None else limit)
            if not data:
                break
            target.sendall(data)
            limit = limit if limit is None else limit - len(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def engine_proxy(
    folder: Path, target: str, seed: str, *, slow: float = 0.0, dropped: float = 0.0
) -> Iterator[EngineProxy]:
    """Start a proxy whose socket is in a new folder, and stop it at the end."""
    folder.mkdir()
    proxy = EngineProxy(folder, target, seed, slow=slow, dropped=dropped)
    try:
        yield proxy
    finally:
        proxy.stop()
        shutil.rmtree(folder, ignore_errors=True)
