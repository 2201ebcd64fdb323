"""The endpoint for identity tokens: the jobs that get one."""

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


def test_each_token_has_a_new_id_and_the_log_has_its_claims(forge: Forge) -> None:
    response = forge.request_token()
    token = response.json()["value"]
    claims = jwt.decode(token, forge.issuer_keys(), algorithms=["RS256"]).claims
    assert forge.claims()["jti"] != claims["jti"]
    line = forge.line(response)
    assert line["claims"] == claims
    assert line["job"] == "publish"
    text = (forge.folder / "requests.jsonl").read_text()
    assert REQUEST_TOKEN not in text
    assert token not in text


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
def test_job_without_id_token_write_gets_no_token(forge: Forge, identity: JobIdentity) -> None:
    forge.register(identity)
    response = forge.request_token()
    assert response.status_code == 403
    assert response.json()["message"] == "Resource not accessible by integration"
    assert "value" not in response.json()
    line = forge.line(response)
    assert line["job"] == identity.job
    assert "id-token: write" in line["refused"]
    assert "claims" not in line


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "bearer wrong"}, {"Authorization": f"token {REQUEST_TOKEN}"}],
    ids=["none", "wrong", "scheme"],
)
def test_wrong_request_token_gets_no_token(forge: Forge, headers: dict[str, str]) -> None:
    response = forge.request_token(headers=headers)
    assert (response.status_code, response.json()["message"]) == (401, "Bad credentials")


def test_url_of_another_run_gets_no_token(forge: Forge) -> None:
    url = TOKEN_ENDPOINT.replace("4711", "4712")
    response = forge.send("GET", url, token=None, headers=BEARER)
    assert response.status_code == 401


def test_unregistered_address_gets_no_token(forge: Forge) -> None:
    forge.unregister()
    response = forge.request_token()
    assert response.status_code == 401
    assert forge.line(response)["refused"]
