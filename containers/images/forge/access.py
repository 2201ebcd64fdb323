"""Access control: one token for all jobs, and the permissions of the job that sends a request."""

from __future__ import annotations

import base64
import binascii
import hmac

from .config import Settings
from .jobs import JobIdentity, Jobs
from .routing import Access, Problem, Request, not_found


class AccessControl:
    """Applies the rules of GitHub's REST API for the token of a workflow."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._token = settings.token
        self._repository = settings.repository
        self._jobs = jobs

    def check(self, request: Request, access: Access, repository: str | None) -> None:
        """Check that a request has the access that its route requires.

        ``repository`` is the full name of the repository in the path, or None.

        Raises:
            Problem: 401 for a wrong or missing token, 403 for a missing permission, 404 for an
                unknown repository, or a private repository and a client without a token.
            ConfigError: the file of the job at this address is not valid.
        """
        if access == "open":
            return
        job = self.identify(request)
        if repository is not None and repository.lower() != self._repository.full_name.lower():
            request.notes["unsupported"] = f"the repository {repository}"
            raise not_found()
        if job is None:
            if access.endswith("read") and self._repository.public:
                return
            if repository is not None and not self._repository.public:
                raise not_found()
            raise Problem(401, "Requires authentication")
        request.writes = job.may("contents", "write")
        scope, _, level = access.rpartition(": ")
        scope = scope or "contents"
        # Everyone can read a public repository, so a job needs no permission for it.
        if level == "token" or (level == "read" and self._repository.public):
            return
        if not job.may(scope, level):
            request.notes["refused"] = f"the job has no permission {scope}: {level}"
            raise Problem(403, "Resource not accessible by integration")

    def identify(self, request: Request) -> JobIdentity | None:
        """Return the job that sends a request. None if the request has no token.

        Raises:
            Problem: 401 for a wrong token, or if no job is registered at the address.
            ConfigError: the file of the job at this address is not valid.
        """
        token = _token(request.headers.get("Authorization", ""))
        if token is None:
            return None
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            request.notes["refused"] = "the token is not the run's"
            raise Problem(401, "Bad credentials")
        return self._jobs.authenticate(request)


def _token(header: str) -> str | None:
    """Return the token in an Authorization header. None if the header is empty."""
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
