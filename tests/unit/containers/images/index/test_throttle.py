"""The limits for requests."""

from __future__ import annotations

from pathlib import Path

from index.throttle import Throttle

from tests.helpers.index_front import running, wheel


def test_old_requests_do_not_count() -> None:
    times = iter([0.0, 1.0, 2.0, 59.0, 60.5, 60.6])
    throttle = Throttle(2, 60, lambda: next(times))
    answers = [throttle.accepts(client) for client in ("a", "a", "a", "b", "a", "a")]
    assert answers == [True, True, False, True, True, False]


def test_without_a_limit_all_requests_are_accepted() -> None:
    throttle = Throttle(0, 60)
    assert all(throttle.accepts("a") for _ in range(100))


def test_requests_are_throttled(tmp_path: Path) -> None:
    with running(tmp_path, uploads_per_minute=1, exchanges_per_minute=1) as front:
        mint = f"{front.upload}/_/oidc/mint-token"
        assert front.send_upload(wheel("often", "1.0")).status_code == 200
        assert front.send_upload(wheel("often", "1.1")).status_code == 429
        assert front.shared_session.post(mint, data=b"{}", timeout=30).status_code == 422
        assert front.shared_session.post(mint, data=b"{}", timeout=30).status_code == 429
