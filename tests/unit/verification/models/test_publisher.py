from __future__ import annotations

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


def test_the_index_is_given_what_the_form_holds() -> None:
    assert publisher().form() == {
        "project": "quiverdb",
        "owner": "octo-org",
        "owner_id": "42",
        "repository": "quiver2",
        "workflow": "publish.yml",
        "environment": "pypi",
    }
    assert "environment" not in publisher(environment="").form()


def test_owner_and_name_are_joined_as_github_does() -> None:
    assert publisher().slug == "octo-org/quiver2"


def test_a_registration_is_stored_as_the_index_stores_it() -> None:
    found = publisher(project="Quiver_DB", environment="PyPI", owner="Octo-Org")
    assert (found.project, found.environment, found.owner) == ("quiver-db", "pypi", "Octo-Org")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("project", "-x", "a letter or digit at both ends"),
        ("project", "Turtle", "standard library"),
        ("pending", "yes", "valid boolean"),
        ("owner_id", True, "valid string"),
        ("colour", "blue", "not permitted"),
    ],
)
def test_what_the_form_would_refuse_is_refused(key: str, value: str | bool, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        publisher(**{key: value})
