"""Requests, responses and routes of the forge."""

from __future__ import annotations

import json

import pytest
from forge import routing
from forge.routing import Body, Problem, Request, Route
from server.json_reader import Json
from werkzeug.test import EnvironBuilder

from containers.forge import HOSTS


def body_of(data: bytes) -> Body:
    return Request(EnvironBuilder(method="POST", data=data).get_environ()).body()


def test_host_names_are_equal_on_the_host_side() -> None:
    assert routing.HOSTS == HOSTS


def test_problem_becomes_json_with_its_errors() -> None:
    error = {"resource": "Release", "field": "tag_name", "code": "invalid"}
    response = routing.invalid(error).response()
    assert response.status_code == 422
    body = response.get_json()
    assert (body["message"], body["status"]) == ("Validation Failed", "422")
    assert body["errors"] == [error]


def test_problem_without_errors_has_no_key_for_them() -> None:
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
def test_value_is_returned_and_null_counts_as_absent(name: str, kind: type, value: Json) -> None:
    assert Body({"a": "x", "b": False, "c": {"d": 1}, "n": None}).get(name, kind) == value


@pytest.mark.parametrize(
    ("value", "kind"), [(1, str), ("true", bool), (1, bool), ([], dict), (False, str)]
)
def test_value_of_another_kind_is_refused(value: Json, kind: type) -> None:
    with pytest.raises(Problem, match="properties/a") as problem:
        Body({"a": value}).get("a", kind)
    assert problem.value.status == 422


def test_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(Problem) as problem:
        Body({"a": ["x" * 1000]}).get("a", str)
    assert len(problem.value.message) < 200


@pytest.mark.parametrize("data", [b"", b"{}"])
def test_empty_body_has_no_values(data: bytes) -> None:
    assert body_of(data).get("a", str) is None


def test_body_is_a_json_object() -> None:
    assert body_of(b'{"a": "x"}').get("a", str) == "x"


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
    ids=["incomplete", "bytes", "deep", "list", "null", "large"],
)
def test_body_that_is_not_an_object_or_too_large_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(Problem) as problem:
        body_of(data)
    assert problem.value.status == status


def test_new_request_cannot_write() -> None:
    assert Request(EnvironBuilder().get_environ()).writes is False


def test_default_host_of_a_route_is_the_api() -> None:
    route = Route("/a", routing.no_content, access="open")
    assert (route.host, route.methods) == ("api.github.com", ("GET",))


def test_content_type_of_json_has_the_character_set() -> None:
    response = routing.json_response({"a": 1}, 201, {"Location": "/x"})
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (response.status_code, response.headers["Location"]) == (201, "/x")
    assert json.loads(response.data) == {"a": 1}


def test_response_to_a_deletion_has_no_content_and_type() -> None:
    response = routing.no_content()
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers


def test_redirection_has_the_url() -> None:
    response = routing.redirect("https://files.example/a")
    assert (response.status_code, response.headers["Location"]) == (302, "https://files.example/a")
