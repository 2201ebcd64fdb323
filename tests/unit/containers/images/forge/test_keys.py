"""The keys that sign identity tokens: rotated, published ahead, withheld."""

from __future__ import annotations

import base64
import json

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError

from containers.forge import ISSUER
from tests.helpers.forge_server import (
    Forge,
)

pytestmark = pytest.mark.usefixtures("publish_job")


def test_the_header_names_the_key_and_nothing_but_rs256(forge: Forge) -> None:
    header = json.loads(_decode(forge.identity_token().split(".")[0]))
    assert header["alg"] == "RS256"
    assert header["typ"] == "JWT"
    published = forge.send("GET", f"{ISSUER}/.well-known/jwks", token=None).json()["keys"]
    assert [key["kid"] for key in published] == [header["kid"]]
    assert set(published[0]) == {"kty", "n", "e", "kid", "use", "alg"}


def test_after_a_rotation_old_and_new_tokens_verify(forge: Forge) -> None:
    old = forge.identity_token()
    forge.choose_keys(2, [1, 2])
    new = forge.identity_token()
    published = forge.issuer_keys()
    assert len(published.keys) == 2
    for value in (old, new):
        assert jwt.decode(value, published, algorithms=["RS256"]).claims["aud"] == "pypi"
    assert old.split(".")[0] != new.split(".")[0]
    forge.choose_keys(2, [2])
    with pytest.raises((InvalidKeyIdError, ValueError)):
        jwt.decode(old, forge.issuer_keys(), algorithms=["RS256"])


def test_a_key_is_published_before_it_signs(forge: Forge) -> None:
    before = forge.identity_token()
    forge.choose_keys(1, [1, 3])
    ahead = forge.issuer_keys()
    assert forge.identity_token().split(".")[0] == before.split(".")[0]
    forge.choose_keys(3, [1, 3])
    after = forge.identity_token()
    assert after.split(".")[0] != before.split(".")[0]
    assert jwt.decode(after, ahead, algorithms=["RS256"]).claims["aud"] == "pypi"


def test_what_an_unpublished_key_signs_cannot_be_verified(forge: Forge) -> None:
    forge.choose_keys(4, [1])
    value = forge.identity_token()
    with pytest.raises((InvalidKeyIdError, ValueError)):
        jwt.decode(value, forge.issuer_keys(), algorithms=["RS256"])


def test_a_changed_token_does_not_verify(forge: Forge) -> None:
    head, body, signature = forge.identity_token().split(".")
    other = forge.identity_token().split(".")[1]
    assert other != body
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{head}.{other}.{signature}", forge.issuer_keys(), algorithms=["RS256"])


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"signing": 0, "published": []}', '{"signing": 1, "published": 1}']
)
def test_keys_that_are_told_wrongly_are_the_testbeds_failure(forge: Forge, text: str) -> None:
    forge.control(text)
    for failed in (forge.ask_token(), forge.send("GET", f"{ISSUER}/.well-known/jwks", token=None)):
        assert failed.status_code == 500
        assert "a file of the testbed is not valid" in failed.json()["message"]


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
