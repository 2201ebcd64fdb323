"""Planted faults of the index, from a control file.

The file contains a JSON list of faults. The index reads it again when it changes. Without the file
there are no faults. The first fault that matches a request applies.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, assert_never, get_args

from server import config
from server.config import ConfigError
from server.json_reader import ObjectReader

Kind: TypeAlias = Literal["truncate", "status", "hang", "corrupt", "reset"]
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault.

    Attributes:
        match: a regular expression that is searched in the path of the request.
        kind: truncate announces the full length and closes early; status answers with only a
            status; hang stops sending; corrupt inverts the bits of one byte; reset resets the
            connection.
        status: the status for the kind status.
        after: how many bytes of the body are sent before the fault. The default is half of the
            body for truncate and corrupt, and nothing, also no header, for hang and reset.
        client: the address of the client, or None for all clients.
        times: how many requests get the fault, or None for all.
        seconds: how many seconds a hang lasts before the connection is closed.
    """

    match: re.Pattern[str]
    kind: Kind
    status: int = 503
    after: int | None = None
    client: str | None = None
    times: int | None = None
    seconds: float = 60.0

    @property
    def sends_nothing(self) -> bool:
        """True if the client gets no part of a response."""
        return self.kind in {"hang", "reset"} and self.after is None


class Faults:
    """The current planted faults."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._faults: list[Fault] = []
        self._counts: list[int] = []

    def take(self, path: str, client: str) -> Fault | None:
        """Return the fault for a request and count it, or return None.

        Raises:
            ConfigError: the control file exists, but it cannot be read or is not valid. Without
                the error, a test of a fault would run without the fault.
        """
        if self._path is None:
            return None
        with self._lock:
            self._refresh(self._path)
            for number, fault in enumerate(self._faults):
                if fault.times is not None and self._counts[number] >= fault.times:
                    continue
                if fault.client in {None, client} and fault.match.search(path):
                    self._counts[number] += 1
                    return fault
        return None

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._faults = config.read(path, _faults, wrap="faults")
                self._counts = [0] * len(self._faults)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._faults, self._counts = None, [], []
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error}") from error


def _faults(reader: ObjectReader) -> list[Fault]:
    return [_fault(item) for item in reader.nested_list("faults")]


def _fault(reader: ObjectReader) -> Fault:
    kind = _KINDS.get(reader.required("fault", str))
    if kind is None:
        reader.add_fault("fault", f"must be one of {', '.join(_KINDS)}")
    pattern = reader.required("match", str)
    try:
        match = re.compile(pattern)
    except re.error as error:
        reader.add_fault("match", f"is not a regular expression: {error}")
        match = re.compile("")
    return Fault(
        match=match,
        kind=kind or "status",
        status=reader.get("status", 503),
        after=reader.optional("after", int),
        client=reader.optional("client", str),
        times=reader.optional("times", int),
        seconds=reader.get("seconds", 60.0),
    )


def distort(
    fault: Fault,
    body: Iterable[bytes],
    length: int,
    reset: Callable[[], None],
    stopping: threading.Event,
) -> Iterator[bytes]:
    """Yield a body with a planted fault.

    Args:
        fault: the fault.
        body: the body of the response.
        length: the length of the body in bytes.
        reset: resets the connection.
        stopping: set when the index ends; it ends a hang.

    Raises:
        ConnectionError: the fault closes the connection.
    """
    middle = length // 2
    try:
        match fault.kind:
            case "corrupt":
                yield from _flip(body, middle if fault.after is None else fault.after)
            case "truncate":
                sent = middle if fault.after is None else fault.after
                # At least the last byte is missing.
                yield from _first(body, min(sent, max(length - 1, 0)))
                raise ConnectionAbortedError(errno.ECONNABORTED, "planted fault: truncate")
            case "hang":
                yield from _first(body, fault.after or 0)
                stopping.wait(fault.seconds)
                raise ConnectionAbortedError(errno.ECONNABORTED, "planted fault: hang")
            case "reset":
                yield from _first(body, fault.after or 0)
                reset()
                raise ConnectionResetError(errno.ECONNRESET, "planted fault: reset")
            case "status":
                yield from body
            case _:
                assert_never(fault.kind)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _first(body: Iterable[bytes], length: int) -> Iterator[bytes]:
    for chunk in body:
        if length <= 0:
            return
        yield chunk[:length]
        length -= len(chunk)


def _flip(body: Iterable[bytes], position: int) -> Iterator[bytes]:
    for chunk in body:
        if 0 <= position < len(chunk):
            changed = bytearray(chunk)
            changed[position] ^= 0xFF
            yield bytes(changed)
        else:
            yield chunk
        position -= len(chunk)
