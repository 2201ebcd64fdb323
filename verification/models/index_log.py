"""The request log of the index: one line for each request and each refused TLS handshake."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from verification.models.base import Model


class UploadLog(Model):
    """What the index noted about an upload."""

    identity: Mapping[str, str] | None = None
    """The claims of the identity token that the upload token was exchanged for."""
    file: str = ""
    sha256: str = ""
    known: bool = False
    """Whether the index already has exactly this file."""
    refused: str = ""
    """Why the index refused the upload."""


class ExchangeLog(Model):
    """What the index noted about the exchange of an identity token for an upload token."""

    identity: Mapping[str, str] | None = None
    projects: tuple[str, ...] = ()
    expires: int | None = None
    """When the upload token expires, in seconds since 1970, UTC."""
    code: str = ""
    """The error code of a refusal."""
    description: str = ""
    why: str = ""
    """What the index knows beyond the text that it answered with."""


class LoggedRequest(Model):
    """One line of a server's log. A refused TLS handshake has no more than time, client, reason."""

    time: str
    """When the request began, in UTC (ISO 8601)."""
    client: str
    """The address that it came from."""
    tls_refused: str = ""
    """Why the client refused the TLS handshake."""
    method: str = ""
    host: str = ""
    path: str = ""
    user_agent: str = ""
    status: int | None = None
    """The status of the answer; None if there was no answer."""
    bytes: int = 0
    """The size of the body that was sent."""
    complete: bool = False
    """Whether the whole body was sent."""
    seconds: float = 0.0
    open: bool = False
    """Whether the request had not ended when the log was read."""
    file: str = ""
    """The name of the file that was served; of its metadata, with ``.metadata`` at the end."""
    sha256: str = ""
    """Of the body that was sent, for a file."""
    error: str = ""
    """The exception with which the server failed to answer."""

    @property
    def failure(self) -> str:
        """Why the client got no complete answer; empty if it got one with a status below 500.

        A download that the client itself broke off is a failure as well: the log does not show who
        broke it off.
        """
        if self.tls_refused:
            return f"the TLS handshake failed ({self.tls_refused})"
        if self.open:
            return f"{self.path} was requested, and its answer did not end"
        if self.status is None:
            return f"{self.path} was not answered"
        if self.status >= 500:
            return f"{self.path} answered {self.status}"
        if not self.complete:
            return f"{self.path} broke off after {self.bytes} bytes (truncated download)"
        return ""

    @property
    def is_served(self) -> bool:
        """Whether the answer is a success with a body."""
        return self.status == 200


class IndexRequest(LoggedRequest):
    """One line of the index's log."""

    range: str | None = Field(default=None, description="The header Content-Range of the answer.")
    fault: str = ""
    """The fault that a test had the index make."""
    upload: UploadLog | None = None
    oidc: ExchangeLog | None = None
