"""Who may do what: the run's token, with the permissions of the job that sends it."""

from __future__ import annotations

import base64
import binascii
import hmac

from .config import Settings
from .jobs import JobIdentity, Jobs
from .routing import Problem, Request, Route, not_found


class Access:
    """Judges requests; the rules are those of GitHub's REST API for a workflow's token."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._token = settings.token
        self._repository = settings.repository
        self._jobs = jobs

    def admit(self, request: Request, route: Route, owner: str | None, name: str | None) -> None:
        """Let a request pass, or not.

        Raises:
            Problem: 401 for a token that is not the run's, and for none where one is needed; 403
                where the job's permissions do not reach; 404 for a repository that is not there,
                or is private to a client without a token.
            JobsError: the job of this address is not told well.
        """
        if route.access == "open":
            return
        job = self._identify(request)
        if owner is not None and not self._is_ours(owner, name or ""):
            raise not_found()
        if job is None:
            if route.access == "read" and self._repository.public:
                return
            if owner is not None and not self._repository.public:
                raise not_found()
            raise Problem(401, "Requires authentication")
        request.writes = job.may("contents", "write")
        refused = route.access == "write" and not request.writes
        # Whoever could read it without a token can read it with one.
        if route.access == "read" and not self._repository.public:
            refused = not job.may("contents", "read")
        if refused:
            request.notes["refused"] = f"contents: {route.access} is not among its permissions"
            raise Problem(403, "Resource not accessible by integration")

    def _is_ours(self, owner: str, name: str) -> bool:
        return f"{owner}/{name}".lower() == self._repository.full_name.lower()

    def _identify(self, request: Request) -> JobIdentity | None:
        given = _token(request.headers.get("Authorization", ""))
        if given is None:
            return None
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            request.notes["refused"] = "the token is not the run's"
            raise Problem(401, "Bad credentials")
        job = self._jobs.find(request.remote_addr or "", wait=True)
        if job is None:
            # Only the testbed can cause this: the token is right and its job was never registered.
            request.notes["refused"] = "no job is registered at this address"
            raise Problem(401, "Bad credentials")
        request.notes["job"] = job.job
        return job


def _token(header: str) -> str | None:
    """Return the token of an Authorization header, or None if there is none."""
    scheme, _, value = header.strip().partition(" ")
    if not header.strip():
        return None
    if scheme.lower() in ("token", "bearer"):
        return value.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
        return decoded.partition(":")[2]
    return ""
