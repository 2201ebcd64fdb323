"""The request log: one JSON line for each request, written when its answer has ended.

A line is written by a single write to a file opened for appending, so lines never mix. A reader
can still see the beginning of one that is being written: what follows the last newline is not
a line yet.
Query strings and request headers other than Host and User-Agent are left out: they may
hold secrets.
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

from .json_reader import JsonObject

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NOTES = "server.notes"
"""The key of a request's environment under which its handler adds to the line."""
# How many seconds a mark waits for requests under way: one that hangs on request does not end.
_MARK_SECONDS = 2


class RequestLog:
    """The file of evidence, and the requests whose line is still to come."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._changed = threading.Condition()
        self._requests: dict[Entry, None] = {}
        self._handshakes: Counter[str] = Counter()
        self.failure: str | None = None

    @property
    def in_flight(self) -> int:
        """How many requests have begun and have no line yet."""
        return len(self._requests)

    def begin(self, environ: WSGIEnvironment) -> Entry:
        """Open the entry of a request; what handlers put into its notes ends up in the line."""
        entry = Entry(self, environ)
        with self._changed:
            self._requests[entry] = None
        environ[NOTES] = entry.notes
        return entry

    def end(self, entry: Entry, line: JsonObject) -> None:
        """Write an entry's line; a reader never finds the entry both written and open."""
        with self._changed:
            self._write(line)
            del self._requests[entry]
            self._changed.notify_all()

    @contextmanager
    def handshake(self, client: str) -> Iterator[None]:
        """Count a TLS handshake as under way: one that fails leaves a line as well."""
        with self._changed:
            self._handshakes[client] += 1
        try:
            yield
        finally:
            with self._changed:
                self._handshakes[client] -= 1
                self._changed.notify_all()

    def refuse(self, client: str, reason: str) -> None:
        """Log a failed handshake: a client that does not trust the server leaves this."""
        self._write({"time": utc_now(), "client": client, "tls_refused": reason})

    def read_marks(self, requests: TextIO) -> None:
        """Write a mark for each line ``TOKEN CLIENT``, or ``TOKEN`` alone for all clients."""
        for line in requests:
            token, _, client = line.strip().partition(" ")
            # In its own thread: one slow client does not delay the marks of the others.
            threading.Thread(target=self.mark, args=(token, client), daemon=True).start()

    def mark(self, token: str, client: str) -> None:
        """Write a line with ``token`` after every line of ``client``, or of all if it is empty.

        A client gets its answer before the line is written. A reader of the log up to the mark
        misses nothing: a request that goes on for longer has a line of its own, `open`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_quiet(client), _MARK_SECONDS)
            for entry in self._open(client):
                self._write({**entry.line, "status": None, "open": True})
        self._write({"mark": token})

    def _open(self, client: str) -> list[Entry]:
        return [entry for entry in self._requests if client in ("", entry.client)]

    def _is_quiet(self, client: str) -> bool:
        handshakes = self._handshakes[client] if client else self._handshakes.total()
        return not handshakes and not self._open(client)

    def _write(self, line: JsonObject) -> None:
        """Append a line. If that fails, print why and keep the reason for the health report."""
        data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        try:
            if os.write(self._file, data) == len(data):
                return
            reason = "the disk took only a part of a line"
        except OSError as error:
            reason = str(error)
        self.failure = f"the request log cannot be written: {reason}"
        print(self.failure, file=sys.stderr, flush=True)


class Entry:
    """One request on its way to becoming a line."""

    def __init__(self, log: RequestLog, environ: WSGIEnvironment) -> None:
        self._log = log
        self._begun = time.monotonic()
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
        """Pass the body on, and write the line when it ends, is abandoned or fails.

        A chunk counts once the server asks for the next one: only then has it been handed
        to the connection. `complete` therefore means that all of it was; a client that
        breaks off during the last chunk looks like one that got it.
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
        """Write the line; a status of None says that there was no answer."""
        ended: JsonObject = {
            "status": status,
            "bytes": size,
            "complete": complete,
            "seconds": round(time.monotonic() - self._begun, 4),
        }
        self._log.end(self, {**self.line, **ended, **self.notes})


def utc_now() -> str:
    """Return the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
