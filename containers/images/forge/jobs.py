"""The job that sends a request, found by the client's address.

The host puts one file into ``folder`` for each address, named by it, when it sees the job's
container: ``{"job", "permissions", "environment", "claims"}``. A file is read for every request, so
an address that goes to another job is that job's from the moment its file is there.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server import config
from server.config import ConfigError
from server.json_reader import JsonObject, ObjectReader

from .routing import Problem, Request

_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """A job as the workflow file makes it."""

    job: str
    permissions: Mapping[str, str]
    """The permissions of its tokens, after the workflow's and the job's own `permissions`."""
    environment: str | None
    claims: JsonObject
    """Claims of its identity token that differ from what the run and the job would make."""

    def may(self, scope: str, level: str) -> bool:
        """Return whether a permission is granted; write includes read."""
        granted = self.permissions.get(scope, "none")
        return granted == "write" or (granted == "read" and level == "read")


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of the run, by the address of their containers."""

    _folder: Path
    _patience_seconds: float
    _stopping: threading.Event

    def authenticate(self, request: Request) -> JobIdentity:
        """Return the job that sends a request, and name it in the log.

        Raises:
            Problem: 401: no job is registered at the client's address. Only the testbed can cause
                this: the caller has checked the token.
            ConfigError: the job's file is not valid.
        """
        job = self.find(request.remote_addr or "", wait=True)
        if job is None:
            request.notes["refused"] = "no job is registered at this address"
            raise Problem(401, "Bad credentials")
        request.notes["job"] = job.job
        return job

    def find(self, address: str, *, wait: bool = False) -> JobIdentity | None:
        """Return the job at an address; ``wait`` gives the host time to register it.

        Raises:
            ConfigError: its file is not valid, and stays so.
        """
        deadline = time.monotonic() + (self._patience_seconds if wait else 0)
        while True:
            fault: ConfigError | None = None
            try:
                job = self._read(address)
            except ConfigError as error:  # it may be half written
                job, fault = None, error
            if job is not None:
                return job
            if time.monotonic() >= deadline or self._stopping.wait(_PAUSE_SECONDS):
                if fault:
                    raise fault
                return None

    def _read(self, address: str) -> JobIdentity | None:
        try:
            name = str(ipaddress.ip_address(address))
        except ValueError:
            return None
        try:
            return config.read(self._folder / f"{name}.json", _job)
        except FileNotFoundError:
            return None
        except ConfigError as error:
            raise ConfigError(f"the file of the job at {name} is not valid: {error}") from error


def _job(reader: ObjectReader) -> JobIdentity:
    return JobIdentity(
        job=reader.required("job", str),
        permissions=reader.strings("permissions"),
        environment=reader.optional("environment", str),
        claims=reader.values("claims"),
    )
