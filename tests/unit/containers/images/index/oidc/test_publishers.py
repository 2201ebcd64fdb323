"""Trusted publishing: the registrations that accept claims, and the errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.helpers.oidc import (
    NOT_FOUND,
    OWNER,
    SHA,
    TAG,
    PublishingIndex,
    assert_refused,
    no_publisher,
)

WORKFLOWS = f"{OWNER}/strict/.github/workflows"


def wrong_ref(claim: str, *refs: str) -> str:
    expected = sorted(f"{WORKFLOWS}/publish.yml@{ref}" for ref in refs or (TAG, SHA))
    return (
        f"The job_workflow_ref claim does not match, expecting one of {expected!r}, got {claim!r}"
    )


UNKNOWN_ISSUERS: list[Any] = ["https://elsewhere.invalid", "", 5, ["list"], {"a": "b"}, False]

INVALID: dict[str, tuple[Any, ...]] = {
    "aud": (None, "", "PyPI", "testpypi", ["pypi"], ["pypi", "other"], 5, {"pypi": 1}),
    "exp": (None, "soon", "99999999999", [], True, float("inf"), float("nan"), 0, -1),
    "iat": (None, "now", [], True, float("nan"), float("inf"), 99_999_999_999),
    "nbf": ("now", [], True, float("nan"), 99_999_999_999),
}

UNREGISTERED: dict[str, dict[str, Any]] = {
    "another repository": {"repository": f"{OWNER}/other"},
    "another repository's owner": {"repository": "other/strict"},
    "repository in another case": {"repository": f"{OWNER}/Strict"},
    "owner in another case": {"repository": f"{OWNER.upper()}/strict"},
    "repository without owner": {"repository": "strict"},
    "repository with three parts": {"repository": f"{OWNER}/strict/more"},
    "empty repository": {"repository": ""},
    "another owner id": {"repository_owner_id": "4243"},
    "owner id with a leading zero": {"repository_owner_id": "04242"},
    "another workflow": {"job_workflow_ref": f"{WORKFLOWS}/release.yml@{TAG}"},
    "workflow in another case": {"job_workflow_ref": f"{WORKFLOWS}/Publish.yml@{TAG}"},
    "workflow with another suffix": {"job_workflow_ref": f"{WORKFLOWS}/publish.yaml@{TAG}"},
    "no environment": {"environment": None},
    "empty environment": {"environment": ""},
    "another environment": {"environment": "staging"},
    "environment with a space": {"environment": "pypi "},
}

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no issuer", {"iss": None}, "invalid-payload", "malformed JWT"),
    *(
        (
            f"issuer {issuer!r}",
            {"iss": issuer},
            "invalid-payload",
            "unknown trusted publishing issuer",
        )
        for issuer in UNKNOWN_ISSUERS
    ),
    *(
        (f"{claim} {value!r}", {claim: value}, "invalid-token", "malformed or invalid token")
        for claim, values in INVALID.items()
        for value in values
    ),
    *(
        (f"no {claim}", {claim: None}, "invalid-publisher", f"Missing claim {claim!r}")
        for claim in (
            "repository",
            "repository_owner",
            "repository_owner_id",
            "job_workflow_ref",
            "jti",
            "event_name",
            "ref",
            "sha",
        )
    ),
    *(
        (
            f"{claim} {value!r}",
            {claim: value},
            "invalid-publisher",
            f"Check failed for required claim {claim!r}",
        )
        for claim in (
            "repository",
            "repository_owner",
            "repository_owner_id",
            "job_workflow_ref",
            "jti",
            "event_name",
        )
        for value in (5, ["list"], {"a": "b"}, True)
    ),
    (
        "environment of another type",
        {"environment": ["pypi"]},
        "invalid-publisher",
        "Check failed for optional claim 'environment'",
    ),
    *((name, changes, "invalid-publisher", NOT_FOUND) for name, changes in UNREGISTERED.items()),
    (
        "another owner",
        {"repository_owner": "other"},
        "invalid-publisher",
        "Check failed for required claim 'repository_owner'",
    ),
    (
        "owner in another case",
        {"repository_owner": OWNER.upper()},
        "invalid-publisher",
        "Check failed for required claim 'repository_owner'",
    ),
    (
        "no file name in job_workflow_ref",
        {"job_workflow_ref": f"{WORKFLOWS}/.yml@{TAG}"},
        "invalid-publisher",
        "Could not job extract workflow filename from OIDC claims",
    ),
    (
        "no ref in job_workflow_ref",
        {"job_workflow_ref": f"{WORKFLOWS}/publish.yml"},
        "invalid-publisher",
        "Could not job extract workflow filename from OIDC claims",
    ),
    (
        "ref and sha empty",
        {"ref": "", "sha": ""},
        "invalid-publisher",
        "The ref and sha claims are empty",
    ),
    *(
        (name, {"job_workflow_ref": claim}, "invalid-publisher", wrong_ref(claim))
        for name, claim in {
            "reusable workflow of another repository": (
                "o/shared/.github/workflows/publish.yml@refs/heads/m"
            ),
            "reusable workflow of another repository on the same tag": (
                f"o/shared/.github/workflows/publish.yml@{TAG}"
            ),
            "workflow of another tag": f"{WORKFLOWS}/publish.yml@refs/tags/v0.9.0",
            "workflow of another branch": f"{WORKFLOWS}/publish.yml@refs/heads/main",
            "workflow in another folder": f"{OWNER}/strict/publish.yml@{TAG}",
            "workflow with repository in another case": (
                f"{OWNER}/Strict/.github/workflows/publish.yml@{TAG}"
            ),
            "@ in a folder": f"{OWNER}/strict/publish.yml@x/.github/workflows/other.yml@{TAG}",
        }.items()
    ),
    (
        "another ref",
        {"ref": "refs/heads/main"},
        "invalid-publisher",
        wrong_ref(f"{WORKFLOWS}/publish.yml@{TAG}", "refs/heads/main", SHA),
    ),
    (
        "event pull_request_target",
        {"event_name": "pull_request_target"},
        "invalid-publisher",
        "Publishing from a workflow invoked via 'pull_request_target' is not supported.",
    ),
]


def test_wrong_claim_is_refused_with_its_code_and_reason(index: PublishingIndex) -> None:
    failures: list[str] = []
    for name, changes, code, reason in REFUSED:
        description = no_publisher(reason) if code == "invalid-publisher" else reason
        try:
            assert_refused(index.exchange(index.token(**changes)), code, description)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
    assert failures == []


def test_claims_that_the_index_does_not_check_can_have_any_value(index: PublishingIndex) -> None:
    for changes in (
        {"nbf": None},
        {"environment": "PyPI"},
        {"job_workflow_ref": f"{WORKFLOWS}/publish.yml@{SHA}"},
        {"job_workflow_ref": f"{WORKFLOWS}/publish.yml@{SHA}", "ref": ""},
        {"ref": "refs/heads/any", "job_workflow_ref": f"{WORKFLOWS}/publish.yml@refs/heads/any"},
        {"sha": ""},
        {"event_name": "workflow_dispatch"},
        {"event_name": "pull_request"},
        {"sub": "repo:somebody/else:ref:refs/heads/main"},
        {"sub": None},
        {"sub": 5},
        {"actor": "somebody", "run_id": 9, "workflow_ref": "o/r/.github/workflows/caller.yml@x"},
        {"repository_visibility": "private", "unknown_claim": [1, {"deep": None}]},
    ):
        response = index.exchange(index.token(**changes))
        assert response.status_code == 200, (changes, response.text)


@pytest.mark.parametrize(
    ("registered", "claimed", "accepted"),
    [
        ("", None, True),
        ("", "anything", True),
        ("pypi", None, False),
        ("pypi", "staging", False),
        ("pypi", "PyPI", True),
    ],
)
def test_registered_environment_must_match(
    index: PublishingIndex, registered: str, claimed: str | None, accepted: bool
) -> None:
    repository = "strict" if registered else "open"
    response = index.exchange(index.token(repository, environment=claimed))
    if accepted:
        assert response.status_code == 200, response.text
    else:
        assert_refused(response, "invalid-publisher", no_publisher(NOT_FOUND))


@pytest.mark.parametrize(
    ("claimed", "project"),
    [("pypi", "both-exact"), ("PYPI", "both-exact"), ("other", "both-any"), (None, "both-any")],
)
def test_registration_with_the_environment_has_precedence_over_one_without(
    index: PublishingIndex, claimed: str | None, project: str
) -> None:
    jti = f"both {claimed}"
    assert index.exchange(index.token("both", environment=claimed, jti=jti)).status_code == 200
    assert index.last_exchange()["projects"] == [project]


def test_publisher_of_two_projects_gets_a_token_for_both(index: PublishingIndex) -> None:
    index.mint("pair")
    assert index.last_exchange()["projects"] == ["pair-one", "pair-two"]


def test_simultaneous_tokens_for_a_new_project_are_all_exchanged(index: PublishingIndex) -> None:
    tokens = [index.token("contested") for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        responses = list(pool.map(index.exchange, tokens))
    assert [response.status_code for response in responses] == [200] * 30
    assert len({response.json()["token"] for response in responses}) == 30


def test_first_exchange_makes_a_pending_publisher_active(index: PublishingIndex) -> None:
    wrong = index.exchange(index.token("fresh", environment="staging"))
    assert_refused(wrong, "invalid-publisher", no_publisher(NOT_FOUND))
    token = index.token("fresh")
    assert index.exchange(token).status_code == 200
    # The publisher is active now, so the second exchange does not need a pending one.
    assert index.exchange(index.token("fresh")).status_code == 200
    assert_refused(index.exchange(token), "invalid-reuse-token", "invalid token: already used")


@pytest.mark.parametrize("repository", ["existing", "late"])
def test_pending_publisher_of_an_existing_project_is_refused_and_removed(
    index: PublishingIndex, repository: str
) -> None:
    first = index.exchange(index.token(repository))
    assert_refused(first, "invalid-pending-publisher", "valid token, but project already exists")
    second = index.exchange(index.token(repository))
    assert_refused(second, "invalid-publisher", no_publisher(NOT_FOUND))


def test_existing_project_is_reported_before_a_used_token(index: PublishingIndex) -> None:
    assert index.exchange(index.token(jti="used 1")).status_code == 200
    response = index.exchange(index.token("late-and-used", jti="used 1"))
    assert_refused(response, "invalid-pending-publisher", "valid token, but project already exists")


def test_used_token_does_not_make_a_pending_publisher_active(index: PublishingIndex) -> None:
    assert index.exchange(index.token(jti="used 2")).status_code == 200
    response = index.exchange(index.token("unused", jti="used 2"))
    assert_refused(response, "invalid-reuse-token", "invalid token: already used")
    assert index.last_exchange()["code"] == "invalid-reuse-token"
    assert index.exchange(index.token("unused")).status_code == 200
