"""The claims of an identity token."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from forge import config, jobs
from forge.claims import job_claims

from containers.forge import ISSUER
from tests.helpers.forge_server import (
    NEW,
    PUBLISH,
    WORKFLOW,
    Forge,
    configure,
)
from verification.models.forge import JobIdentity

pytestmark = pytest.mark.usefixtures("publish_job")


def test_token_has_the_claims_of_the_run_and_the_job(forge: Forge) -> None:
    claims = forge.claims()
    now = int(time.time())
    assert now - 5 <= claims["iat"] <= now
    assert claims["nbf"] == claims["iat"] - 600
    assert claims["exp"] == claims["iat"] + 300
    assert re.fullmatch(r"[1-9]\d*", claims["check_run_id"])
    assert re.fullmatch(r"EN_[\w-]{16}", claims["environment_node_id"])
    for name in ("jti", "iat", "nbf", "exp", "check_run_id", "environment_node_id"):
        del claims[name]
    assert claims == {
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
def test_subject_is_the_environment_or_else_the_ref(
    forge: Forge, identity: JobIdentity, subject: str
) -> None:
    forge.register(identity)
    claims = forge.claims()
    assert claims["sub"] == f"repo:quiver-owner/quiver2:{subject}"
    assert claims.get("environment") == identity.environment
    assert ("environment_node_id" in claims) == bool(identity.environment)


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
def test_claims_depend_on_event_and_ref(
    tmp_path: Path, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    run = WORKFLOW.model_dump(mode="json") | changes
    settings = config.load(configure(tmp_path, run=run))
    job = jobs.JobIdentity("j", {"id-token": "write"}, None, {})
    claims = job_claims(settings.repository, settings.run, job, "pypi")
    assert {key: claims[key] for key in expected} == expected


def test_ids_are_equal_for_one_job_and_one_environment_and_differ_for_others(forge: Forge) -> None:
    def ids(**changes: object) -> tuple[str, str]:
        forge.register(PUBLISH.model_copy(update=changes))
        claims = forge.claims()
        return claims["check_run_id"], claims["environment_node_id"]

    run, environment = ids()

    assert ids() == (run, environment)
    other_run, same_environment = ids(job="other", environment="PyPI")
    assert (other_run != run, same_environment) == (True, environment)
    assert ids(environment="other")[0] == run
    assert ids(environment="other")[1] != environment


def test_file_of_the_job_can_replace_and_remove_claims(forge: Forge) -> None:
    planted = {"repository": "evil/quiver2", "jti": None, "exp": 5}
    forge.register(PUBLISH.model_copy(update={"claims": planted}))
    claims = forge.claims()
    assert (claims["repository"], claims["exp"]) == ("evil/quiver2", 5)
    assert "jti" not in claims


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
def test_audience_is_the_requested_one_or_the_owner(
    forge: Forge, audience: str | None, expected: str
) -> None:
    assert forge.claims(audience)["aud"] == expected


def test_discovery_names_all_claims_of_a_token(forge: Forge) -> None:
    url = f"{ISSUER}/.well-known/openid-configuration"
    document = forge.send("GET", url, token=None).json()
    assert set(document["claims_supported"]) == set(forge.claims())
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    assert document["scopes_supported"] == ["openid"]
