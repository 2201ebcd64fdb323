from __future__ import annotations

import pytest
from index.routing import Request, Route, text_response
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder


def form(description: str) -> str:
    """Send a project's description in a form, and return it as the index reads it."""
    builder = EnvironBuilder(
        method="POST", data={"description": description}, content_type="multipart/form-data"
    )
    return Request(builder.get_environ()).form["description"]


def test_a_form_may_carry_a_whole_project_description() -> None:
    description = "x" * (8 * 1024 * 1024)
    assert form(description) == description


def test_a_form_without_end_is_refused() -> None:
    with pytest.raises(RequestEntityTooLarge):
        form("x" * (17 * 1024 * 1024))


def test_a_route_is_on_the_host_of_the_index_unless_it_has_another_role() -> None:
    route = Route("/a", lambda: text_response("a"))
    assert (route.role, route.methods) == ("index", ("GET",))
    assert Route("/a", lambda: text_response("a"), role="upload").role == "upload"


@pytest.mark.parametrize(("status", "code"), [(404, 404), ("403 No such user", 403)])
def test_a_text_is_one_line_with_its_status(status: int | str, code: int) -> None:
    response = text_response("ärger", status)
    assert response.status_code == code
    assert response.data == "ärger\n".encode()
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_status_may_have_its_own_reason() -> None:
    assert text_response("x", "403 No such user").status == "403 No such user"
