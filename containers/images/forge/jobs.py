"""Which job asks: told by the client's address.

The host side puts one file into ``folder`` for each address, named by it, when it sees the job's
container: ``{"job", "permissions", "environment", "claims"}``. A file is read for every request, so
an address that goes to another job is that job's from the moment its file is there.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PAUSE = 0.05


class JobsError(Exception):
    """A job's file cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """A job as the workflow file makes it."""

    job: str
    permissions: Mapping[str, str] = field(default_factory=dict)
    """What its tokens may do, after the workflow's and the job's own `permissions`."""
    environment: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    """Claims of its identity token that differ from what the run and the job would make."""

    def may(self, scope: str, level: str) -> bool:
        """Tell whether a permission is granted; write includes read."""
        granted = self.permissions.get(scope, "none")
        return granted == "write" or (granted == "read" and level == "read")


class Jobs:
    """The jobs of the run, by the address of their containers."""

    def __init__(self, folder: Path, patience: float, stopping: threading.Event) -> None:
        self._folder = folder
        self._patience = patience
        self._stopping = stopping

    def find(self, address: str, *, wait: bool = False) -> JobIdentity | None:
        """Return the job at an address; ``wait`` gives the host side time to register it.

        Raises:
            JobsError: its file is not what it should be, and stays so.
        """
        deadline = time.monotonic() + (self._patience if wait else 0)
        while True:
            fault: JobsError | None = None
            try:
                found = self._read(address)
            except JobsError as error:  # it may be half written
                found, fault = None, error
            if found is not None:
                return found
            if time.monotonic() >= deadline or self._stopping.wait(_PAUSE):
                if fault:
                    raise fault
                return None

    def _read(self, address: str) -> JobIdentity | None:
        try:
            name = str(ipaddress.ip_address(address))
        except ValueError:
            return None
        path = self._folder / f"{name}.json"
        try:
            table = json.loads(path.read_text("utf-8"))
            return JobIdentity(
                job=_is(str, table["job"]),
                permissions={
                    _is(str, scope): _is(str, level)
                    for scope, level in _is(dict, table["permissions"]).items()
                },
                environment=table["environment"] and _is(str, table["environment"]),
                claims=_is(dict, table["claims"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JobsError(f"the job at {name} is not told well: {error!r}") from error


def _is(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value
