"""Pages of a list, with the Link header that clients follow."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from server.json_reader import Json
from werkzeug.wrappers import Response

from .routing import API, Request, json_response

_DEFAULT_SIZE = 30
_MAX_SIZE = 100


def page_response(request: Request, items: Sequence[Json]) -> Response:
    """Answer with the requested page of a list (``per_page``, ``page``)."""
    size = min(_number(request, "per_page", _DEFAULT_SIZE), _MAX_SIZE)
    number = _number(request, "page", 1)
    last = max(1, -(-len(items) // size))
    page_items = items[(number - 1) * size : number * size]
    links: dict[str, int] = {}
    if number > 1:
        links |= {"prev": min(number - 1, last), "first": 1}
    if number < last:
        links |= {"next": number + 1, "last": last}
    query = [
        (key, value)
        for key, value in request.args.items(multi=True)
        if key not in ("page", "per_page")
    ]
    url = f"https://{API}{quote(request.path)}"
    link = ", ".join(
        f'<{url}?{urlencode([*query, ("per_page", size), ("page", target)])}>; rel="{relation}"'
        for relation, target in links.items()
    )
    return json_response(list(page_items), headers={"Link": link} if link else None)


def _number(request: Request, name: str, default: int) -> int:
    text = request.args.get(name, "")
    # Longer numbers count as absent: no list here is that long.
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return value or default
