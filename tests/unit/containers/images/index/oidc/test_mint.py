"""The exchange: its answer, the rights of a minted token, and its entry in the log."""

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


def test_a_fitting_token_is_exchanged_for_one_that_lasts_fifteen_minutes(
    index: PublishingIndex,
) -> None:
    before = int(time.time())
    answer = index.exchange(index.token())
    assert answer.status_code == 200
    told = answer.json()
    assert told.keys() == {"success", "token", "expires"}
    assert told["success"] is True
    assert told["token"].startswith("pypi-")
    assert before + 900 <= told["expires"] <= int(time.time()) + 900


@pytest.mark.parametrize("path", ["/_/oidc/mint-token", "/_/oidc/github/mint-token"])
def test_both_paths_exchange(index: PublishingIndex, path: str) -> None:
    assert index.post({"token": index.token()}, path).status_code == 200


def test_the_audience_is_told_on_both_hosts(index: PublishingIndex) -> None:
    for host in (index.front.index, index.front.upload):
        answer = index.front.get(f"{host}/_/oidc/audience")
        assert (answer.status_code, answer.json()) == (200, {"audience": "pypi"})


def test_what_is_switched_off_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with publishing_index(tmp_path_factory.mktemp("off"), trusted_publishing=False) as off:
        audience = off.front.get(f"{off.front.upload}/_/oidc/audience")
        assert audience.status_code == 403
        assert audience.json() == {"message": "Trusted publishing functionality not enabled"}
        assert_refused(
            off.exchange(off.token()),
            "not-enabled",
            "github trusted publishing functionality not enabled",
        )
        # What comes before the switch in the order of the checks still comes before it.
        unknown = off.exchange(off.token(iss="https://elsewhere.invalid"))
        assert_refused(unknown, "invalid-payload", "unknown trusted publishing issuer")
        assert off.issuer.asked == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the body is not JSON"),
        (b"not json", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        ([], "the body is not a JSON object"),
        ("text", "the body is not a JSON object"),
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
def test_what_is_no_token_is_an_invalid_payload(
    index: PublishingIndex, body: Any, why: str
) -> None:
    assert_refused(index.post(body), "invalid-payload", why)


def test_get_is_no_way_to_exchange(index: PublishingIndex) -> None:
    answer = index.front.get(f"{index.front.upload}/_/oidc/mint-token")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_a_minted_token_uploads_to_its_project_as_often_as_it_likes(index: PublishingIndex) -> None:
    token = index.mint()
    for version in ("1.0", "1.1"):
        filename, content = wheel("strict", version)
        assert index.upload(token, (filename, content)).status_code == 200
        assert (index.front.store / filename).read_bytes() == content


def test_a_minted_token_of_a_publisher_of_two_projects_opens_both(index: PublishingIndex) -> None:
    token = index.mint("pair")
    for name in ("pair_one", "pair_two"):
        assert index.upload(token, wheel(name, "1.0")).status_code == 200
    assert index.upload(token, wheel("strict", "9.0")).status_code == 403


def test_a_new_project_begins_with_its_pending_publishers_first_upload(
    index: PublishingIndex,
) -> None:
    assert index.front.get("/simple/fresh/").status_code == 404
    assert index.upload(index.mint("fresh"), wheel("fresh", "1.0")).status_code == 200
    assert "fresh-1.0" in index.front.get("/simple/fresh/").text
    assert index.upload(index.mint("fresh"), wheel("fresh", "1.1")).status_code == 200


@pytest.mark.parametrize("project", ["open", "taken", "nobodys"])
def test_a_minted_token_opens_no_other_project(index: PublishingIndex, project: str) -> None:
    file = wheel(project, "3.0")
    answer = index.upload(index.mint(), file)
    assert answer.status_code == 403
    assert answer.reason.startswith(
        f"The given token isn't allowed to upload to project '{project}'."
    )
    assert not (index.front.store / file[0]).exists()


def test_the_same_bytes_again_change_nothing_and_other_bytes_are_refused(
    index: PublishingIndex,
) -> None:
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
def test_what_is_nearly_a_minted_token_opens_nothing(index: PublishingIndex, change: Any) -> None:
    answer = index.upload(change(index.mint()), wheel("strict", "4.0"))
    assert answer.status_code == 403
    assert answer.reason.startswith("Invalid or non-existent authentication information.")


def test_an_identity_token_is_no_upload_token(index: PublishingIndex) -> None:
    assert index.upload(index.token(), wheel("strict", "4.0")).status_code == 403


def test_the_log_names_who_uploaded_what(index: PublishingIndex) -> None:
    filename, content = wheel("strict", "5.0")
    assert index.upload(index.mint(jti="the one", run_id="815"), (filename, content)).ok
    (line,) = [x for x in index.front.lines() if x.get("upload", {}).get("file") == filename]
    slug = f"{OWNER}/strict"
    assert line["upload"] == {
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
    minted = index.noted()
    assert minted["identity"] == line["upload"]["identity"]
    assert minted["projects"] == ["strict"]


def test_the_log_names_who_was_refused_and_why(index: PublishingIndex) -> None:
    index.exchange(index.token(environment="staging", run_id="4711"))
    (line,) = [
        x["oidc"]
        for x in index.front.lines()
        if x.get("oidc", {}).get("identity", {}).get("run_id") == "4711"
    ]
    assert line["code"] == "invalid-publisher"
    assert line["identity"]["environment"] == "staging"
    assert "publisher" not in line["identity"]


def test_no_token_nor_any_part_of_one_is_written_down(index: PublishingIndex) -> None:
    good = index.token()
    refused = index.token(environment="staging")
    forged = f"{good.rpartition('.')[0]}.{'A' * 342}"
    answer = index.exchange(good)
    minted = answer.json()["token"]
    for token in (refused, forged, good, f"{good}x", "bait-not-a-token", "bait.not.token"):
        index.exchange(token)
    index.post(b'{"token": "bait-in-broken-json')
    index.post({"tokn": "bait-in-another-key"})
    index.post({"token": ["bait-in-a-list"]})
    index.upload(minted, wheel("strict", "6.0"))
    index.upload(minted, wheel("open", "6.0"))
    index.upload("pypi-bait-upload", wheel("strict", "6.1"))
    index.upload(good, wheel("strict", "6.2"))
    written = index.logs()
    assert "invalid-reuse-token" in written, "the log was read too early"
    secrets = {minted, minted.removeprefix("pypi-"), "bait"}
    for token in (good, refused, forged):
        secrets |= {token, *token.split(".")[1:]}
    for user in (minted, "pypi-bait-upload", good):
        secrets.add(base64.b64encode(f"__token__:{user}".encode()).decode())
    for secret in secrets:
        assert secret not in written


def test_a_claim_is_cut_before_it_fills_the_log(index: PublishingIndex) -> None:
    index.exchange(index.token(actor="a" * 100_000, sub="\udcff\n{}" * 1000))
    assert len(json.dumps([x for x in index.front.lines() if "oidc" in x][-1])) < 10_000


# Whatever is sent to the exchange: an answer in time, no error of the index, and no token.


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
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingIndex]:
    """An index whose one publisher no fuzzed token names by accident."""
    only = [publisher("strict", "strict")]
    folder = tmp_path_factory.mktemp("fuzzed")
    with publishing_index(folder, active=only, pending=[]) as started:
        yield started
        # An error inside is in the log even if the answer looked well.
        assert [line for line in started.front.lines() if "error" in line] == []
        assert "Traceback" not in (started.front.folder / "stderr").read_text()


def ask(
    fuzzed: PublishingIndex,
    body: bytes,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> tuple[int, bytes]:
    """Send exactly this, by the plainest client; 0 if the connection was ended without answer."""
    context = ssl.create_default_context(cafile=str(fuzzed.front.authority))
    connection = http.client.HTTPSConnection(
        UPLOAD_HOST, fuzzed.front.port, timeout=5, context=context
    )
    with contextlib.closing(connection):
        try:
            connection.request(method, "/_/oidc/mint-token", body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, ConnectionError, ssl.SSLError):
            return 0, b""


def assert_answer_refused(status: int, body: bytes) -> None:
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
def test_any_body_is_refused(fuzzed: PublishingIndex, body: bytes) -> None:
    assert_answer_refused(*ask(fuzzed, body))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@SOME
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.sampled_from([".", "..", ""]))
def test_any_text_as_a_token_is_refused(
    fuzzed: PublishingIndex, parts: list[str], glue: str
) -> None:
    assert_answer_refused(*ask(fuzzed, json.dumps({"token": glue.join(parts)}).encode()))


@SOME
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "zip"]), JSON),
    st.binary(max_size=300),
)
def test_any_header_of_a_token_is_refused_without_its_signature(
    fuzzed: PublishingIndex, header: dict[str, Any], signature: bytes
) -> None:
    told = {"alg": "RS256", "kid": fuzzed.issuer.published[0]["kid"], **header}
    end = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    token = f"{encoded(told)}.{encoded(fuzzed.claims())}.{end}"
    assert_answer_refused(*ask(fuzzed, json.dumps({"token": token}).encode()))


