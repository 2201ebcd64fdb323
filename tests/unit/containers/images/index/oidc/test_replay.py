"""A token is exchanged once, and its id is kept until it has expired."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from index.oidc.replay import Replay

from tests.helpers.oidc import (
    NOT_FOUND,
    OWNER,
    PublishingIndex,
    assert_refused,
    no_publisher,
)


def test_a_token_is_good_once(index: PublishingIndex) -> None:
    token = index.token()
    assert index.exchange(token).status_code == 200
    assert_refused(index.exchange(token), "invalid-reuse-token", "invalid token: already used")
    again = index.token(jti=index.claims()["jti"])
    assert index.exchange(again).status_code == 200


def test_another_token_with_a_used_id_is_refused_whatever_it_claims(index: PublishingIndex) -> None:
    assert index.exchange(index.token(jti="shared id")).status_code == 200
    for changes in ({}, {"repository": f"{OWNER}/other"}):
        answer = index.exchange(index.token(jti="shared id", **changes))
        assert_refused(answer, "invalid-reuse-token", "invalid token: already used")


def test_a_refused_token_is_not_used_up(index: PublishingIndex) -> None:
    token = index.token(environment="staging")
    for _ in range(2):
        answer = index.exchange(token)
        assert_refused(answer, "invalid-publisher", no_publisher(NOT_FOUND))


def test_of_fifty_exchanges_of_one_token_at_once_one_wins(index: PublishingIndex) -> None:
    token = index.token()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(index.exchange, [token] * 50))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 49
    for answer in answers:
        if answer.status_code == 422:
            assert_refused(answer, "invalid-reuse-token", "invalid token: already used")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_used_token_is_remembered_until_thirty_five_seconds_after_its_end() -> None:
    clock = Clock()
    replay = Replay(clock)
    assert not replay.is_used("issuer", "id")
    assert replay.take("issuer", "id", 1300)
    assert replay.is_used("issuer", "id")
    assert not replay.take("issuer", "id", 1300)
    assert replay.take("another issuer", "id", 1300)
    clock.now = 1334.9
    assert not replay.take("issuer", "id", 1300)
    assert len(replay) == 2
    clock.now = 1335
    assert not replay.is_used("issuer", "id")
    assert len(replay) == 0
