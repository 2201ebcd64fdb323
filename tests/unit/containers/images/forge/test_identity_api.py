"""The endpoint for identity tokens: which job gets one."""

from __future__ import annotations

import pytest
from joserfc import jwt

from tests.helpers.forge_server import (
    BEARER,
    BUILD,
    RELEASE,
    REQUEST_TOKEN,
    TOKEN_ENDPOINT,
    Forge,
)
from verification.models.forge import JobIdentity

pytestmark = pytest.mark.usefixtures("publish_job")


def test_every_token_has_an_identifier_of_its_own_and_the_log_has_its_claims(forge: Forge) -> None:
    answered = forge.ask_token()
    told = jwt.decode(answered.json()["value"], forge.issuer_keys(), algorithms=["RS256"]).claims
    assert forge.claims()["jti"] != told["jti"]
    line = forge.line(answered)
    assert line["claims"] == told
    assert line["job"] == "publish"
    text = (forge.folder / "requests.jsonl").read_text()
    assert REQUEST_TOKEN not in text
    assert answered.json()["value"] not in text


@pytest.mark.parametrize(
    "identity",
    [
        BUILD,
        RELEASE,
        JobIdentity(job="publish", permissions={}, environment="pypi"),
        JobIdentity(job="publish", permissions={"id-token": "read"}, environment="pypi"),
        JobIdentity(job="publish", permissions={"id_token": "write"}, environment="pypi"),
    ],
    ids=["contents-read", "contents-write", "nothing", "read", "misspelt"],
)
def test_a_job_without_id_token_write_gets_none(forge: Forge, identity: JobIdentity) -> None:
    forge.register(identity)
    refused = forge.ask_token()
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
    refused = forge.ask_token(headers=headers)
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")


def test_another_run_and_an_unknown_address_get_none(forge: Forge) -> None:
    other = forge.send("GET", TOKEN_ENDPOINT.replace("4711", "4712"), token=None, headers=BEARER)
    assert other.status_code == 401
    forge.forget()
    unknown = forge.ask_token()
    assert unknown.status_code == 401
    assert forge.line(unknown)["refused"] == "no job is registered at this address"
