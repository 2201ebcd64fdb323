"""The keys that sign identity tokens: rotation, publication before use, unpublished keys."""

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


def test_header_of_a_token_names_the_published_key_and_rs256(forge: Forge) -> None:
    header = json.loads(_decode(forge.identity_token().split(".")[0]))
    assert header["alg"] == "RS256"
    assert header["typ"] == "JWT"
    published = forge.send("GET", f"{ISSUER}/.well-known/jwks", token=None).json()["keys"]
    assert [key["kid"] for key in published] == [header["kid"]]
    assert set(published[0]) == {"kty", "n", "e", "kid", "use", "alg"}


def test_old_and_new_tokens_are_valid_after_a_rotation(forge: Forge) -> None:
    old = forge.identity_token()
    forge.select_keys(2, [1, 2])
    new = forge.identity_token()
    published = forge.issuer_keys()
    assert len(published.keys) == 2
    for token in (old, new):
        assert jwt.decode(token, published, algorithms=["RS256"]).claims["aud"] == "pypi"
    assert old.split(".")[0] != new.split(".")[0]
    forge.select_keys(2, [2])
    with pytest.raises((InvalidKeyIdError, ValueError)):
        jwt.decode(old, forge.issuer_keys(), algorithms=["RS256"])


def test_key_can_be_published_before_it_signs(forge: Forge) -> None:
    before = forge.identity_token()
    forge.select_keys(1, [1, 3])
    keys_before_use = forge.issuer_keys()
    assert forge.identity_token().split(".")[0] == before.split(".")[0]
    forge.select_keys(3, [1, 3])
    after = forge.identity_token()
    assert after.split(".")[0] != before.split(".")[0]
    assert jwt.decode(after, keys_before_use, algorithms=["RS256"]).claims["aud"] == "pypi"


def test_signature_of_an_unpublished_key_cannot_be_verified(forge: Forge) -> None:
    forge.select_keys(4, [1])
    token = forge.identity_token()
    with pytest.raises((InvalidKeyIdError, ValueError)):
        jwt.decode(token, forge.issuer_keys(), algorithms=["RS256"])


def test_token_with_other_claims_does_not_verify(forge: Forge) -> None:
    header, claims, signature = forge.identity_token().split(".")
    other_claims = forge.identity_token().split(".")[1]
    assert other_claims != claims
    changed = f"{header}.{other_claims}.{signature}"
    with pytest.raises(BadSignatureError):
        jwt.decode(changed, forge.issuer_keys(), algorithms=["RS256"])


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"signing": 0, "published": []}', '{"signing": 1, "published": 1}']
)
def test_invalid_keys_file_is_an_internal_error(forge: Forge, text: str) -> None:
    forge.write_keys_file(text)
    jwks = forge.send("GET", f"{ISSUER}/.well-known/jwks", token=None)
    for response in (forge.request_token(), jwks):
        assert response.status_code == 500
        assert forge.line(response)["error"]


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
