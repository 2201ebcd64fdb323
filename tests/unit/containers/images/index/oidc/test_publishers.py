"""Trusted publishing: which registration accepts which claims, and the error messages."""

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
    publisher,
    publishing_index,
)

WORKFLOWS = f"{OWNER}/strict/.github/workflows"


def other_ref(got: str, *refs: str) -> str:
    expected = sorted(f"{WORKFLOWS}/publish.yml@{ref}" for ref in refs or (TAG, SHA))
    return f"The job_workflow_ref claim does not match, expecting one of {expected!r}, got {got!r}"


STRANGERS: list[Any] = ["https://elsewhere.invalid", "", 5, ["list"], {"a": "table"}, False]

BEYOND: dict[str, tuple[Any, ...]] = {
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
    "repository with more": {"repository": f"{OWNER}/strict/more"},
    "empty repository": {"repository": ""},
    "same name, another account's number": {"repository_owner_id": "4243"},
    "owner number with a zero before it": {"repository_owner_id": "04242"},
    "renamed workflow": {"job_workflow_ref": f"{WORKFLOWS}/release.yml@{TAG}"},
    "workflow in another case": {"job_workflow_ref": f"{WORKFLOWS}/Publish.yml@{TAG}"},
    "workflow with the other ending": {"job_workflow_ref": f"{WORKFLOWS}/publish.yaml@{TAG}"},
    "no environment": {"environment": None},
    "empty environment": {"environment": ""},
    "another environment": {"environment": "staging"},
    "environment with a space": {"environment": "pypi "},
}

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no issuer", {"iss": None}, "invalid-payload", "malformed JWT"),
    *(
        (
            f"issuer {other!r}",
            {"iss": other},
            "invalid-payload",
            "unknown trusted publishing issuer",
        )
        for other in STRANGERS
    ),
    *(
        (f"{claim} {value!r}", {claim: value}, "invalid-token", "malformed or invalid token")
        for claim, values in BEYOND.items()
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
        for value in (5, ["list"], {"a": "table"}, True)
    ),
    (
        "environment of another type",
        {"environment": ["pypi"]},
        "invalid-publisher",
        "Check failed for optional claim 'environment'",
    ),
    *((what, changes, "invalid-publisher", NOT_FOUND) for what, changes in UNREGISTERED.items()),
    (
        "owner claim of another",
        {"repository_owner": "other"},
        "invalid-publisher",
        "Check failed for required claim 'repository_owner'",
    ),
    (
        "owner claim in another case",
        {"repository_owner": OWNER.upper()},
        "invalid-publisher",
        "Check failed for required claim 'repository_owner'",
    ),
    (
        "no file in the workflow's claim",
        {"job_workflow_ref": f"{WORKFLOWS}/.yml@{TAG}"},
        "invalid-publisher",
        "Could not job extract workflow filename from OIDC claims",
    ),
    (
        "no ref in the workflow's claim",
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
        (what, {"job_workflow_ref": got}, "invalid-publisher", other_ref(got))
        for what, got in {
            "a reusable workflow elsewhere": "o/shared/.github/workflows/publish.yml@refs/heads/m",
            "a reusable workflow elsewhere on this tag": (
                f"o/shared/.github/workflows/publish.yml@{TAG}"
            ),
            "the workflow of another tag": f"{WORKFLOWS}/publish.yml@refs/tags/v0.9.0",
            "the workflow on another branch": f"{WORKFLOWS}/publish.yml@refs/heads/main",
            "a workflow outside the workflows' folder": f"{OWNER}/strict/publish.yml@{TAG}",
            "the repository in another case": f"{OWNER}/Strict/.github/workflows/publish.yml@{TAG}",
            "an @ in a folder": f"{OWNER}/strict/publish.yml@x/.github/workflows/other.yml@{TAG}",
        }.items()
    ),
    (
        "the ref is another",
        {"ref": "refs/heads/main"},
        "invalid-publisher",
        other_ref(f"{WORKFLOWS}/publish.yml@{TAG}", "refs/heads/main", SHA),
    ),
    (
        "a pull request's target",
        {"event_name": "pull_request_target"},
        "invalid-publisher",
        "Publishing from a workflow invoked via 'pull_request_target' is not supported.",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_one_wrong_claim_is_refused_with_its_code_and_reason(
    index: PublishingIndex, changes: dict[str, Any], code: str, reason: str
) -> None:
    description = no_publisher(reason) if code == "invalid-publisher" else reason
    assert_refused(index.exchange(index.token(**changes)), code, description)


@pytest.mark.parametrize(
    "changes",
    [
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
        {"repository_visibility": "private", "never_heard_of": [1, {"deep": None}]},
    ],
    ids=str,
)
def test_what_is_not_looked_at_may_be_anything(
    index: PublishingIndex, changes: dict[str, Any]
) -> None:
    answer = index.exchange(index.token(**changes))
    assert answer.status_code == 200, answer.text


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
def test_the_environments_truth_table(
    index: PublishingIndex, registered: str, claimed: str | None, accepted: bool
) -> None:
    repository = "strict" if registered else "open"
    answer = index.exchange(index.token(repository, environment=claimed))
    if accepted:
        assert answer.status_code == 200, answer.text
    else:
        assert_refused(answer, "invalid-publisher", no_publisher(NOT_FOUND))


@pytest.mark.parametrize(
    ("claimed", "project"),
    [("pypi", "both-exact"), ("PYPI", "both-exact"), ("other", "both-any"), (None, "both-any")],
)
def test_the_exact_environment_wins_over_a_registration_with_none(
    index: PublishingIndex, claimed: str | None, project: str
) -> None:
    jti = f"both {claimed}"
    assert index.exchange(index.token("both", environment=claimed, jti=jti)).status_code == 200
    assert index.noted()["projects"] == [project]


def test_one_publisher_of_two_projects_gets_a_token_for_both(index: PublishingIndex) -> None:
    index.mint("pair")
    assert index.noted()["projects"] == ["pair-one", "pair-two"]


def test_of_fifty_tokens_for_one_new_project_all_are_exchanged(index: PublishingIndex) -> None:
    tokens = [index.token("contested") for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(index.exchange, tokens))
    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({answer.json()["token"] for answer in answers}) == 50


def test_the_first_use_of_a_pending_publisher_makes_it_the_projects_own(
    index: PublishingIndex,
) -> None:
    wrong = index.exchange(index.token("fresh", environment="staging"))
    assert_refused(wrong, "invalid-publisher", no_publisher(NOT_FOUND))
    token = index.token("fresh")
    assert index.exchange(token).status_code == 200
    # It stands by its own now: a second release needs no other registration.
    assert index.exchange(index.token("fresh")).status_code == 200
    assert_refused(index.exchange(token), "invalid-reuse-token", "invalid token: already used")


@pytest.mark.parametrize("repository", ["taken", "late"])
def test_a_pending_publisher_of_a_project_that_exists_is_refused_and_gone(
    index: PublishingIndex, repository: str
) -> None:
    answer = index.exchange(index.token(repository))
    assert_refused(answer, "invalid-pending-publisher", "valid token, but project already exists")
    again = index.exchange(index.token(repository))
    assert_refused(again, "invalid-publisher", no_publisher(NOT_FOUND))


def test_the_project_that_exists_comes_before_the_token_that_is_used(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    forms = {"active": [publisher("app", "app")], "pending": [publisher("app", "later")]}
    with publishing_index(tmp_path_factory.mktemp("order"), **forms) as ordered:
        assert ordered.exchange(ordered.token("app", jti="one id")).status_code == 200
        exists = ordered.exchange(ordered.token("later", jti="one id"))
        assert_refused(
            exists, "invalid-pending-publisher", "valid token, but project already exists"
        )


def test_a_used_token_brings_no_pending_publisher_into_force(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    forms = {"active": [publisher("app", "app")], "pending": [publisher("new", "new")]}
    with publishing_index(tmp_path_factory.mktemp("unused"), **forms) as unused:
        assert unused.exchange(unused.token("app", jti="one id")).status_code == 200
        reused = unused.exchange(unused.token("new", jti="one id"))
        assert_refused(reused, "invalid-reuse-token", "invalid token: already used")
        assert unused.noted()["code"] == "invalid-reuse-token"
        assert unused.exchange(unused.token("new")).status_code == 200
