"""The issuer's keys: fetched once, fetched again for an unknown key, no token if a fetch fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from index.oidc.issuer import Issuer as IndexIssuer

from tests.helpers.index_front import configure, refusal
from tests.helpers.issuer import DISCOVERY, KEYS, Answer, Issuer, kid, new_key, public, send
from tests.helpers.oidc import PublishingIndex, assert_refused, publishing_index

COOLDOWN = 1.05


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PublishingIndex]:
    with publishing_index(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingIndex]:
    with publishing_index(tmp_path_factory.mktemp("troubled")) as started:
        yield started


def assert_unreachable(answer: requests.Response, seen: str) -> None:
    """Check that the testbed is blamed, and that no token is there."""
    assert answer.status_code == 503, answer.text
    told = answer.json()
    assert told.keys() == {"message", "errors"}
    (error,) = told["errors"]
    assert error["code"] == "issuer-unreachable"
    assert error["description"].startswith("the keys of the token's issuer cannot be had: https://")
    assert seen in error["description"]


def test_keys_are_asked_for_once(index: PublishingIndex) -> None:
    for _ in range(3):
        index.mint()
    assert index.issuer.asked == [DISCOVERY, KEYS]


def test_many_at_once_ask_once(index: PublishingIndex) -> None:
    tokens = [index.token() for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(index.exchange, tokens))
    assert [answer.status_code for answer in answers] == [200] * 30
    assert index.issuer.asked == [DISCOVERY, KEYS]


def test_a_key_rotated_in_the_middle_is_fetched_and_the_old_one_forgotten(
    index: PublishingIndex,
) -> None:
    old = index.issuer.key
    index.mint()
    index.issuer.rotate()
    time.sleep(COOLDOWN)
    index.mint()
    assert index.issuer.asked == [DISCOVERY, KEYS] * 2
    index.issuer.key = old
    answer = index.exchange(index.token())
    assert_refused(answer, "invalid-token", "malformed or invalid token")


def test_a_key_added_beside_the_old_one_leaves_both_good(index: PublishingIndex) -> None:
    index.mint()
    old, fresh = index.issuer.key, new_key()
    index.issuer.published.append(public(fresh))
    time.sleep(COOLDOWN)
    for key in (fresh, old, fresh):
        index.issuer.key = key
        index.mint()


def test_invented_keys_do_not_make_the_index_ask_each_time(index: PublishingIndex) -> None:
    for number in range(20):
        token = index.issuer.token(index.claims(), kid=f"invented-{number}")
        answer = index.exchange(token)
        assert_refused(answer, "invalid-token", "malformed or invalid token")
    assert len(index.issuer.asked) <= 4


def test_known_keys_serve_while_the_issuer_is_away(index: PublishingIndex) -> None:
    index.mint()
    index.issuer.answers[DISCOVERY] = status(500)
    index.mint()
    time.sleep(COOLDOWN)
    unknown = index.issuer.token(index.claims(), kid="unknown")
    assert_unreachable(index.exchange(unknown), "answers 500, not 200")
    index.mint()


def test_an_issuer_that_comes_back_is_asked_again_at_once(index: PublishingIndex) -> None:
    index.issuer.answers[KEYS] = status(503)
    token = index.token()
    assert_unreachable(index.exchange(token), "answers 503, not 200")
    del index.issuer.answers[KEYS]
    assert index.exchange(token).status_code == 200, "the token was not used up"


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "n": 5, "e": []},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["RSA"]},
        {},
    ],
    ids=str,
)
def test_a_key_that_is_no_rsa_key_verifies_nothing(
    index: PublishingIndex, key: dict[str, Any]
) -> None:
    index.issuer.published = [{**key, "kid": kid(index.issuer.key)}]
    answer = index.exchange(index.token())
    assert_refused(answer, "invalid-token", "malformed or invalid token")


def test_keys_that_cannot_be_read_do_not_spoil_the_others(index: PublishingIndex) -> None:
    odd: list[Any] = [5, {"kid": 5}, {"kid": "x", "kty": "new"}, {"n": "no kid"}]
    index.issuer.published = [*odd, *index.issuer.published]
    index.mint()


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def says(table: Any) -> Answer:
    return lambda handler: send(handler, table)


def raw(data: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def drip(data: bytes, pause: float = 0.2, times: int = 200) -> Answer:
    """Send a byte now and then, so that no single wait is ever long."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        for _ in range(times):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(pause)

    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

