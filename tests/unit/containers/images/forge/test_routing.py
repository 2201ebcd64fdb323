from __future__ import annotations

import json

import pytest
from forge import routing
from forge.routing import Body, Problem, Request, Route
from server.json_reader import Json
from werkzeug.test import EnvironBuilder

from containers.forge import HOSTS


def sent(data: bytes) -> Body:
    return Request(EnvironBuilder(method="POST", data=data).get_environ()).body()


def test_the_host_side_has_the_same_names() -> None:
    assert routing.HOSTS == HOSTS


def test_a_problem_is_answered_as_json_with_its_errors() -> None:
    error = {"resource": "Release", "field": "tag_name", "code": "invalid"}
    response = routing.invalid(error).response()
    assert response.status_code == 422
    body = response.get_json()
    assert (body["message"], body["status"]) == ("Validation Failed", "422")
    assert body["errors"] == [error]


def test_a_problem_without_errors_has_no_such_key() -> None:
    response = routing.not_found().response()
    assert response.status_code == 404
    assert response.get_json().keys() == {"message", "documentation_url", "status"}


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("a", str, "x"),
        ("b", bool, False),
        ("c", dict, {"d": 1}),
        ("n", str, None),
        ("z", str, None),
    ],
)
def test_a_value_is_read_and_null_counts_as_absent(name: str, kind: type, value: Json) -> None:
    assert Body({"a": "x", "b": False, "c": {"d": 1}, "n": None}).get(name, kind) == value


@pytest.mark.parametrize(
    ("value", "kind"), [(1, str), ("true", bool), (1, bool), ([], dict), (False, str)]
)
def test_a_value_of_another_kind_is_refused(value: Json, kind: type) -> None:
    with pytest.raises(Problem, match="properties/a") as problem:
        Body({"a": value}).get("a", kind)
    assert problem.value.status == 422


def test_a_long_value_is_shortened_in_the_answer() -> None:
    with pytest.raises(Problem) as problem:
        Body({"a": ["x" * 1000]}).get("a", str)
    assert len(problem.value.message) < 200


@pytest.mark.parametrize("data", [b"", b"{}"])
def test_a_body_that_is_empty_has_no_values(data: bytes) -> None:
    assert sent(data).get("a", str) is None


def test_a_body_is_a_json_object() -> None:
    assert sent(b'{"a": "x"}').get("a", str) == "x"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', 422),
    ],
    ids=["half", "bytes", "deep", "list", "null", "large"],
)
def test_a_body_that_is_no_json_object_or_too_large_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(Problem) as problem:
        sent(data)
    assert problem.value.status == status


def test_a_request_writes_nothing_unless_its_job_may() -> None:
    assert Request(EnvironBuilder().get_environ()).writes is False


def test_a_route_is_on_the_host_of_the_api_unless_it_names_another() -> None:
    route = Route("/a", routing.no_content, access="open")
    assert (route.host, route.methods) == ("api.github.com", ("GET",))


def test_json_has_its_character_set_in_its_type() -> None:
    response = routing.json_response({"a": 1}, 201, {"Location": "/x"})
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (response.status_code, response.headers["Location"]) == (201, "/x")
    assert json.loads(response.data) == {"a": 1}


def test_a_deletion_is_answered_without_content_and_type() -> None:
    response = routing.no_content()
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers


def test_a_redirection_has_the_address() -> None:
    response = routing.redirect("https://files.example/a")
    assert (response.status_code, response.headers["Location"]) == (302, "https://files.example/a")
