"""Requests, responses and routes of the forge.

A route has a host name and the access that it requires.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import server.routing
from server.json_reader import Json, JsonObject
from werkzeug.wrappers import Response

WEB = "github.com"
API = "api.github.com"
UPLOADS = "uploads.github.com"
FILES = "release-assets.githubusercontent.com"
ISSUER = "token.actions.githubusercontent.com"
ACTIONS = "pipelines.actions.githubusercontent.com"
HOSTS = (WEB, API, UPLOADS, FILES, ISSUER, ACTIONS)

Access: TypeAlias = Literal["open", "token", "read", "write", "actions: read", "actions: write"]
"""What a route requires: no token, the run's token, ``contents: read``, ``contents: write``, or a
permission for ``actions``."""

_DOCUMENTATION = "https://docs.github.com/rest"
_MAX_JSON_BYTES = 1024 * 1024
_KIND_NAMES: dict[type, str] = {str: "a string", bool: "a boolean", dict: "an object"}

_Value = TypeVar("_Value")


class Problem(Exception):
    """An error response with GitHub's words."""

    def __init__(self, status: int, message: str, *errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors

    def response(self) -> Response:
        """Return the JSON response."""
        body: JsonObject = {"message": self.message}
        if self.errors:
            body["errors"] = [{**error} for error in self.errors]
        body |= {"documentation_url": _DOCUMENTATION, "status": str(self.status)}
        return json_response(body, self.status)


def not_found() -> Problem:
    """Return the error 404. It hides whether something exists."""
    return Problem(404, "Not Found")


def invalid(*errors: Mapping[str, str]) -> Problem:
    """Return the error 422 for well-formed input with values that are not valid."""
    return Problem(422, "Validation Failed", *errors)


class Body:
    """The JSON object in a request. A null value counts as absent."""

    def __init__(self, values: JsonObject) -> None:
        self._values = values

    def get(self, name: str, kind: type[_Value]) -> _Value | None:
        """Return a value of a kind, which is one of `str`, `bool` and `dict`.

        Raises:
            Problem: 422: the value has another kind.
        """
        value = self._values.get(name)
        if value is None or isinstance(value, kind):
            return value
        fault = f"For 'properties/{name}', {json.dumps(value)[:80]} is not {_KIND_NAMES[kind]}."
        raise Problem(422, f"Invalid request.\n\n{fault}")


class Request(server.routing.Request):
    """A request to the forge."""

    writes: bool = False
    """True if the job can write contents. Such a job also gets drafts."""

    def body(self) -> Body:
        """Return the JSON object in the body.

        Raises:
            Problem: the body is not JSON, not an object, or too large.
        """
        if (self.content_length or 0) > _MAX_JSON_BYTES:
            # With 413, the server ends the connection before the client reads the response.
            raise Problem(422, "The body is too large")
        try:
            value: Json = json.loads(self.get_data() or b"{}")
        except (ValueError, RecursionError):
            raise Problem(400, "Problems parsing JSON") from None
        if not isinstance(value, dict):
            raise Problem(400, "Body should be a JSON object")
        return Body(value)


@dataclass(frozen=True, slots=True)
class Route(server.routing.Route):
    """A route on one host name of the forge, and the access that it requires."""

    access: Access
    host: str = API


def json_response(
    value: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a JSON value and GitHub's content type."""
    response = server.routing.json_response(value, status, headers)
    response.content_type = "application/json; charset=utf-8"
    return response


def no_content() -> Response:
    """Return a response without content, for a deletion."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def redirect(url: str) -> Response:
    """Return a redirection to a URL."""
    return Response(status=302, headers={"Location": url})
