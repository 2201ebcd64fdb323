"""Identity tokens that are not valid: forged, misdirected, too early, too late."""

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


@pytest.mark.parametrize("signature", ["", part(b"any"), part(b"\0" * 256)])
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 5, ["RS256"], "RS256"])
def test_a_token_without_a_true_signature_is_refused(
    index: PublishingIndex, alg: Any, signature: str
) -> None:
    forged = f"{part(header(index, alg=alg))}.{part(index.claims())}.{signature}"
    assert_invalid(index, forged)


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(index: PublishingIndex) -> None:
    for secret in (
        index.issuer.key.as_pem(private=False),
        index.issuer.key.as_der(private=False),
        json.dumps(index.issuer.published[0]).encode(),
    ):
        for alg in ("HS256", "RS256"):
            signed = f"{part(header(index, alg=alg))}.{part(index.claims())}"
            digest = hmac.digest(bytes(secret), signed.encode(), "sha256")
            assert_invalid(index, f"{signed}.{part(digest)}")


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256"])
def test_a_token_signed_by_another_algorithm_for_the_same_key_is_refused(
    index: PublishingIndex, alg: str
) -> None:
    assert_invalid(index, index.issuer.token(index.claims(), alg=alg))


@pytest.mark.parametrize("other", ["unknown", "", None, 5, ["list"], {"a": "table"}])
def test_a_token_that_names_no_key_of_the_issuer_is_refused(
    index: PublishingIndex, other: Any
) -> None:
    key = header(index) | {"kid": other}
    if other is None:
        del key["kid"]
    token = f"{part(key)}.{part(index.claims())}.{index.token().rpartition('.')[2]}"
    assert_invalid(index, token)


def test_another_key_under_the_issuers_key_id_is_refused(index: PublishingIndex) -> None:
    assert_invalid(index, sign(index.claims(), new_key(), header(index)))


@pytest.mark.parametrize("place", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_the_token_brings_along_is_not_used(index: PublishingIndex, place: str) -> None:
    mine = new_key()
    brought: Any = {
        "jwk": mine.as_dict(private=False),
        "jku": f"{index.issuer.url}/mine",
        "x5u": f"{index.issuer.url}/mine",
        "x5c": ["AAAA"],
    }[place]
    claims, signature = sign(index.claims(), mine, header(index)).split(".")[1:]
    assert_invalid(index, f"{part(header(index, **{place: brought}))}.{claims}.{signature}")
    assert "/mine" not in index.issuer.asked


def test_claims_exchanged_under_a_true_signature_are_refused(index: PublishingIndex) -> None:
    first, _, signature = index.token().split(".")
    assert_invalid(index, f"{first}.{part(index.claims('open'))}.{signature}")


def test_a_header_that_says_something_more_is_no_obstacle_unless_critical(
    index: PublishingIndex,
) -> None:
    assert index.exchange(index.issuer.token(index.claims(), x5t="abc", more=1)).status_code == 200
    claims = index.claims()
    critical = header(index, crit=["more"], more=1)
    signed = sign(claims, index.issuer.key, header(index)).split(".")
    assert_invalid(index, f"{part(critical)}.{signed[1]}.{signed[2]}")


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
def test_clocks_may_differ_by_thirty_seconds(
    index: PublishingIndex, changes: dict[str, float], accepted: bool
) -> None:
    now = int(time.time())
    token = index.token(**{name: now + seconds for name, seconds in changes.items()})
    if accepted:
        assert index.exchange(token).status_code == 200
    else:
        assert_invalid(index, token)


def test_the_log_says_why_a_token_is_invalid_where_the_answer_does_not(
    index: PublishingIndex,
) -> None:
    assert_invalid(index, index.token(exp=1))
    assert "expired" in index.noted()["why"].lower()
