"""The claims of an identity token."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from containers.forge import ISSUER
from tests.helpers.forge_server import (
    NEW,
    PUBLISH,
    WORKFLOW,
    Forge,
    running,
)
from verification.models.forge import JobIdentity

pytestmark = pytest.mark.usefixtures("publish_job")


def test_a_token_says_all_that_is_true_of_the_run_and_the_job(forge: Forge) -> None:
    made = forge.claims()
    now = int(time.time())
    assert now - 5 <= made["iat"] <= now
    assert made["nbf"] == made["iat"] - 600
    assert made["exp"] == made["iat"] + 300
    told = {key: value for key, value in made.items() if key not in ("jti", "iat", "nbf", "exp")}
    assert told == {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": "pypi",
        "sub": "repo:quiver-owner/quiver2:environment:pypi",
        "environment": "pypi",
        "ref": "refs/tags/v0.5.0",
        "ref_type": "tag",
        "ref_protected": "false",
        "sha": NEW,
        "repository": "quiver-owner/quiver2",
        "repository_id": "74",
        "repository_owner": "quiver-owner",
        "repository_owner_id": "65",
        "repository_visibility": "public",
        "run_id": "4711",
        "run_number": "10",
        "run_attempt": "2",
        "actor": "octo",
        "actor_id": "12",
        "workflow": "Publish",
        "workflow_ref": "quiver-owner/quiver2/.github/workflows/publish.yml@refs/tags/v0.5.0",
        "workflow_sha": NEW,
        "job_workflow_ref": "quiver-owner/quiver2/.github/workflows/publish.yml@refs/tags/v0.5.0",
        "job_workflow_sha": NEW,
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "runner_environment": "github-hosted",
    }


@pytest.mark.parametrize(
    ("identity", "subject"),
    [
        (JobIdentity(job="j", permissions={"id-token": "write"}), "ref:refs/tags/v0.5.0"),
        (
            JobIdentity(job="j", permissions={"id-token": "write"}, environment="Release"),
            "environment:Release",
        ),
        (
            JobIdentity(job="j", permissions={"id-token": "write"}, environment="a:b"),
            "environment:a%3Ab",
        ),
    ],
)
def test_the_subject_is_the_environment_or_else_the_ref(
    forge: Forge, identity: JobIdentity, subject: str
) -> None:
    forge.register(identity)
    made = forge.claims()
    assert made["sub"] == f"repo:quiver-owner/quiver2:{subject}"
    assert made.get("environment") == identity.environment


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"event_name": "pull_request", "ref": "refs/pull/7/merge", "head_ref": "topic"},
            {
                "sub": "repo:quiver-owner/quiver2:pull_request",
                "ref_type": "branch",
                "head_ref": "topic",
                "event_name": "pull_request",
            },
        ),
        (
            {"ref": "refs/heads/main", "ref_protected": True, "actor": "other"},
            {
                "sub": "repo:quiver-owner/quiver2:ref:refs/heads/main",
                "ref_type": "branch",
                "ref_protected": "true",
                "actor": "other",
                "workflow_ref": (
                    "quiver-owner/quiver2/.github/workflows/publish.yml@refs/heads/main"
                ),
            },
        ),
    ],
    ids=["pull-request", "branch"],
)
def test_another_run_has_other_claims(
    tmp_path: Path, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    with running(tmp_path / "other", run=WORKFLOW.model_dump(mode="json") | changes) as forge:
        forge.register(JobIdentity(job="j", permissions={"id-token": "write"}))
        made = forge.claims()
    assert {key: made[key] for key in expected} == expected


def test_claims_can_be_planted_and_left_out(forge: Forge) -> None:
    planted = {"repository": "evil/quiver2", "jti": None, "exp": 5}
    forge.register(PUBLISH.model_copy(update={"claims": planted}))
    made = forge.claims()
    assert (made["repository"], made["exp"]) == ("evil/quiver2", 5)
    assert "jti" not in made


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("pypi", "pypi"),
        ("sigstore", "sigstore"),
        (None, "https://github.com/quiver-owner"),
        ("", "https://github.com/quiver-owner"),
        ("https%3A%2F%2Fx.example%2F%26", "https://x.example/&"),
    ],
)
def test_the_audience_is_the_one_asked_for_or_the_owner(
    forge: Forge, audience: str | None, expected: str
) -> None:
    assert forge.claims(audience)["aud"] == expected


def test_discovery_names_every_claim_that_a_token_has(forge: Forge) -> None:
    found = forge.send("GET", f"{ISSUER}/.well-known/openid-configuration", token=None).json()
    assert set(found["claims_supported"]) == set(forge.claims())
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["scopes_supported"] == ["openid"]
