"""The exchange: its response, the permissions of a minted token, and its log line."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.index_front import UPLOAD_HOST, sha256, wheel
from tests.helpers.oidc import (
    NOT_FOUND,
    OWNER,
    SHA,
    TAG,
    PublishingIndex,
    assert_refused,
    no_publisher,
    publisher,
    publishing_index,
)


def test_valid_token_is_exchanged_for_an_upload_token_of_15_minutes(
    index: PublishingIndex,
) -> None:
    start = int(time.time())
    response = index.exchange(index.token())
    assert response.status_code == 200
    body = response.json()
    assert body.keys() == {"success", "token", "expires"}
    assert body["success"] is True
    assert body["token"].startswith("pypi-")
    assert start + 900 <= body["expires"] <= int(time.time()) + 900


@pytest.mark.parametrize("path", ["/_/oidc/mint-token", "/_/oidc/github/mint-token"])
def test_exchange_has_two_paths(index: PublishingIndex, path: str) -> None:
    assert index.post({"token": index.token()}, path).status_code == 200


def test_both_hosts_return_the_audience(index: PublishingIndex) -> None:
    for host in (index.front.index, index.front.upload):
        response = index.front.get(f"{host}/_/oidc/audience")
        assert (response.status_code, response.json()) == (200, {"audience": "pypi"})


def test_disabled_trusted_publishing_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with publishing_index(tmp_path_factory.mktemp("off"), trusted_publishing=False) as index:
        audience = index.front.get(f"{index.front.upload}/_/oidc/audience")
        assert audience.status_code == 403
        assert audience.json() == {"message": "Trusted publishing functionality not enabled"}
        assert_refused(
            index.exchange(index.token()),
            "not-enabled",
            "github trusted publishing functionality not enabled",
        )
        # The check of the issuer comes first.
        unknown = index.exchange(index.token(iss="https://elsewhere.invalid"))
        assert_refused(unknown, "invalid-payload", "unknown trusted publishing issuer")
        assert index.issuer.requests == []


@pytest.mark.parametrize(
    ("body", "description"),
    [
        (b"", ""),
        (b"not json", ""),
        (b"\xff\xfe", ""),
        (b"[" * 100_000, ""),
        ([], ""),
        ("text", ""),
        ({}, "token: field required"),
        ({"Token": "x"}, "token: field required"),
        ({"token": None}, "token: input should be a valid string"),
        ({"token": 5}, "token: input should be a valid string"),
        ({"token": ["x"]}, "token: input should be a valid string"),
        ({"token": ""}, "malformed JWT"),
        ({"token": "x"}, "malformed JWT"),
        ({"token": "a.b"}, "malformed JWT"),
        ({"token": "a.b.c"}, "malformed JWT"),
        ({"token": "e30.e30."}, "malformed JWT"),
        ({"token": "e30.W10.e30"}, "malformed JWT"),
        ({"token": "\ud800.e30.e30"}, "malformed JWT"),
        ({"token": "e30.e30.e30.e30"}, "malformed JWT"),
    ],
)
def test_body_without_a_token_is_an_invalid_payload(
    index: PublishingIndex, body: Any, description: str
) -> None:
    response = index.post(body)
    assert_refused(response, "invalid-payload", description or our_description(response))


def our_description(response: requests.Response) -> str:
    """Return the description in a response, if the default index has no fixed words for it."""
    return str(response.json()["errors"][0]["description"])


def test_get_cannot_exchange(index: PublishingIndex) -> None:
    response = index.front.get(f"{index.front.upload}/_/oidc/mint-token")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


def test_minted_token_can_upload_several_files(index: PublishingIndex) -> None:
    token = index.mint()
    for version in ("1.0", "1.1"):
        filename, content = wheel("strict", version)
        assert index.upload(token, (filename, content)).status_code == 200
        assert (index.front.store / filename).read_bytes() == content


def test_minted_token_of_a_publisher_of_two_projects_can_upload_to_both(
    index: PublishingIndex,
) -> None:
    token = index.mint("pair")
    for name in ("pair_one", "pair_two"):
        assert index.upload(token, wheel(name, "1.0")).status_code == 200
    assert index.upload(token, wheel("strict", "9.0")).status_code == 403


def test_first_upload_of_a_pending_publisher_creates_the_project(index: PublishingIndex) -> None:
    name = "upload-first"
    assert index.front.get(f"/simple/{name}/").status_code == 404
    assert index.upload(index.mint(name), wheel(name, "1.0")).status_code == 200
    assert "upload_first-1.0" in index.front.get(f"/simple/{name}/").text
    assert index.upload(index.mint(name), wheel(name, "1.1")).status_code == 200


@pytest.mark.parametrize(
    ("project", "status", "reason"),
    [
        ("open", 403, "Invalid API Token: OIDC scoped token is not valid for project 'open'"),
        ("existing", 403, "Invalid API Token: OIDC scoped token is not valid for project 'exist"),
        ("unknown", 400, "Non-user identities cannot create new projects. This was probably "),
    ],
)
def test_minted_token_cannot_upload_to_another_project(
    index: PublishingIndex, project: str, status: int, reason: str
) -> None:
    file = wheel(project, "30.0")
    response = index.upload(index.mint(), file)
    assert response.status_code == status
    assert response.reason.startswith(reason)
    assert not (index.front.store / file[0]).exists()


def test_minted_token_cannot_replace_a_file(index: PublishingIndex) -> None:
    token = index.mint()
    filename, content = wheel("strict", "2.0")
    assert index.upload(token, (filename, content)).status_code == 200
    before = (index.front.store / filename).stat()
    assert index.upload(index.mint(), (filename, content)).status_code == 200
    after = (index.front.store / filename).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    other = index.upload(token, wheel("strict", "2.0", payload=b"other"))
    assert other.status_code == 400
    assert other.reason.startswith(f"File already exists ('{filename}', with blake2_256 hash '")
    assert (index.front.store / filename).read_bytes() == content


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: text[5:]])
def test_changed_minted_token_is_refused(index: PublishingIndex, change: Any) -> None:
    response = index.upload(change(index.mint()), wheel("strict", "4.0"))
    assert response.status_code == 403
    assert response.reason.startswith("Invalid or non-existent authentication information.")


def test_identity_token_is_not_an_upload_token(index: PublishingIndex) -> None:
    assert index.upload(index.token(), wheel("strict", "4.0")).status_code == 403


def test_log_has_the_publisher_of_an_upload(index: PublishingIndex) -> None:
    filename, content = wheel("strict", "5.0")
    assert index.upload(index.mint(run_id="815"), (filename, content)).ok
    uploads = [line.get("upload", {}) for line in index.front.lines()]
    (upload,) = [upload for upload in uploads if upload.get("file") == filename]
    slug = f"{OWNER}/strict"
    assert upload == {
        "file": filename,
        "sha256": sha256(content),
        "identity": {
            "publisher": f"{slug}/.github/workflows/publish.yml, environment pypi",
            "sub": f"repo:{slug}:environment:pypi",
            "repository": slug,
            "ref": TAG,
            "sha": SHA,
            "job_workflow_ref": f"{slug}/.github/workflows/publish.yml@{TAG}",
            "workflow_ref": f"{slug}/.github/workflows/publish.yml@{TAG}",
            "environment": "pypi",
            "event_name": "push",
            "run_id": "815",
            "actor": "octocat",
        },
    }
    exchange = index.last_exchange()
    assert exchange["identity"] == upload["identity"]
    assert exchange["projects"] == ["strict"]


def test_log_has_the_identity_and_the_code_of_a_refused_exchange(index: PublishingIndex) -> None:
    index.exchange(index.token(environment="staging", run_id="4711"))
    exchange = index.last_exchange()
    assert exchange["code"] == "invalid-publisher"
    assert exchange["identity"]["run_id"] == "4711"
    assert exchange["identity"]["environment"] == "staging"
    assert "publisher" not in exchange["identity"]


def test_log_has_no_token_and_no_part_of_one(index: PublishingIndex) -> None:
    valid = index.token()
    refused = index.token(environment="staging")
    forged = f"{valid.rpartition('.')[0]}.{'A' * 342}"
    minted = index.exchange(valid).json()["token"]
    for token in (refused, forged, valid, f"{valid}x", "bait-not-a-token", "bait.not.token"):
        index.exchange(token)
    index.post(b'{"token": "bait-in-broken-json')
    index.post({"tokn": "bait-in-another-key"})
    index.post({"token": ["bait-in-a-list"]})
    index.upload(minted, wheel("strict", "6.0"))
    index.upload(minted, wheel("open", "6.0"))
    index.upload("pypi-bait-upload", wheel("strict", "6.1"))
    index.upload(valid, wheel("strict", "6.2"))
    log = index.logs()
    assert "invalid-reuse-token" in log, "the log was read too early"
    secrets = {minted, minted.removeprefix("pypi-"), "bait"}
    for token in (valid, refused, forged):
        secrets |= {token, *token.split(".")[1:]}
    for password in (minted, "pypi-bait-upload", valid):
        secrets.add(base64.b64encode(f"__token__:{password}".encode()).decode())
    for secret in secrets:
        assert secret not in log


def test_long_claims_are_shortened_in_the_log(index: PublishingIndex) -> None:
    index.exchange(index.token(actor="a" * 100_000, sub="\udcff\n{}" * 1000))
    assert len(json.dumps(index.last_exchange())) < 10_000


# For random input: a response in time, no internal error, and no token.


HYPOTHESIS_SETTINGS = settings(
    max_examples=40,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children)
    ),
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
def fuzzed(index: PublishingIndex) -> Iterator[PublishingIndex]:
    """The index for arbitrary requests. At the end, its log must have no internal error."""
    yield index
    assert [line for line in index.front.lines() if "error" in line] == []
    assert "Traceback" not in (index.front.folder / "stderr").read_text()


@functools.cache
def tls_context(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


def request(
    fuzzed: PublishingIndex,
    body: bytes,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> tuple[int, bytes]:
    """Send these bytes as they are. Return (status, body), or (0, b"") without a response."""
    context = tls_context(fuzzed.front.ca)
    connection = http.client.HTTPSConnection(
        UPLOAD_HOST, fuzzed.front.port, timeout=5, context=context
    )
    with contextlib.closing(connection):
        try:
            connection.request(method, "/_/oidc/mint-token", body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        except (http.client.HTTPException, ConnectionError, ssl.SSLError):
            return 0, b""


def assert_denied(status: int, body: bytes) -> None:
    assert status == 422, (status, body)
    content = json.loads(body)
    assert content["message"] == "Token request failed"
    (error,) = content["errors"]
    assert error["code"] in CODES
    assert b"pypi-" not in body


@HYPOTHESIS_SETTINGS
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"token": "' + b"." * 200_000 + b'"}')
@example(b'{"token": ' * 5000)
@example(b'{"token": "a", "token": "b"}')
@example(b'{"token": 1e999}')
@example(b"\xef\xbb\xbf{}")
def test_random_body_is_refused(fuzzed: PublishingIndex, body: bytes) -> None:
    assert_denied(*request(fuzzed, body))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@HYPOTHESIS_SETTINGS
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.sampled_from([".", "..", ""]))
def test_random_text_as_a_token_is_refused(
    fuzzed: PublishingIndex, parts: list[str], separator: str
) -> None:
    assert_denied(*request(fuzzed, json.dumps({"token": separator.join(parts)}).encode()))


@HYPOTHESIS_SETTINGS
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "zip"]), JSON),
    st.binary(max_size=300),
)
def test_token_with_a_random_header_and_signature_is_refused(
    fuzzed: PublishingIndex, header: dict[str, Any], signature: bytes
) -> None:
    full_header = {"alg": "RS256", "kid": fuzzed.issuer.published[0]["kid"], **header}
    encoded_signature = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    token = f"{encoded(full_header)}.{encoded(fuzzed.claims())}.{encoded_signature}"
    assert_denied(*request(fuzzed, json.dumps({"token": token}).encode()))


@HYPOTHESIS_SETTINGS
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_token_with_a_changed_byte_is_refused(
    fuzzed: PublishingIndex, position: int, mask: int
) -> None:
    token = bytearray(fuzzed.token("nowhere").encode())
    token[position % len(token)] ^= mask
    status, body = request(fuzzed, json.dumps({"token": token.decode("latin-1")}).encode())
    assert_denied(status, body)


@HYPOTHESIS_SETTINGS
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON, min_size=1, max_size=4))
@example({"job_workflow_ref": "a" * 100_000})
@example({"job_workflow_ref": ".yml@" * 20_000})
@example({"repository": "/" * 100_000})
@example({"jti": "\ud800", "repository": "\udfff/\0"})
def test_valid_token_with_random_claims_is_refused(
    fuzzed: PublishingIndex, changes: dict[str, Any]
) -> None:
    # The index has no publisher for the repository "nowhere".
    claims = {**fuzzed.claims("nowhere"), **changes}
    status, body = request(fuzzed, json.dumps({"token": fuzzed.issuer.token(claims)}).encode())
    assert_denied(status, body)


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


@HYPOTHESIS_SETTINGS
@given(st.dictionaries(NAMES, TEXT, max_size=4), st.sampled_from(["POST", "PUT", "X", "GET"]))
@example({"Content-Type": "application/x-www-form-urlencoded"}, "POST")
@example({"Content-Type": "multipart/form-data; boundary=x"}, "POST")
@example({"Content-Encoding": "gzip"}, "POST")
@example({"Authorization": "Basic !!!"}, "POST")
def test_random_http_headers_cause_no_internal_error(
    fuzzed: PublishingIndex, headers: dict[str, str], method: str
) -> None:
    body = json.dumps({"token": fuzzed.token("nowhere")}).encode()
    status, content = request(fuzzed, body, headers, method)
    assert status < 500, (status, content)
    assert b"pypi-" not in content


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
def test_wrong_body_length_causes_no_internal_error(
    fuzzed: PublishingIndex, headers: dict[str, str], body: bytes, expected: set[int]
) -> None:
    status, content = request(fuzzed, body, headers)
    assert status in expected, (status, content)
    assert b"pypi-" not in content
    assert fuzzed.front.get("/_/health").json()["status"] == "ok"


def test_unchanged_tokens_of_the_random_tests_lack_only_a_registration(
    fuzzed: PublishingIndex,
) -> None:
    response = fuzzed.exchange(fuzzed.token("nowhere"))
    assert response.json()["errors"][0]["description"] == no_publisher(NOT_FOUND)
    assert fuzzed.exchange(fuzzed.token()).status_code == 200


def test_mails_and_the_name_of_a_pending_project(tmp_path: Path) -> None:
    with publishing_index(
        tmp_path,
        active=[publisher("any", "any", "")],
        pending=[publisher("json", "json"), publisher("fresh", "fresh")],
    ) as index:
        refused = index.exchange(index.token("json"))
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["code"] == "invalid-payload"
        assert error["description"].startswith("The name 'json' isn't allowed (conflict with")

        index.mint("fresh")
        assert index.last_exchange()["mails"] == ["pending-trusted-publisher-reified"]
        index.mint("any", environment="pypi")
        assert index.last_exchange()["mails"] == ["environment-ignored-in-trusted-publisher"]
        index.mint("any", environment=None)
        assert "mails" not in index.last_exchange()

        assert index.front.send_upload(wheel("any", "1.0")).status_code == 200
        (upload,) = [line["upload"] for line in index.front.lines() if "upload" in line]
        assert upload["mails"] == ["api-token-used-in-trusted-publisher-project"]


def test_ids_of_check_run_and_environment_are_logged(index: PublishingIndex) -> None:
    index.mint(check_run_id="7", environment_node_id="EN_x")
    identity = index.last_exchange()["identity"]
    assert (identity["check_run_id"], identity["environment_node_id"]) == ("7", "EN_x")