TROUBLE: dict[str, tuple[Callable[[Issuer], Answer], str]] = {
    "an error": (lambda _: status(500), "answers 500, not 200"),
    "nothing there": (lambda _: status(404), "answers 404, not 200"),
    "a redirect to itself": (
        lambda issuer: status(302, Location=f"{issuer.url}{DISCOVERY}"),
        "answers 302, not 200",
    ),
    "a redirect to another server": (
        lambda _: status(301, Location="https://elsewhere.invalid/"),
        "answers 301, not 200",
    ),
    "no JSON": (lambda _: raw(OK + b"Content-Length: 5\r\n\r\nhello"), "answer with JSON"),
    "deep JSON": (
        lambda _: raw(OK + b"Content-Length: 90000\r\n\r\n" + b"[" * 90000),
        "answer with JSON",
    ),
    "a list": (lambda _: says([1]), "does not answer with a JSON object"),
    "an empty table": (lambda _: says({}), ""),
    "no HTTP": (lambda _: raw(b"\0\1\2 garbage\r\n\r\n"), ""),
    "nothing at all": (lambda _: raw(b""), ""),
    "half an answer": (lambda _: raw(OK + b"Content-Length: 500\r\n\r\n{"), ""),
    "too much": (
        lambda _: raw(OK + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000),
        "more than 1 MB",
    ),
    "silence": (lambda _: lambda _handler: time.sleep(12), "within 5 s"),
    "a slow head": (lambda _: drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), "within 5 s"),
    "a slow body": (lambda _: drip(OK + b"Content-Length: 500\r\n\r\n"), "within 5 s"),
    "a slow body without a length": (lambda _: drip(OK + b"\r\n"), "within 5 s"),
}


@pytest.mark.parametrize(
    ("trouble", "path"),
    [
        (trouble, path)
        for trouble in TROUBLE
        for path in (DISCOVERY, KEYS)
        # Five seconds each: once is enough to see that they are bounded.
        if path == KEYS or "slow" not in trouble
    ],
)
def test_an_issuer_in_trouble_gives_a_clear_answer_in_time_and_never_a_token(
    troubled: PublishingIndex, trouble: str, path: str
) -> None:
    make, seen = TROUBLE[trouble]
    troubled.issuer.answers[path] = make(troubled.issuer)
    begun = time.monotonic()
    try:
        assert_unreachable(troubled.exchange(troubled.token()), seen)
    finally:
        del troubled.issuer.answers[path]
    assert time.monotonic() - begun < 11


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        (None, "names no jwks_uri"),
        (5, "names no jwks_uri"),
        ("", "is not an https address"),
        ("http://localhost/keys", "is not an https address"),
        ("file:///etc/passwd", "is not an https address"),
        ("https:///nowhere", "is not an https address"),
        ("https://localhost:99999/keys", "is no address"),
        ("https://[broken/keys", "is no address"),
        ("https://localhost:1/keys", "Connection refused"),
        ("https://issuer.invalid/keys", ""),
        ("https://localhost/a b\r\nX: y", ""),
    ],
)
def test_keys_are_had_from_an_https_address_only(
    troubled: PublishingIndex, place: Any, seen: str
) -> None:
    troubled.issuer.answers[DISCOVERY] = says({"jwks_uri": place})
    try:
        answer = troubled.exchange(troubled.token())
    finally:
        del troubled.issuer.answers[DISCOVERY]
    assert answer.status_code == 503
    assert seen in answer.json()["errors"][0]["description"]


def test_an_issuer_that_is_down_is_named(tmp_path: Path) -> None:
    with publishing_index(tmp_path) as index:
        token = index.token()
        index.issuer.stop()
        assert_unreachable(index.exchange(token), "Connection refused")


def test_a_server_that_another_authority_vouches_for_is_not_the_issuer(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    with publishing_index(tmp_path) as index:
        trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(stranger)
        with Issuer(stranger) as impostor:
            index.issuer.answers[DISCOVERY] = says({"jwks_uri": f"{impostor.url}{KEYS}"})
            assert_unreachable(index.exchange(index.token()), "certificate verify failed")
            assert impostor.asked == []


def test_many_at_once_are_not_held_up_one_after_another(index: PublishingIndex) -> None:
    index.issuer.answers[DISCOVERY] = lambda _handler: time.sleep(12)
    tokens = [index.token() for _ in range(20)]
    begun = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(index.exchange, tokens))
    assert time.monotonic() - begun < 11
    for answer in answers:
        assert_unreachable(answer, "within 5 s")


def test_the_clients_without_a_token_are_served_meanwhile(index: PublishingIndex) -> None:
    index.issuer.answers[DISCOVERY] = lambda _handler: time.sleep(12)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(index.exchange, index.token())
        time.sleep(0.2)
        begun = time.monotonic()
        assert index.front.get("/simple/taken/").status_code == 200
        assert time.monotonic() - begun < 2
        assert_unreachable(slow.result(), "within 5 s")


def test_the_cooldown_is_a_matter_of_the_answer_not_of_the_question(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "server.pem"
    )
    with Issuer(tmp_path / "server.pem") as server:
        known = IndexIssuer(server.url, tmp_path / "ca.pem", cooldown=3600)
        assert known.key(kid(server.key)) is not None
        server.rotate()
        assert known.key(kid(server.key)) is None, "asked again too soon"
        assert server.asked == [DISCOVERY, KEYS]


def test_an_authority_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "not.pem").write_text("hello")
    issuers = [{"url": "https://issuer", "ca": str(tmp_path / "not.pem")}]
    line = refusal(configure(tmp_path, issuers=issuers))
    assert line.startswith(f"index: issuers: {tmp_path / 'not.pem'} holds no certificate: ")
