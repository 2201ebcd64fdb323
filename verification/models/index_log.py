"""The request log of the index: one line for each request and each refused TLS handshake."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from verification.models.base import Model


class UploadLog(Model):
    """The log entry of an upload."""

    identity: Mapping[str, str] | None = None
    """The claims of the identity token that was exchanged for the upload token."""
    file: str = ""
    """The file name."""
    sha256: str = ""
    """The sha256 of the file."""
    known: bool = False
    """True if the index already has the same file with the same content."""
    attestations: int = 0
    """The number of the verified attestations of the file."""
    refused: str = ""
    """Why the index refused the upload."""
    mails: tuple[str, ...] = ()
    """The mails that the live index sends to the owners of the project after this upload."""


class ExchangeLog(Model):
    """The log entry of an exchange of an identity token for an upload token."""

    identity: Mapping[str, str] | None = None
    """The claims of the identity token; the matching publisher after an accepted exchange."""
    projects: tuple[str, ...] = ()
    """The projects for which the upload token is valid."""
    expires: int | None = None
    """When the upload token expires, in seconds since 1970, UTC."""
    code: str = ""
    """The error code of a refusal."""
    description: str = ""
    """The index's description of a refusal."""
    mails: tuple[str, ...] = ()
    """The mails that the live index sends to the owners of the project after this exchange."""
    why: str = ""
    """Details that the index did not put in its response."""


class LoggedRequest(Model):
    """One line of a server's log. A refused TLS handshake has only time, client and reason."""

    time: str
    """The start of the request, in UTC (ISO 8601)."""
    client: str
    """The address of the client."""
    tls_refused: str = ""
    """Why the client refused the TLS handshake."""
    method: str = ""
    """The HTTP method."""
    host: str = ""
    """The header Host."""
    path: str = ""
    """The requested path."""
    user_agent: str = ""
    """The header User-Agent."""
    status: int | None = None
    """The status of the response; None if there was no response."""
    bytes: int = 0
    """The size of the body that was sent, in bytes."""
    complete: bool = False
    """True if the whole body was sent."""
    seconds: float = 0.0
    """The duration in seconds."""
    open: bool = False
    """True if the request had not ended when the log was read."""
    file: str = ""
    """The name of the served file. The name of a metadata file ends with ``.metadata``."""
    sha256: str = ""
    """The sha256 of the body that was sent, for a file."""
    error: str = ""
    """The server's exception, if it failed to respond."""
    cut: tuple[str, ...] = ()
    """The names of the values of which the server logged only the first 2,000 characters."""

    @property
    def failure(self) -> str:
        """Why the response is missing, incomplete or a server error; empty if it is none of these.

        A download that the client aborted counts as a failure too, because the log does not show
        which side aborted it.
        """
        if self.tls_refused:
            return f"the TLS handshake failed ({self.tls_refused})"
        if self.open:
            return f"the response to {self.path} did not end"
        if self.status is None:
            return f"there was no response to {self.path}"
        if self.status >= 500:
            return f"{self.path} answered {self.status}"
        if not self.complete:
            return f"the download of {self.path} ended after {self.bytes} bytes (truncated)"
        return ""

    @property
    def is_served(self) -> bool:
        """True if the response is a success with a body."""
        return self.status == 200


class IndexRequest(LoggedRequest):
    """One line of the index's log."""

    range: str | None = Field(default=None, description="The header Content-Range of the response.")
    fault: str = ""
    """The fault that a test planted for this request."""
    upload: UploadLog | None = None
    """The uploaded file; null for other requests."""
    oidc: ExchangeLog | None = None
    """The exchange of a token; null for other requests."""
