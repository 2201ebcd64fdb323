"""Routes: a path and the handler that answers it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Generic, TypeAlias, TypeVar

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response

from .json_reader import Json, JsonObject
from .request_log import NOTES

Handler: TypeAlias = Callable[..., Response]


class Request(WerkzeugRequest):
    """A request with notes for the log."""

    @property
    def notes(self) -> JsonObject:
        """Additional values for the log line of this request."""
        notes: JsonObject = self.environ[NOTES]
        return notes


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern in werkzeug's notation and the handler that answers it."""

    path: str
    handler: Handler
    _: KW_ONLY
    methods: tuple[str, ...] = ("GET",)


_Route = TypeVar("_Route", bound=Route)


class Router(Generic[_Route]):
    """Finds the route of a request."""

    def __init__(self, *, strict_slashes: bool) -> None:
        self._routes: list[_Route] = []
        self._map = Map(strict_slashes=strict_slashes, merge_slashes=False, redirect_defaults=False)

    def add(self, route: _Route) -> None:
        """Add a route."""
        self._map.add(Rule(route.path, methods=route.methods, endpoint=len(self._routes)))
        self._routes.append(route)

    def match(self, request: Request) -> tuple[_Route, dict[str, str | int]]:
        """Return the route of a request, and the values of the variables in its path.

        Raises:
            HTTPException: no route matches the path and the method.
        """
        number, values = self._map.bind_to_environ(request.environ).match()
        return self._routes[number], dict(values)


def json_response(
    value: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a JSON value."""
    return Response(
        json.dumps(value), status=status, headers=headers, content_type="application/json"
    )
