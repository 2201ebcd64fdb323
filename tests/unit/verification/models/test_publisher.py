from __future__ import annotations

import pydantic
import pytest

from verification.models.publisher import TrustedPublisher


def publisher(**values: str | bool) -> TrustedPublisher:
    fields = {
        "project": "quiverdb",
        "owner": "octo-org",
        "owner_id": "42",
        "repository": "quiver2",
        "workflow": "publish.yml",
        "environment": "pypi",
        "pending": True,
    }
    return TrustedPublisher.model_validate(fields | values)


def test_the_form_has_the_values_without_empty_ones() -> None:
    assert publisher().form() == {
        "project": "quiverdb",
        "owner": "octo-org",
        "owner_id": "42",
        "repository": "quiver2",
        "workflow": "publish.yml",
        "environment": "pypi",
    }
    assert "environment" not in publisher(environment="").form()


def test_the_slug_is_owner_and_name() -> None:
    assert publisher().slug == "octo-org/quiver2"


def test_a_registration_is_normalised_as_on_the_index() -> None:
    mixed = publisher(project="Quiver_DB", environment="PyPI", owner="Octo-Org")
    assert (mixed.project, mixed.environment, mixed.owner) == ("quiver-db", "pypi", "Octo-Org")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project", "-x"),
        ("pending", "yes"),
        ("owner", "a_b"),
        ("owner_id", True),
        ("owner_id", "x"),
        ("repository", "octo-org/quiver2"),
        ("workflow", ".yml"),
        ("workflow", "a/publish.yml"),
        ("environment", " pypi"),
        ("environment", "a;b"),
        ("environment", "x" * 256),
        ("colour", "blue"),
    ],
)
def test_a_value_that_the_form_refuses_is_refused(key: str, value: str | bool) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        publisher(**{key: value})
    assert [fault["loc"] for fault in error.value.errors()] == [(key,)]


def test_a_new_project_cannot_have_the_name_of_a_standard_module() -> None:
    assert publisher(project="Turtle", pending=False).project == "turtle"
    with pytest.raises(pydantic.ValidationError) as error:
        publisher(project="Turtle", pending=True)
    assert [fault["type"] for fault in error.value.errors()] == ["value_error"]