@SOME
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_byte_changed_in_a_good_token_is_refused(
    fuzzed: PublishingIndex, place: int, change: int
) -> None:
    token = bytearray(fuzzed.token("nowhere").encode())
    token[place % len(token)] ^= change
    status, body = ask(fuzzed, json.dumps({"token": token.decode("latin-1")}).encode())
    assert_answer_refused(status, body)


@SOME
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON, min_size=1, max_size=4))
@example({"job_workflow_ref": "a" * 100_000})
@example({"job_workflow_ref": ".yml@" * 20_000})
@example({"repository": "/" * 100_000})
@example({"jti": "\ud800", "repository": "\udfff/\0"})
def test_any_claims_under_a_true_signature_are_refused(
    fuzzed: PublishingIndex, changes: dict[str, Any]
) -> None:
    # A registration that fits is missing, whatever else the claims say.
    claims = {**fuzzed.claims("nowhere"), **changes}
    begun = time.monotonic()
    status, body = ask(fuzzed, json.dumps({"token": fuzzed.issuer.token(claims)}).encode())
    assert_answer_refused(status, body)
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
    fuzzed: PublishingIndex, headers: dict[str, str], method: str
) -> None:
    body = json.dumps({"token": fuzzed.token("nowhere")}).encode()
    begun = time.monotonic()
    status, told = ask(fuzzed, body, headers, method)
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
    fuzzed: PublishingIndex, headers: dict[str, str], body: bytes, expected: set[int]
) -> None:
    status, told = ask(fuzzed, body, headers)
    assert status in expected, (status, told)
    assert b"pypi-" not in told
    assert fuzzed.front.get("/_/health").json()["status"] == "ok"


def test_what_the_fuzzed_tokens_lack_is_only_the_registration(fuzzed: PublishingIndex) -> None:
    """The control: the token that the fuzzing starts from is refused for this alone."""
    answer = fuzzed.exchange(fuzzed.token("nowhere"))
    assert answer.json()["errors"][0]["description"] == no_publisher(NOT_FOUND)
    assert fuzzed.exchange(fuzzed.token()).status_code == 200
