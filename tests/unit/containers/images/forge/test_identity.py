"""Identity tokens: who gets one, what it says, and by which key it can be verified."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from containers.forge import ISSUER, JobIdentity, WorkflowRun
from tests.helpers.forge_server import (
    BUILD,
    NEW,
    PUBLISH,
    RELEASE,
    REQUEST_TOKEN,
    WORKFLOW,
    Forge,
    running,
)

ENDPOINT = "https://pipelines.actions.githubusercontent.com/idtoken/4711?api-version=2.0"
BEARER = {"Authorization": f"bearer {REQUEST_TOKEN}"}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with running(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def forge(started: Forge) -> Forge:
    started.clean()
    started.register(PUBLISH)
    return started


def ask(forge: Forge, audience: str | None = "pypi", **options: Any) -> requests.Response:
    url = f"{ENDPOINT}&audience={audience}" if audience is not None else ENDPOINT
    return forge.send("GET", url, token=None, **{"headers": BEARER, **options})


def keys(forge: Forge) -> KeySet:
    """Find the keys as an index does: from the issuer's own document."""
    found = forge.send("GET", f"{ISSUER}/.well-known/openid-configuration", token=None).json()
    assert found["issuer"] == ISSUER
    return KeySet.import_key_set(forge.send("GET", found["jwks_uri"], token=None).json())


def token(forge: Forge, audience: str | None = "pypi") -> str:
    given = ask(forge, audience)
    assert given.status_code == 200, given.text
    body = given.json()
    assert set(body) == {"count", "value"}
    assert body["count"] == len(body["value"])
    return str(body["value"])


def claims(forge: Forge, audience: str | None = "pypi") -> dict[str, Any]:
    """Ask for a token, verify its signature and return what it says."""
    verified = jwt.decode(token(forge, audience), keys(forge), algorithms=["RS256"])
    return dict(verified.claims)


def test_a_token_says_all_that_is_true_of_the_run_and_the_job(forge: Forge) -> None:
    made = claims(forge)
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


def test_every_token_has_an_identifier_of_its_own_and_the_log_has_its_claims(forge: Forge) -> None:
    answered = ask(forge)
    told = jwt.decode(answered.json()["value"], keys(forge), algorithms=["RS256"]).claims
    assert claims(forge)["jti"] != told["jti"]
    line = forge.line(answered)
    assert line["claims"] == told
    assert line["job"] == "publish"
    text = (forge.folder / "requests.jsonl").read_text()
    assert REQUEST_TOKEN not in text
    assert answered.json()["value"] not in text


def test_the_header_names_the_key_and_nothing_but_rs256(forge: Forge) -> None:
    header = json.loads(_decode(token(forge).split(".")[0]))
    assert header["alg"] == "RS256"
    assert header["typ"] == "JWT"
    published = forge.send("GET", f"{ISSUER}/.well-known/jwks", token=None).json()["keys"]
    assert [key["kid"] for key in published] == [header["kid"]]
    assert set(published[0]) == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize(
    ("identity", "subject"),
    [
        (JobIdentity("j", {"id-token": "write"}), "ref:refs/tags/v0.5.0"),
        (JobIdentity("j", {"id-token": "write"}, "Release"), "environment:Release"),
        (JobIdentity("j", {"id-token": "write"}, "a:b"), "environment:a%3Ab"),
    ],
)
def test_the_subject_is_the_environment_or_else_the_ref(
    forge: Forge, identity: JobIdentity, subject: str
) -> None:
    forge.register(identity)
    made = claims(forge)
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
    run: WorkflowRun = dataclasses.replace(WORKFLOW, **changes)
    with running(tmp_path / "other", run=dataclasses.asdict(run)) as forge:
        forge.register(JobIdentity("j", {"id-token": "write"}))
        made = claims(forge)
    assert {key: made[key] for key in expected} == expected


