"""A token is exchanged once. The index stores its id until it expires."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from index.oidc.used_tokens import UsedTokens

from tests.helpers.oidc import (
    NOT_FOUND,
    OWNER,
    PublishingIndex,
    assert_refused,
    no_publisher,
)


def test_token_can_be_exchanged_once(index: PublishingIndex) -> None:
    token = index.token()
    assert index.exchange(token).status_code == 200
    assert_refused(index.exchange(token), "invalid-reuse-token", "invalid token: already used")
    assert index.exchange(index.token()).status_code == 200


def test_other_token_with_a_used_id_is_refused(index: PublishingIndex) -> None:
    assert index.exchange(index.token(jti="shared id")).status_code == 200
    for changes in ({}, {"repository": f"{OWNER}/other"}):
        response = index.exchange(index.token(jti="shared id", **changes))
        assert_refused(response, "invalid-reuse-token", "invalid token: already used")


def test_refused_token_is_not_marked_as_used(index: PublishingIndex) -> None:
    token = index.token(environment="staging")
    for _ in range(2):
        response = index.exchange(token)
        assert_refused(response, "invalid-publisher", no_publisher(NOT_FOUND))


def test_only_one_of_simultaneous_exchanges_of_a_token_succeeds(index: PublishingIndex) -> None:
    token = index.token()
    with ThreadPoolExecutor(30) as pool:
        responses = list(pool.map(index.exchange, [token] * 30))
    assert sorted(response.status_code for response in responses) == [200] + [422] * 29
    for response in responses:
        if response.status_code == 422:
            assert_refused(response, "invalid-reuse-token", "invalid token: already used")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_used_id_is_stored_until_35_seconds_after_its_expiry() -> None:
    clock = Clock()
    used_tokens = UsedTokens(clock)
    assert not used_tokens.is_used("issuer", "id")
    assert used_tokens.mark_used("issuer", "id", 1300)
    assert used_tokens.is_used("issuer", "id")
    assert not used_tokens.mark_used("issuer", "id", 1300)
    assert used_tokens.mark_used("another issuer", "id", 1300)
    clock.now = 1334.9
    assert not used_tokens.mark_used("issuer", "id", 1300)
    assert len(used_tokens) == 2
    clock.now = 1335
    assert not used_tokens.is_used("issuer", "id")
    assert len(used_tokens) == 0
