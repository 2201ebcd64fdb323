"""Whatever is sent to the exchange: an answer in time, no error of the index, and no token."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.index_front import UPLOAD_HOST
from tests.helpers.oidc import NOT_FOUND, Bench, bench, no_publisher, publisher

SOME = settings(
    max_examples=150,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
CODES = {"invalid-payload", "invalid-token", "invalid-publisher", "invalid-reuse-token"}
CLAIMS = (
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "repository",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
    "event_name",
    "environment",
    "ref",
    "sha",
    "sub",
    "actor",
    "workflow_ref",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """An index whose one publisher no fuzzed token names by accident."""
    only = [publisher("strict", "strict")]
    with bench(tmp_path_factory.mktemp("fuzz"), active=only, pending=[]) as started:
        yield started
        # What went wrong inside would stand in the log even where the answer looked well.
        assert [line for line in started.front.lines() if "error" in line] == []
        assert "Traceback" not in (started.front.folder / "stderr").read_text()


def ask(
    index: Bench, body: bytes, headers: dict[str, str] | None = None, method: str = "POST"
) -> tuple[int, bytes]:
    """Send exactly this, by the plainest client; 0 if the connection was ended without answer."""
    context = ssl.create_default_context(cafile=str(index.front.authority))
    connection = http.client.HTTPSConnection(
        UPLOAD_HOST, index.front.port, timeout=5, context=context
    )
    with contextlib.closing(connection):
        try:
            connection.request(method, "/_/oidc/mint-token", body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, ConnectionError, ssl.SSLError):
            return 0, b""


def assert_refused(status: int, body: bytes) -> None:
    assert status == 422, (status, body)
    told = json.loads(body)
    assert told["message"] == "Token request failed"
    (error,) = told["errors"]
    assert error["code"] in CODES
    assert b"pypi-" not in body


@SOME
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"token": "' + b"." * 200_000 + b'"}')
@example(b'{"token": ' * 5000)
@example(b'{"token": "a", "token": "b"}')
@example(b'{"token": 1e999}')
@example(b"\xef\xbb\xbf{}")
def test_any_body_is_refused(index: Bench, body: bytes) -> None:
    assert_refused(*ask(index, body))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@SOME
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.sampled_from([".", "..", ""]))
def test_any_text_as_a_token_is_refused(index: Bench, parts: list[str], glue: str) -> None:
    assert_refused(*ask(index, json.dumps({"token": glue.join(parts)}).encode()))


@SOME
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "zip"]), JSON),
    st.binary(max_size=300),
)
def test_any_header_of_a_token_is_refused_without_its_signature(
    index: Bench, header: dict[str, Any], signature: bytes
) -> None:
    told = {"alg": "RS256", "kid": index.issuer.published[0]["kid"], **header}
    end = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    token = f"{encoded(told)}.{encoded(index.claims())}.{end}"
    assert_refused(*ask(index, json.dumps({"token": token}).encode()))


@SOME
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_byte_changed_in_a_good_token_is_refused(index: Bench, place: int, change: int) -> None:
    token = bytearray(index.token("nowhere").encode())
    token[place % len(token)] ^= change
    status, body = ask(index, json.dumps({"token": token.decode("latin-1")}).encode())
    assert_refused(status, body)


@SOME
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON, min_size=1, max_size=4))
@example({"job_workflow_ref": "a" * 100_000})
@example({"job_workflow_ref": ".yml@" * 20_000})
@example({"repository": "/" * 100_000})
@example({"jti": "\ud800", "repository": "\udfff/\0"})
def test_any_claims_under_a_true_signature_are_refused(
    index: Bench, changes: dict[str, Any]
) -> None:
    # A registration that fits is missing, whatever else the claims say.
    claims = {**index.claims("nowhere"), **changes}
    begun = time.monotonic()
    status, body = ask(index, json.dumps({"token": index.issuer.token(claims)}).encode())
    assert_refused(status, body)
    assert time.monotonic() - begun < 2


TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)
NAMES = st.sampled_from(
    [
        "Content-Type",
        "Content-Encoding",
        "Host",
        "Expect",
        "Authorization",
        "Accept",
        "Connection",
        "X-Forwarded-Host",
        "Cookie",
        "Range",
    ]
)


@SOME
@given(st.dictionaries(NAMES, TEXT, max_size=4), st.sampled_from(["POST", "PUT", "X", "GET"]))
@example({"Content-Type": "application/x-www-form-urlencoded"}, "POST")
@example({"Content-Type": "multipart/form-data; boundary=x"}, "POST")
@example({"Content-Encoding": "gzip"}, "POST")
@example({"Authorization": "Basic !!!"}, "POST")
def test_any_headers_are_met_without_an_error_of_the_index(
    index: Bench, headers: dict[str, str], method: str
) -> None:
    body = json.dumps({"token": index.token("nowhere")}).encode()
    begun = time.monotonic()
    status, told = ask(index, body, headers, method)
    assert status < 500, (status, told)
    assert b"pypi-" not in told
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Content-Length": "5"}, b'{"token": "a.b.c"}', {422}),
        ({"Content-Length": "0"}, b"", {422}),
        ({"Content-Length": "-5"}, b"{}", {0, 400, 411, 422}),
        ({"Content-Length": "many"}, b"{}", {0, 400, 422}),
        ({"Content-Length": "99999999999"}, b"{}", {413}),
        ({"Transfer-Encoding": "chunked"}, b"2\r\n{}\r\n0\r\n\r\n", {422}),
        ({"Transfer-Encoding": "chunked"}, b"no size\r\n{}\r\n0\r\n\r\n", {0, 400, 422}),
        ({"Transfer-Encoding": "gzip"}, b"{}", {0, 400, 422, 501}),
        ({}, b'{"token": "' + b"x" * 5_000_000 + b'"}', {0, 413}),
    ],
    ids=str,
)
def test_a_body_of_odd_length_is_met_without_an_error_of_the_index(
    index: Bench, headers: dict[str, str], body: bytes, expected: set[int]
) -> None:
    status, told = ask(index, body, headers)
    assert status in expected, (status, told)
    assert b"pypi-" not in told
    assert index.front.get("/_/health").json()["status"] == "ok"


def test_what_the_fuzzed_tokens_lack_is_only_the_registration(index: Bench) -> None:
    """The control: the token that the fuzzing starts from is refused for this alone."""
    answer = index.exchange(index.token("nowhere"))
    assert answer.json()["errors"][0]["description"] == no_publisher(NOT_FOUND)
    assert index.exchange(index.token()).status_code == 200
