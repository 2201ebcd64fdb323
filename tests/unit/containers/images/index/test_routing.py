"""Requests, responses and routes of the index."""

from __future__ import annotations

import pytest
from index.routing import Request, Route, text_response
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder


def form(description: str) -> str:
    """Send a description in a form. Return what the index reads from the form."""
    builder = EnvironBuilder(
        method="POST", data={"description": description}, content_type="multipart/form-data"
    )
    return Request(builder.get_environ()).form["description"]


def test_form_can_contain_a_long_description() -> None:
    description = "x" * (8 * 1024 * 1024)
    assert form(description) == description


def test_too_long_form_is_refused() -> None:
    with pytest.raises(RequestEntityTooLarge):
        form("x" * (17 * 1024 * 1024))


def test_default_role_of_a_route_is_index() -> None:
    route = Route("/a", lambda: text_response("a"))
    assert (route.role, route.methods) == ("index", ("GET",))
    assert Route("/a", lambda: text_response("a"), role="upload").role == "upload"


@pytest.mark.parametrize(("status", "code"), [(404, 404), ("403 No such user", 403)])
def test_text_response_is_one_line_with_its_status(status: int | str, code: int) -> None:
    response = text_response("ärger", status)
    assert response.status_code == code
    assert response.data == "ärger\n".encode()
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_status_can_have_a_reason() -> None:
    assert text_response("x", "403 No such user").status == "403 No such user"
