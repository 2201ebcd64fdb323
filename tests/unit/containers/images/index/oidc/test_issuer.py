"""The keys of the issuer: when the index fetches them, and errors of the issuer."""

from __future__ import annotations

import inspect
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme
from index.oidc.issuer import Issuer, IssuerUnreachable

from tests.helpers import issuer as issuers
from tests.helpers.index_front import configure, refusal
from tests.helpers.issuer import DISCOVERY, KEYS, Answer, kid, new_key, public, send
from tests.helpers.oidc import PublishingIndex, publishing_index

SECONDS = 0.3
"""The time limit of the index for a response of the issuer."""
FAULT_SECONDS = 20
"""The duration of a slow response. The tests fail if the index waits until it ends."""
COOLDOWN = 0.1
RELEASED = threading.Event()
"""Set at the end of a test, so that all responses of `silent` end."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[issuers.Issuer]:
    """A running issuer. Its folder has the CA certificate `ca.pem`."""
    folder = tmp_path_factory.mktemp("issuer")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("localhost").private_key_and_cert_chain_pem
    certificate.write_to_path(folder / "server.pem")
    with issuers.Issuer(folder / "server.pem") as server:
        yield server


@pytest.fixture(scope="module")
def ca(server: issuers.Issuer) -> Path:
    return server.certificate.parent / "ca.pem"


@pytest.fixture
def issuer(server: issuers.Issuer, ca: Path) -> Iterator[Issuer]:
    """The index's client of the issuer, before it fetches keys."""
    server.requests.clear()
    RELEASED.clear()
    yield Issuer(server.url, ca, cooldown=COOLDOWN, seconds=SECONDS)
    RELEASED.set()
    server.answers.clear()
    server.published = [public(server.key)]


def test_keys_are_fetched_once(issuer: Issuer, server: issuers.Issuer) -> None:
    for _ in range(3):
        assert issuer.key(kid(server.key)) is not None
    assert server.requests == [DISCOVERY, KEYS]


def test_simultaneous_look_ups_fetch_the_keys_once(issuer: Issuer, server: issuers.Issuer) -> None:
    with ThreadPoolExecutor(30) as pool:
        keys = list(pool.map(issuer.key, [kid(server.key)] * 30))
    assert None not in keys
    assert server.requests == [DISCOVERY, KEYS]


def test_unknown_key_is_fetched_and_a_withdrawn_key_is_removed(
    issuer: Issuer, server: issuers.Issuer
) -> None:
    old, new = server.key, new_key()
    issuer.key(kid(old))
    server.published = [public(new)]
    time.sleep(COOLDOWN)
    assert issuer.key(kid(new)) is not None
    assert server.requests == [DISCOVERY, KEYS] * 2
    assert issuer.key(kid(old)) is None


def test_old_key_stays_valid_next_to_a_new_one(issuer: Issuer, server: issuers.Issuer) -> None:
    old, new = server.key, new_key()
    issuer.key(kid(old))
    server.published = [public(old), public(new)]
    time.sleep(COOLDOWN)
    assert issuer.key(kid(new)) is not None
    assert issuer.key(kid(old)) is not None


def test_invented_keys_do_not_cause_requests_during_the_cooldown(
    server: issuers.Issuer, ca: Path
) -> None:
    server.requests.clear()
    issuer = Issuer(server.url, ca, cooldown=3600)
    for number in range(20):
        assert issuer.key(f"invented-{number}") is None
    assert issuer.key(kid(server.key)) is not None
    assert server.requests == [DISCOVERY, KEYS]


def test_known_key_is_available_while_the_issuer_fails(
    issuer: Issuer, server: issuers.Issuer
) -> None:
    issuer.key(kid(server.key))
    server.answers[DISCOVERY] = status(500)
    time.sleep(COOLDOWN)
    with pytest.raises(IssuerUnreachable, match="500"):
        issuer.key("unknown")
    assert issuer.key(kid(server.key)) is not None


def test_request_after_a_failure_has_no_cooldown(server: issuers.Issuer, ca: Path) -> None:
    issuer = Issuer(server.url, ca, cooldown=3600)
    server.answers[KEYS] = status(503)
    with pytest.raises(IssuerUnreachable, match="503"):
        issuer.key(kid(server.key))
    del server.answers[KEYS]
    assert issuer.key(kid(server.key)) is not None


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
def test_key_that_is_not_a_usable_rsa_key_is_ignored(
    issuer: Issuer, server: issuers.Issuer, key: dict[str, Any]
) -> None:
    server.published = [{**key, "kid": "x"}]
    assert issuer.key("x") is None


def test_malformed_keys_do_not_affect_other_keys(issuer: Issuer, server: issuers.Issuer) -> None:
    malformed: list[Any] = [5, {"kid": 5}, {"kid": "x", "kty": "new"}, {"n": "no kid"}]
    server.published = [*malformed, *server.published]
    assert issuer.key(kid(server.key)) is not None


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def json_value(value: Any) -> Answer:
    return lambda handler: send(handler, value)


