"""The router: the route of a path and a method."""

from __future__ import annotations

import json

import pytest
from server.request_log import NOTES
from server.routing import Request, Route, Router, json_response
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

READ = Route("/files/<name>", Response)
WRITE = Route("/files/<name>", Response, methods=("POST", "DELETE"))
NUMBER = Route("/releases/<int:number>", Response)
FOLDER = Route("/simple/", Response)


def router(*, strict_slashes: bool = False) -> Router[Route]:
    router: Router[Route] = Router(strict_slashes=strict_slashes)
    for route in (READ, WRITE, NUMBER, FOLDER):
        router.add(route)
    return router


def request(path: str, method: str = "GET") -> Request:
    return Request(EnvironBuilder(path=path, method=method).get_environ())


@pytest.mark.parametrize(
    ("path", "method", "route", "values"),
    [
        ("/files/a.whl", "GET", READ, {"name": "a.whl"}),
        ("/files/a.whl", "HEAD", READ, {"name": "a.whl"}),
        ("/files/a.whl", "POST", WRITE, {"name": "a.whl"}),
        ("/files/a.whl", "DELETE", WRITE, {"name": "a.whl"}),
        ("/releases/12", "GET", NUMBER, {"number": 12}),
        ("/simple/", "GET", FOLDER, {}),
    ],
)
def test_router_matches_path_and_method(
    path: str, method: str, route: Route, values: dict[str, str | int]
) -> None:
    match, variables = router().match(request(path, method))
    assert match is route
    assert variables == values


@pytest.mark.parametrize("path", ["/", "/files/", "/files/a/b", "/releases/-1", "//simple/"])
def test_path_without_a_route_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        router().match(request(path))


def test_method_without_a_route_is_not_allowed() -> None:
    with pytest.raises(MethodNotAllowed) as error:
        router().match(request("/files/a.whl", "PUT"))
    assert set(error.value.valid_methods or ()) == {"GET", "HEAD", "POST", "DELETE"}


def test_path_without_final_slash_is_redirected_only_with_strict_slashes() -> None:
    assert router().match(request("/simple")) == (FOLDER, {})
    with pytest.raises(RequestRedirect) as redirection:
        router(strict_slashes=True).match(request("/simple"))
    assert redirection.value.new_url.endswith("/simple/")


def test_notes_of_a_request_are_the_notes_of_its_log_line() -> None:
    noted_request = request("/simple/")
    notes: dict[str, str] = {}
    noted_request.environ[NOTES] = notes
    noted_request.notes["file"] = "a.whl"
    assert notes == {"file": "a.whl"}


def test_json_response_has_its_status_and_headers() -> None:
    response = json_response(["ä", None], 202, {"X-Name": "x"})
    assert (response.status_code, response.headers["X-Name"]) == (202, "x")
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.data) == ["ä", None]
