"""How a module of the index offers what it answers: routes, each on the host its role has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import server.routing
from werkzeug.wrappers import Response

Role: TypeAlias = Literal["index", "upload", "files", "publishing", "any"]


class Request(server.routing.Request):
    """A request whose form may carry a whole project description."""

    max_form_memory_size = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route(server.routing.Route):
    """A route for the host that has a role."""

    role: Role = "index"


def text_response(text: str, status: int | str = 200) -> Response:
    """Return a response of one line of text."""
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