def raw(data: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def silent(_handler: BaseHTTPRequestHandler) -> None:
    RELEASED.wait(FAULT_SECONDS)


def slow(data: bytes) -> Answer:
    """Return an answer that sends data, then a byte every 50 ms: no single read takes long."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        for _ in range(FAULT_SECONDS * 20):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)

    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

FAULTS: dict[str, tuple[Answer, str, type[BaseException] | None]] = {
    "status 500": (status(500), "500", None),
    "status 404": (status(404), "404", None),
    "a redirection": (status(301, Location="https://elsewhere.invalid/"), "301", None),
    "not JSON": (raw(OK + b"Content-Length: 5\r\n\r\nhello"), "", ValueError),
    "deep JSON": (raw(OK + b"Content-Length: 90000\r\n\r\n" + b"[" * 90000), "", RecursionError),
    "a list": (json_value([1]), "", None),
    "an empty object": (json_value({}), "", None),
    "not HTTP": (raw(b"\0\1\2 garbage\r\n\r\n"), "", Exception),
    "no data": (raw(b""), "", Exception),
    "an incomplete response": (raw(OK + b"Content-Length: 500\r\n\r\n{"), "", Exception),
    "3 MB": (raw(OK + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000), "", None),
    "silence": (silent, "", TimeoutError),
    "a slow header": (slow(b"HTTP/1.1 200 OK\r\nX-Slow: "), "", TimeoutError),
    "a slow body": (slow(OK + b"Content-Length: 500\r\n\r\n"), "", TimeoutError),
    "a slow body without a length": (slow(OK + b"\r\n"), "", TimeoutError),
}


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_issuer_is_unreachable_within_the_time_limit(
    issuer: Issuer, server: issuers.Issuer, fault: str, path: str
) -> None:
    answer, text, cause = FAULTS[fault]
    server.answers[path] = answer
    start = time.monotonic()
    with pytest.raises(IssuerUnreachable) as error:
        issuer._fetch_keys()
    assert time.monotonic() - start < FAULT_SECONDS / 2
    assert f"{server.url}{path}" in str(error.value)
    assert text in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    if cause is not None:
        assert isinstance(error.value.__cause__, cause)


@pytest.mark.parametrize(
    "jwks_uri",
    [
        None,
        5,
        "",
        "http://localhost/keys",
        "file:///etc/passwd",
        "https:///nowhere",
        "https://localhost:99999/keys",
        "https://[broken/keys",
        "https://localhost:1/keys",
        "https://issuer.invalid/keys",
        "https://localhost/a b\r\nX: y",
    ],
    ids=str,
)
def test_keys_need_a_reachable_https_url(
    issuer: Issuer, server: issuers.Issuer, jwks_uri: Any
) -> None:
    server.answers[DISCOVERY] = json_value({"jwks_uri": jwks_uri})
    with pytest.raises(IssuerUnreachable):
        issuer.key(kid(server.key))
    assert server.requests == [DISCOVERY]


def test_stopped_issuer_is_unreachable(server: issuers.Issuer, ca: Path) -> None:
    with issuers.Issuer(server.certificate) as stopped:
        url = stopped.url
    with pytest.raises(IssuerUnreachable, match=url) as error:
        Issuer(url, ca)._fetch_keys()
    assert isinstance(error.value.__cause__, ConnectionRefusedError)


def test_certificate_of_another_ca_is_refused(
    issuer: Issuer, server: issuers.Issuer, tmp_path: Path
) -> None:
    certificate = tmp_path / "other.pem"
    other_ca = trustme.CA()
    other_ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    with issuers.Issuer(certificate) as impostor:
        server.answers[DISCOVERY] = json_value({"jwks_uri": f"{impostor.url}{KEYS}"})
        with pytest.raises(IssuerUnreachable) as error:
            issuer._fetch_keys()
        assert isinstance(error.value.__cause__, ssl.SSLCertVerificationError)
        assert impostor.requests == []


def test_simultaneous_look_ups_wait_for_at_most_two_requests(
    issuer: Issuer, server: issuers.Issuer
) -> None:
    server.answers[DISCOVERY] = silent

    def look_up(_number: int) -> Exception:
        with pytest.raises(IssuerUnreachable) as error:
            issuer.key(kid(server.key))
        return error.value

    with ThreadPoolExecutor(20) as pool:
        assert len(list(pool.map(look_up, range(20)))) == 20
    assert len(server.requests) <= 3


def test_default_time_limit_is_shorter_than_that_of_clients() -> None:
    assert inspect.signature(Issuer).parameters["seconds"].default <= 10


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PublishingIndex]:
    with publishing_index(tmp_path) as index:
        yield index


def test_index_reports_an_unreachable_issuer_and_answers_other_clients(
    index: PublishingIndex,
) -> None:
    waiting, answered = threading.Event(), threading.Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        waiting.set()
        answered.wait(10)
        status(500)(handler)

    index.issuer.answers[DISCOVERY] = wait
    token = index.token()
    with ThreadPoolExecutor(1) as pool:
        exchange = pool.submit(index.exchange, token)
        assert waiting.wait(10)
        assert index.front.get("/simple/existing/").status_code == 200
        answered.set()
        response = exchange.result()
    assert response.status_code == 503
    body = response.json()
    assert body.keys() == {"message", "errors"}
    (error,) = body["errors"]
    assert error["code"] == "issuer-unreachable"
    assert f"{index.issuer.url}{DISCOVERY}" in error["description"]
    del index.issuer.answers[DISCOVERY]
    assert index.exchange(token).status_code == 200, "the failed exchange must not use up the token"


def test_index_does_not_start_with_a_ca_that_is_not_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "not.pem"
    path.write_text("hello")
    line = refusal(configure(tmp_path, issuers=[{"url": "https://issuer", "ca": str(path)}]))
    assert line.startswith("index: ")
    assert str(path) in line
