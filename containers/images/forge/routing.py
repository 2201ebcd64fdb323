"""How a module offers what it answers: routes, each on a host and with the access it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from werkzeug.wrappers import Request as BaseRequest
from werkzeug.wrappers import Response

WEB = "github.com"
API = "api.github.com"
UPLOADS = "uploads.github.com"
FILES = "release-assets.githubusercontent.com"
ISSUER = "token.actions.githubusercontent.com"
ACTIONS = "pipelines.actions.githubusercontent.com"
HOSTS = (WEB, API, UPLOADS, FILES, ISSUER, ACTIONS)

Access = Literal["open", "token", "read", "write"]
"""Nobody is asked; a token that is the run's; ``contents: read``; ``contents: write``."""

_DOCUMENTATION = "https://docs.github.com/rest"
_LARGEST_JSON = 1024 * 1024
_KINDS: dict[type, str] = {str: "a string", bool: "a boolean", int: "an integer", dict: "an object"}


class Problem(Exception):
    """An answer that is an error, as GitHub words it."""

    def __init__(
        self,
        status: int,
        message: str,
        errors: Sequence[Mapping[str, Any]] = (),
        documentation: str = _DOCUMENTATION,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.documentation = documentation

    def response(self) -> Response:
        """Return the JSON body that clients look into."""
        body: dict[str, Any] = {"message": self.message}
        if self.errors:
            body["errors"] = [dict(error) for error in self.errors]
        body |= {"documentation_url": self.documentation, "status": str(self.status)}
        return answer(body, self.status)


def not_found() -> Problem:
    """Return the answer that hides whether there is something."""
    return Problem(404, "Not Found")


def invalid(*errors: Mapping[str, Any]) -> Problem:
    """Return the answer to input that is well-formed and cannot be taken."""
    return Problem(422, "Validation Failed", errors)


class Request(BaseRequest):
    """A request, with the notes that go into its line of the log."""

    notes: dict[str, Any]
    writes: bool = False
    """Whether the asking job may write contents; it then sees drafts."""

    def table(self, **kinds: type) -> dict[str, Any]:
        """Return the JSON object that was sent; values in ``kinds`` have their type or are null.

        Raises:
            Problem: no JSON, no object, or a value of another type.
        """
        if (self.content_length or 0) > _LARGEST_JSON:
            raise Problem(422, "The body is too large")  # the server cuts a 413 off
        try:
            value = json.loads(self.get_data() or b"{}")
        except (ValueError, RecursionError):
            raise Problem(400, "Problems parsing JSON") from None
        if not isinstance(value, dict):
            raise Problem(400, "Body should be a JSON object")
        for name, kind in kinds.items():
            found = value.get(name)
            wrong = not isinstance(found, kind) or (kind is int and isinstance(found, bool))
            if found is not None and wrong:
                told = f"For 'properties/{name}', {json.dumps(found)[:80]} is not {_KINDS[kind]}."
                raise Problem(422, f"Invalid request.\n\n{told}")
        return value


Handler = Callable[..., Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern in werkzeug's notation, who answers it, on which host and to whom."""

    path: str
    handler: Handler
    access: Access
    host: str = API
    methods: tuple[str, ...] = ("GET",)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make an answer of a JSON value."""
    return Response(
        json.dumps(value),
        status=status,
        headers=dict(headers or {}),
        content_type="application/json; charset=utf-8",
    )


def nothing() -> Response:
    """Make the answer to a deletion."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def moved(url: str) -> Response:
    """Make an answer that sends the client elsewhere."""
    return Response(status=302, headers={"Location": url})
