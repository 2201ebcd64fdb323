"""A proxy in front of the socket of an engine. It drops and delays requests by a seeded rule."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
import socket
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Literal, Self

ENGINE_SOCKET = Path("/var/run/docker.sock")
_HEAD_END = b"\r\n\r\n"
_CHUNK_BYTES = 65536

Moment = Literal["request", "response", "body"]
"""When a connection is dropped.

``request``: before the engine gets the request. ``response``: after the engine has answered, and
before the client gets a byte. ``body``: in the middle of the response.
"""


@dataclasses.dataclass(frozen=True)
class Drop:
    """A rule for the connections to drop."""

    method: str = ".*"
    """A regular expression for the whole method of the request."""
    path: str = ".*"
    """A regular expression that matches a part of the path. The path includes the query."""
    moment: Moment = "response"
    times: int | None = None
    """The number of dropped connections; None for any number."""
    probability: float = 1.0
    """The share of the matching requests whose connection is dropped."""
    after: int = 1
    """The number of bytes of the response that the client gets, for the moment ``body``. They count
    from the end of the head."""


@dataclasses.dataclass(frozen=True)
class ProxiedRequest:
    """A request that the proxy received."""

    method: str
    path: str
    drop: Drop | None
    """The rule that dropped its connection; None if the engine's answer passed."""


class EngineProxy:
    """A running proxy: a context manager. Clients use the address `docker_host`.

    ``engine`` is the path of the socket of the engine. ``drop`` is the probability that a
    connection is dropped, or the rules for it; the first rule that matches counts. ``delay`` is the
    time in seconds by which each request is delayed: a number, or the limits of a random time. The
    same ``seed`` gives the same decisions for the same order of requests.

    The proxy closes the connection after each response, so each connection has one request.
    """

    def __init__(
        self,
        engine: Path = ENGINE_SOCKET,
        *,
        drop: float | Sequence[Drop] = 0.0,
        delay: float | tuple[float, float] = 0.0,
        seed: int | str = 0,
    ) -> None:
        self.rules = [Drop(probability=drop)] if isinstance(drop, int | float) else [*drop]
        """The rules for drops. They can change while the proxy runs."""
        self.delay = delay if isinstance(delay, tuple) else (delay, delay)
        self.requests: list[ProxiedRequest] = []
        """The received requests, the oldest first."""
        self._engine = engine
        self._random = random.Random(seed)  # noqa: S311  (no secret)
        self._lock = threading.Lock()
        self._used: dict[Drop, int] = {}
        self._stack = contextlib.ExitStack()
        self._connections: set[socket.socket] = set()
        self._is_stopped = False

    def __enter__(self) -> Self:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="e2e-proxy-"))
        self._path = Path(folder) / "docker.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen(256)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._stack.close()

    def stop(self) -> None:
        """Close all connections, and accept no other one."""
        _close(self._listener)
        self._thread.join()
        with self._lock:
            self._is_stopped = True
            connections = list(self._connections)
        for connection in connections:
            _close(connection)

    @property
    def docker_host(self) -> str:
        """The address of the proxy, as a value of DOCKER_HOST."""
        return f"unix://{self._path}"

    @property
    def dropped(self) -> list[ProxiedRequest]:
        """The requests whose connection was dropped, the oldest first."""
        return [request for request in self.requests if request.drop]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed at the end
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with self._lock:
            self._connections |= {client, engine}
            is_stopped = self._is_stopped
        try:
            if not is_stopped:
                self._relay(client, engine)
        except OSError:
            pass  # one of the two closed its connection
        finally:
            for connection in (client, engine):
                _close(connection)
            with self._lock:
                self._connections -= {client, engine}

    def _relay(self, client: socket.socket, engine: socket.socket) -> None:
        head, body = _read_head(client)
        if not head:
            return
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        rule, seconds = self._decide(method, path)
        sleep(seconds)
        if rule and rule.moment == "request":
            return
        engine.connect(str(self._engine))
        engine.sendall(_with_close(head) + body)
        threading.Thread(target=_copy, args=(client, engine), daemon=True).start()
        answer, rest = _read_head(engine)
        if not answer:
            return  # the engine closed the connection
        if rule is None:
            client.sendall(_with_close(answer) + rest)
            _copy(engine, client)
        elif rule.moment == "body":
            while len(rest) < rule.after and (data := engine.recv(_CHUNK_BYTES)):
                rest += data
            client.sendall(_with_close(answer) + rest[: rule.after])

    def _decide(self, method: str, path: str) -> tuple[Drop | None, float]:
        """Return the rule that drops the connection of a request, and the delay in seconds."""
        with self._lock:
            seconds = self._random.uniform(*self.delay)
            rule = next((rule for rule in self.rules if self._applies(rule, method, path)), None)
            if rule:
                self._used[rule] = self._used.get(rule, 0) + 1
            self.requests.append(ProxiedRequest(method, path, rule))
        return rule, seconds

    def _applies(self, rule: Drop, method: str, path: str) -> bool:
        if rule.times is not None and self._used.get(rule, 0) >= rule.times:
            return False
        matches = re.fullmatch(rule.method, method) and re.search(rule.path, path)
        return bool(matches) and self._random.random() < rule.probability


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of a message with its end, and what follows; empty at the end of the data."""
    received = b""
    while _HEAD_END not in received:
        data = connection.recv(_CHUNK_BYTES)
        if not data:
            return b"", b""
        received += data
    head, _, body = received.partition(_HEAD_END)
    return head + _HEAD_END, body


def _with_close(head: bytes) -> bytes:
    """Return the head of a message after which its receiver closes the connection."""
    lines = head.removesuffix(_HEAD_END).split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return head  # the connection becomes a stream
    lines = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + _HEAD_END


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy a stream to its end, and end the other stream."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
    connection.close()
