"""The job that sends a request, identified by the address of the client.

When the container of a job starts, the host writes the file ``jobs/ADDRESS.json`` into
`Settings.folder`: ``{"job", "permissions", "environment", "claims"}``. The forge reads the file for
each request. When another job gets the address, a new file replaces the old one.
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
    """A job of the workflow."""

    job: str
    permissions: Mapping[str, str]
    """The permissions of its tokens, from `permissions` of the workflow and of the job."""
    environment: str | None
    claims: JsonObject
    """Claims of its identity token that replace the computed ones."""

    def may(self, scope: str, level: str) -> bool:
        """Return True if the job has a permission. Write includes read."""
        permission = self.permissions.get(scope, "none")
        return permission == "write" or (permission == "read" and level == "read")


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of the run, by the address of their containers."""

    _folder: Path
    _registration_timeout_seconds: float
    _stopping: threading.Event

    def authenticate(self, request: Request) -> JobIdentity:
        """Return the job that sends a request, and add its name to the log line.

        Raises:
            Problem: 401: no job is registered at the client's address. The caller has checked
                the token, so this is a fault of the testbed.
            ConfigError: the file of the job is not valid.
        """
        job = self.find(request.remote_addr or "", wait=True)
        if job is None:
            request.notes["refused"] = "no job is registered at this address"
            raise Problem(401, "Bad credentials")
        request.notes["job"] = job.job
        return job

    def find(self, address: str, *, wait: bool = False) -> JobIdentity | None:
        """Return the job at an address. With ``wait``, wait until the host has registered it.

        Raises:
            ConfigError: the file is not valid, also at the end of the wait.
        """
        deadline = time.monotonic() + (self._registration_timeout_seconds if wait else 0)
        while True:
            fault: ConfigError | None = None
            try:
                job = self._read(address)
            except ConfigError as error:  # the file may be incomplete
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
