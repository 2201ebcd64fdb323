"""Access: the run's token, with the permissions of the job that sends it."""

from __future__ import annotations

import base64
import binascii
import hmac

from .config import Settings
from .jobs import JobIdentity, Jobs
from .routing import Access, Problem, Request, not_found


class AccessControl:
    """Judges requests by the rules of GitHub's REST API for a workflow's token."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._token = settings.token
        self._repository = settings.repository
        self._jobs = jobs

    def admit(self, request: Request, access: Access, repository: str | None) -> None:
        """Admit a request to a route that needs this access, or raise the answer that refuses it.

        ``repository`` is the full name of the repository that the path names, if it names one.

        Raises:
            Problem: 401 for a token that is not the run's, and for none where one is needed; 403
                where the job lacks a permission; 404 for a repository that does not exist, or is
                private to a client without a token.
            ConfigError: the file of the job at this address is not valid.
        """
        if access == "open":
            return
        job = self._identify(request)
        if repository is not None and repository.lower() != self._repository.full_name.lower():
            raise not_found()
        if job is None:
            if access == "read" and self._repository.public:
                return
            if repository is not None and not self._repository.public:
                raise not_found()
            raise Problem(401, "Requires authentication")
        request.writes = job.may("contents", "write")
        refused = access == "write" and not request.writes
        # What anyone can read without a token, a job can read with one.
        if access == "read" and not self._repository.public:
            refused = not job.may("contents", "read")
        if refused:
            request.notes["refused"] = f"contents: {access} is not among its permissions"
            raise Problem(403, "Resource not accessible by integration")

    def _identify(self, request: Request) -> JobIdentity | None:
        token = _token(request.headers.get("Authorization", ""))
        if token is None:
            return None
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            request.notes["refused"] = "the token is not the run's"
            raise Problem(401, "Bad credentials")
        return self._jobs.authenticate(request)


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
