"""Requests, responses and routes of the index.

A route names the role of its host name, such as upload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import server.routing
from server.json_reader import JsonObject
from werkzeug.wrappers import Response

Role: TypeAlias = Literal["index", "upload", "files", "publishing", "signing", "any"]


class Request(server.routing.Request):
    """A request. Its form can contain a long project description."""

    max_form_memory_size = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route(server.routing.Route):
    """A route on each host name of the index that has ``role``."""

    role: Role = "index"


def add_mail(notes: JsonObject, name: str) -> None:
    """Log that the default index sends a mail to the owners of the project."""
    mails = notes.setdefault("mails", [])
    if isinstance(mails, list):
        mails.append(name)


def text_response(text: str, status: int | str = 200) -> Response:
    """Return a response of one line of text."""
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
