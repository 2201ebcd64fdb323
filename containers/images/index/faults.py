"""Faults on request: what a test asks the index to do wrong, from a control file.

The file holds a JSON list of faults and is read again when it changes; without it there are
none. The first fault that matches a request applies.
"""

from __future__ import annotations

import errno
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal["truncate", "status", "hang", "corrupt", "reset"]
KINDS: tuple[str, ...] = get_args(Kind)


class FaultsError(Exception):
    """The control file cannot be used. Going on without it would pass for a test that ran."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to do wrong.

    Attributes:
        match: searched for in the request's path.
        kind: truncate announces the whole length and closes early; status answers with a
            status alone; hang falls silent; corrupt flips the bits of one byte; reset breaks
            the connection off.
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
        """Whether nothing at all is sent."""
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
        """Give the fault that a request is to meet, counting it, or None.

        Raises:
            FaultsError: the control file is there but cannot be read or has a mistake.
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
        except FileNotFoundError:
            self._stamp, self._faults, self._struck = None, [], []
            return
        except OSError as error:
            raise FaultsError(f"cannot read {path}: {error}") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return
        try:
            self._faults = parse(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise FaultsError(f"cannot use {path}: {error}") from error
        self._struck = [0] * len(self._faults)
        self._stamp = stamp


def parse(items: object) -> list[Fault]:
    """Make faults of a decoded JSON list.

    Raises:
        ValueError: an item is not an object, or has an unknown key or an unusable value.
    """
    if not isinstance(items, list):
        raise ValueError("the control file must hold a list of faults")  # noqa: TRY004
    return [_parse_one(item) for item in items]


def _parse_one(item: object) -> Fault:
    if not isinstance(item, dict):
        raise ValueError(f"a fault must be a JSON object, not {item!r}")  # noqa: TRY004
    table: dict[str, Any] = dict(item)
    kind = table.pop("fault", None)
    if kind not in KINDS:
        raise ValueError(f"fault must be one of {', '.join(KINDS)}, not {kind!r}")
    unknown = table.keys() - {"match", "status", "after", "client", "times", "seconds"}
    if unknown:
        raise ValueError(f"a fault has no key {', '.join(sorted(unknown))}")
    match = table.pop("match", None)
    if not isinstance(match, str):
        raise ValueError("match must be a regular expression")  # noqa: TRY004
    for key in ("status", "after", "times", "seconds"):
        value = table.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{key} must be a number, not {value!r}")
    try:
        pattern = re.compile(match)
    except re.error as error:
        raise ValueError(f"match {match!r} is not a regular expression: {error}") from error
    given = {key: value for key, value in table.items() if value is not None}
    return Fault(match=pattern, kind=kind, **given)


def distort(
    fault: Fault,
    body: Iterable[bytes],
    length: int,
    reset: Callable[[], None],
    stopping: threading.Event,
) -> Iterator[bytes]:
    """Pass a body on as the fault would have it.

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
                wanted = middle if fault.after is None else fault.after
                # One byte short at most, or nothing would be missing.
                yield from _first(body, min(wanted, max(length - 1, 0)))
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
                raise AssertionError(f"no such fault: {fault.kind}")
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _first(body: Iterable[bytes], wanted: int) -> Iterator[bytes]:
    for chunk in body:
        if wanted <= 0:
            return
        yield chunk[:wanted]
        wanted -= len(chunk)


def _flip(body: Iterable[bytes], position: int) -> Iterator[bytes]:
    for chunk in body:
        if 0 <= position < len(chunk):
            changed = bytearray(chunk)
            changed[position] ^= 0xFF
            yield bytes(changed)
        else:
            yield chunk
        position -= len(chunk)
