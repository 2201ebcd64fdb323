"""How a module offers what it answers: routes, each on the host name its role has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.wrappers import Request as BaseRequest
from werkzeug.wrappers import Response


class Request(BaseRequest):
    """A request whose form may carry a whole project description."""

    max_form_memory_size = 16 * 1024 * 1024


Handler = Callable[..., Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern in werkzeug's notation, who answers it, on which host and for what."""

    path: str
    handler: Handler
    role: str = "index"
    methods: tuple[str, ...] = ("GET",)


def plain(text: str, status: int | str = 200) -> Response:
    """Make an answer of one line of text."""
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
