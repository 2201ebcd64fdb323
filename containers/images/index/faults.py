"""Planted faults: what a test makes the index do wrong, from a control file.

The file holds a JSON list of faults and is read again when it changes; without it there are
none. The first fault that matches a request applies.
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
    """One thing that the index does wrong.

    Attributes:
        match: searched for in the request's path.
        kind: truncate announces the whole length and closes early; status answers with a
            status alone; hang sends nothing more; corrupt flips the bits of one byte; reset
            breaks the connection off.
        status: the status for `status`.
        after: how many bytes of the body are sent first. Without it truncate and corrupt
            strike in the middle, and hang and reset before anything is sent.
        client: the one client's address it is for, or all.
        times: how often it strikes, or always.
        seconds: how long a hang lasts before the connection is closed.
    """

    match: re.Pattern[str]
    kind: Kind
    status: int = 503
    after: int | None = None
    client: str | None = None
    times: int | None = None
    seconds: float = 60.0

    @property
    def silent(self) -> bool:
        """True if nothing at all is sent."""
        return self.kind in {"hang", "reset"} and self.after is None


class Faults:
    """The faults in force."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._faults: list[Fault] = []
        self._struck: list[int] = []

    def take(self, path: str, client: str) -> Fault | None:
        """Return the fault that a request is to meet, counting it, or None.

        Raises:
            ConfigError: the control file is there but cannot be read or has a mistake. Going on
                without it would look like a test that ran.
        """
        if self._path is None:
            return None
        with self._lock:
            self._refresh(self._path)
            for number, fault in enumerate(self._faults):
                if fault.times is not None and self._struck[number] >= fault.times:
                    continue
                if fault.client in {None, client} and fault.match.search(path):
                    self._struck[number] += 1
                    return fault
        return None

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._faults = config.read(path, _faults, wrap="faults")
                self._struck = [0] * len(self._faults)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._faults, self._struck = None, [], []
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
    """Pass a body on as the fault changes it.

    Args:
        fault: what to do wrong.
        body: what would have been sent.
        length: how many bytes that is.
        reset: breaks the connection off.
        stopping: set when the front is to end; it ends a hang.

    Raises:
        ConnectionError: the connection is to be closed here.
    """
    middle = length // 2
    try:
        match fault.kind:
            case "corrupt":
                yield from _flip(body, middle if fault.after is None else fault.after)
            case "truncate":
                kept = middle if fault.after is None else fault.after
                # One byte short at most, or nothing would be missing.
                yield from _first(body, min(kept, max(length - 1, 0)))
                raise ConnectionAbortedError(errno.ECONNABORTED, "truncated on request")
            case "hang":
                yield from _first(body, fault.after or 0)
                stopping.wait(fault.seconds)
                raise ConnectionAbortedError(errno.ECONNABORTED, "hung on request")
            case "reset":
                yield from _first(body, fault.after or 0)
                reset()
                raise ConnectionResetError(errno.ECONNRESET, "reset on request")
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
