"""Invalid identity tokens: wrong signature, key, header or times."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import pytest

from tests.helpers.issuer import kid, new_key, sign
from tests.helpers.oidc import PublishingIndex, assert_refused


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assert_invalid(index: PublishingIndex, token: str) -> None:
    assert_refused(index.exchange(token), "invalid-token", "malformed or invalid token")


def header(index: PublishingIndex, **changes: Any) -> dict[str, Any]:
    return {"alg": "RS256", "typ": "JWT", "kid": kid(index.issuer.key), **changes}


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 5, ["RS256"], "RS256"])
def test_token_without_a_valid_signature_is_refused(index: PublishingIndex, alg: Any) -> None:
    for signature in ("", part(b"any"), part(b"\0" * 256)):
        assert_invalid(index, f"{part(header(index, alg=alg))}.{part(index.claims())}.{signature}")


def test_token_signed_with_the_public_key_as_a_secret_is_refused(index: PublishingIndex) -> None:
    for secret in (
        index.issuer.key.as_pem(private=False),
        index.issuer.key.as_der(private=False),
        json.dumps(index.issuer.published[0]).encode(),
    ):
        for alg in ("HS256", "RS256"):
            content = f"{part(header(index, alg=alg))}.{part(index.claims())}"
            digest = hmac.digest(bytes(secret), content.encode(), "sha256")
            assert_invalid(index, f"{content}.{part(digest)}")


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256"])
def test_token_signed_with_another_algorithm_is_refused(index: PublishingIndex, alg: str) -> None:
    assert_invalid(index, index.issuer.token(index.claims(), alg=alg))


@pytest.mark.parametrize("key_id", ["unknown", "", None, 5, ["list"], {"a": "b"}])
def test_token_with_an_unknown_key_is_refused(index: PublishingIndex, key_id: Any) -> None:
    token_header = header(index) | {"kid": key_id}
    if key_id is None:
        del token_header["kid"]
    signature = index.token().rpartition(".")[2]
    assert_invalid(index, f"{part(token_header)}.{part(index.claims())}.{signature}")


def test_other_key_with_the_key_id_of_the_issuer_is_refused(index: PublishingIndex) -> None:
    assert_invalid(index, sign(index.claims(), new_key(), header(index)))


def test_key_in_the_token_is_not_used(index: PublishingIndex) -> None:
    key = new_key()
    claims, signature = sign(index.claims(), key, header(index)).split(".")[1:]
    parameters: dict[str, Any] = {
        "jwk": key.as_dict(private=False),
        "jku": f"{index.issuer.url}/other",
        "x5u": f"{index.issuer.url}/other",
        "x5c": ["AAAA"],
    }
    for name, value in parameters.items():
        assert_invalid(index, f"{part(header(index, **{name: value}))}.{claims}.{signature}")
    assert "/other" not in index.issuer.requests


def test_changed_claims_with_a_valid_signature_are_refused(index: PublishingIndex) -> None:
    first, _, signature = index.token().split(".")
    assert_invalid(index, f"{first}.{part(index.claims('open'))}.{signature}")


def test_unknown_header_parameter_is_refused_only_if_it_is_critical(
    index: PublishingIndex,
) -> None:
    token = index.issuer.token(index.claims(), x5t="abc", extra=1)
    assert index.exchange(token).status_code == 200
    critical = header(index, crit=["extra"], extra=1)
    _, claims, signature = sign(index.claims(), index.issuer.key, header(index)).split(".")
    assert_invalid(index, f"{part(critical)}.{claims}.{signature}")


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"exp": -20}, True),
        ({"exp": -40}, False),
        ({"exp": -31.5}, False),
        ({"exp": -20.5}, True),
        ({"nbf": 20}, True),
        ({"nbf": 40}, False),
        ({"iat": 20}, True),
        ({"iat": 40}, False),
        ({"iat": -100_000}, True),
        ({"exp": 10**12}, True),
    ],
    ids=str,
)
def test_clocks_can_differ_by_30_seconds(
    index: PublishingIndex, changes: dict[str, float], accepted: bool
) -> None:
    now = int(time.time())
    token = index.token(**{name: now + seconds for name, seconds in changes.items()})
    if accepted:
        assert index.exchange(token).status_code == 200
    else:
        assert_invalid(index, token)


def test_only_the_log_has_the_reason_of_an_invalid_token(index: PublishingIndex) -> None:
    assert_invalid(index, index.token(exp=1))
    assert "ExpiredTokenError" in index.last_exchange()["why"]