def test_claims_can_be_planted_and_left_out(forge: Forge) -> None:
    planted = {"repository": "evil/quiver2", "jti": None, "exp": 5}
    forge.register(dataclasses.replace(PUBLISH, claims=planted))
    made = claims(forge)
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
    assert claims(forge, audience)["aud"] == expected


@pytest.mark.parametrize(
    "identity",
    [
        BUILD,
        RELEASE,
        JobIdentity("publish", {}, "pypi"),
        JobIdentity("publish", {"id-token": "read"}, "pypi"),
        JobIdentity("publish", {"id_token": "write"}, "pypi"),
    ],
    ids=["contents-read", "contents-write", "nothing", "read", "misspelt"],
)
def test_a_job_without_id_token_write_gets_none(forge: Forge, identity: JobIdentity) -> None:
    forge.register(identity)
    refused = ask(forge)
    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert "value" not in refused.json()
    line = forge.line(refused)
    assert line["job"] == identity.job
    assert "id-token: write" in line["refused"]
    assert "claims" not in line


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "bearer wrong"}, {"Authorization": f"token {REQUEST_TOKEN}"}],
    ids=["none", "wrong", "scheme"],
)
def test_a_wrong_request_token_gets_none(forge: Forge, headers: dict[str, str]) -> None:
    refused = ask(forge, headers=headers)
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")


def test_another_run_and_an_unknown_address_get_none(forge: Forge) -> None:
    other = forge.send("GET", ENDPOINT.replace("4711", "4712"), token=None, headers=BEARER)
    assert other.status_code == 401
    forge.forget()
    unknown = ask(forge)
    assert unknown.status_code == 401
    assert forge.line(unknown)["refused"] == "no job is registered at this address"


def test_after_a_rotation_old_and_new_tokens_verify(forge: Forge) -> None:
    old = token(forge)
    forge.choose_keys(2, [1, 2])
    new = token(forge)
    published = keys(forge)
    assert len(published.keys) == 2
    for value in (old, new):
        assert jwt.decode(value, published, algorithms=["RS256"]).claims["aud"] == "pypi"
    assert old.split(".")[0] != new.split(".")[0]
    forge.choose_keys(2, [2])
    with pytest.raises((InvalidKeyIdError, ValueError)):
        jwt.decode(old, keys(forge), algorithms=["RS256"])


def test_a_key_is_published_before_it_signs(forge: Forge) -> None:
    before = token(forge)
    forge.choose_keys(1, [1, 3])
    ahead = keys(forge)
    assert token(forge).split(".")[0] == before.split(".")[0]
    forge.choose_keys(3, [1, 3])
    after = token(forge)
    assert after.split(".")[0] != before.split(".")[0]
    assert jwt.decode(after, ahead, algorithms=["RS256"]).claims["aud"] == "pypi"


def test_what_an_unpublished_key_signs_cannot_be_verified(forge: Forge) -> None:
    forge.choose_keys(4, [1])
    value = token(forge)
    with pytest.raises((InvalidKeyIdError, ValueError)):
        jwt.decode(value, keys(forge), algorithms=["RS256"])


def test_a_changed_token_does_not_verify(forge: Forge) -> None:
    head, body, signature = token(forge).split(".")
    other = token(forge).split(".")[1]
    assert other != body
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{head}.{other}.{signature}", keys(forge), algorithms=["RS256"])


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"signing": 0, "published": []}', '{"signing": 1, "published": 1}']
)
def test_keys_that_are_told_wrongly_are_the_testbeds_failure(forge: Forge, text: str) -> None:
    forge.control(text)
    for failed in (ask(forge), forge.send("GET", f"{ISSUER}/.well-known/jwks", token=None)):
        assert failed.status_code == 500
        assert "the testbed told the forge wrongly" in failed.json()["message"]


def test_discovery_names_every_claim_that_a_token_has(forge: Forge) -> None:
    found = forge.send("GET", f"{ISSUER}/.well-known/openid-configuration", token=None).json()
    assert set(found["claims_supported"]) == set(claims(forge))
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["scopes_supported"] == ["openid"]


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
