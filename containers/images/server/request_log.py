"""The request log: one JSON line for each request, written after its response.

Each line is one write to a file opened for appending, so lines never mix. A reader can find the
beginning of a line that is not complete. It ignores the text after the last newline.

The log does not contain query strings and request headers, except Host and User-Agent. They can
contain secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .json_reader import Json, JsonObject

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NOTES = "server.notes"
"""The WSGI environment key of the notes: values that handlers add to the log line."""
# How many seconds a log marker waits for active requests. A planted fault can keep a request open.
_MARKER_SECONDS = 2
_MAX_TEXT_LENGTH = 2000
"""The number of characters that the log keeps of a text. A client selects the length of a path."""


class RequestLog:
    """The log file, and the active requests."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._changed = threading.Condition()
        self._requests: dict[ActiveRequest, None] = {}
        self._handshakes: Counter[str] = Counter()
        self.failure: str | None = None

    @property
    def in_flight(self) -> int:
        """The number of active requests. They have no line yet."""
        return len(self._requests)

    def begin(self, environ: WSGIEnvironment) -> ActiveRequest:
        """Register a request. Its log line will contain the notes that handlers add."""
        request = ActiveRequest(self, environ)
        with self._changed:
            self._requests[request] = None
        environ[NOTES] = request.notes
        return request

    def end(self, request: ActiveRequest, line: JsonObject) -> None:
        """Write the line of a request and remove the request, under one lock."""
        with self._changed:
            self._write(line)
            del self._requests[request]
            self._changed.notify_all()

    @contextmanager
    def handshake(self, client: str) -> Iterator[None]:
        """Count a TLS handshake as active. A marker waits for it, because it can log a failure."""
        with self._changed:
            self._handshakes[client] += 1
        try:
            yield
        finally:
            with self._changed:
                self._handshakes[client] -= 1
                self._changed.notify_all()

    def refuse(self, client: str, reason: str) -> None:
        """Log a failed handshake, for example of a client that does not trust the server."""
        self._write({"time": utc_now(), "client": client, "tls_refused": reason})

    def write_markers(self, commands: TextIO) -> None:
        """Write a log marker for each command ``TOKEN CLIENT``, or ``TOKEN`` for all clients."""
        for line in commands:
            token, _, client = line.strip().partition(" ")
            # It runs in a separate thread, so that a slow client delays only its log markers.
            threading.Thread(target=self.write_marker, args=(token, client), daemon=True).start()

    def write_marker(self, token: str, client: str) -> None:
        """Write a line with ``token`` after all lines of ``client``. Empty means all clients.

        A client gets its response before the log gets the line. With the marker, a reader knows
        that it has all lines. A request that is still active gets a line with `open` first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle(client), _MARKER_SECONDS)
            for request in self._active_of(client):
                self._write({**request.line, "status": None, "open": True})
        self._write({"mark": token})

    def _active_of(self, client: str) -> list[ActiveRequest]:
        return [request for request in self._requests if client in ("", request.client)]

    def _is_idle(self, client: str) -> bool:
        handshakes = self._handshakes[client] if client else self._handshakes.total()
        return not handshakes and not self._active_of(client)

    def _write(self, line: JsonObject) -> None:
        """Append a line. If that fails, print the error and store it in ``failure``.

        Long texts, such as the path of a request, are cut. ``cut`` then has the names of the values
        with a cut text.
        """
        short: JsonObject = {name: _shortened(value) for name, value in line.items()}
        if cut := [name for name in line if short[name] != line[name]]:
            short["cut"] = list(cut)
        line = short
        data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        try:
            if os.write(self._file, data) == len(data):
                return
            reason = "only a part of a line was written; the disk may be full"
        except OSError as error:
            reason = str(error)
        self.failure = f"cannot write the request log: {reason}"
        print(self.failure, file=sys.stderr, flush=True)


class ActiveRequest:
    """An active request. It becomes a line of the log."""

    def __init__(self, log: RequestLog, environ: WSGIEnvironment) -> None:
        self._log = log
        self._start = time.monotonic()
        self.client: str = environ.get("REMOTE_ADDR", "")
        self.notes: JsonObject = {}
        uri: str = environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
        self.line: JsonObject = {
            "time": utc_now(),
            "client": self.client,
            "method": environ["REQUEST_METHOD"],
            "host": environ.get("HTTP_HOST", ""),
            "path": uri.partition("?")[0],
            "user_agent": environ.get("HTTP_USER_AGENT", ""),
        }

    def send(self, status: int, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the body. Write the line when the body ends, is abandoned or fails.

        A chunk counts as sent when the server requests the next one. `complete` means that all
        chunks were passed to the connection. If a client disconnects during the last chunk, the
        line says `complete` all the same.
        """
        digest = hashlib.sha256()
        size = 0
        complete = False
        try:
            for chunk in body:
                yield chunk
                digest.update(chunk)
                size += len(chunk)
            complete = True
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
            if "file" in self.notes and self.line["method"] == "GET" and status in {200, 206}:
                self.notes["sha256"] = digest.hexdigest()
            self.finish(status, size, complete=complete)

    def finish(self, status: int | None, size: int = 0, *, complete: bool) -> None:
        """Write the line. The status is None if there was no response."""
        outcome: JsonObject = {
            "status": status,
            "bytes": size,
            "complete": complete,
            "seconds": round(time.monotonic() - self._start, 4),
        }
        self._log.end(self, {**self.line, **outcome, **self.notes})


def _shortened(value: Json) -> Json:
    """Return a value without the ends of long texts."""
    if isinstance(value, str):
        return value[:_MAX_TEXT_LENGTH]
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {key[:_MAX_TEXT_LENGTH]: _shortened(item) for key, item in value.items()}
    return value


def utc_now() -> str:
    """Return the current UTC time in ISO format, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
