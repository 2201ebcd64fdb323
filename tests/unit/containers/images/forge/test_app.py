"""The forge as a whole: its host names, its headers, its log, and arbitrary requests."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from containers.forge import HOSTS
from tests.helpers.forge_server import (
    RELEASE,
    TOKEN,
    Forge,
    client_session,
)


@pytest.mark.parametrize("host", HOSTS)
def test_forge_answers_to_each_of_its_host_names(forge: Forge, host: str) -> None:
    assert forge.send("GET", f"https://{host}/nothing-here").status_code == 404


def test_other_host_name_is_refused_with_the_names_of_the_forge(forge: Forge) -> None:
    for host in ("gist.github.com", "example.org"):
        response = forge.send("GET", f"https://{host}/")
        assert response.status_code == 421
        assert host in response.json()["message"]
        assert "api.github.com" in response.json()["message"]


def test_responses_have_the_headers_of_github(forge: Forge) -> None:
    for path in ("", "/releases/latest"):
        response = forge.api("GET", path)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["X-GitHub-Media-Type"] == "github.v3; format=json"
        assert len(response.headers["X-GitHub-Request-Id"]) == 16


def test_unknown_method_is_not_found(forge: Forge) -> None:
    response = forge.api("PUT", "/releases")
    assert (response.status_code, response.json()["message"]) == (404, "Not Found")


def test_log_line_has_client_job_request_and_result(forge: Forge) -> None:
    line = forge.line(forge.api("GET", "/releases/latest?secret=1"))
    assert line["path"] == "/repos/quiver-owner/quiver2/releases/latest"
    assert (line["client"], line["job"], line["method"]) == ("127.0.0.1", "release", "GET")
    assert (line["host"], line["status"], line["complete"]) == ("api.github.com", 404, True)
    assert line["problem"] == "Not Found"
    assert "secret" not in json.dumps(line)


def test_log_has_no_tokens(forge: Forge) -> None:
    assert forge.line(forge.api("GET", "/releases"))["job"] == "release"
    assert TOKEN not in (forge.folder / "requests.jsonl").read_text()


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)

_PIECES = st.sampled_from(
    [
        "repos",
        "quiver-owner",
        "quiver2",
        "releases",
        "assets",
        "tags",
        "latest",
        "git",
        "ref",
        "refs",
        "1",
        "99999999999999999999",
        "-1",
        "..",
        "%2F",
        "%00",
        "%FF",
        "",
        "graphql",
        "idtoken",
        ".well-known",
        "download",
        "matching-refs",
        "commits",
    ]
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(
        st.sampled_from(["tag_name", "name", "body", "draft", "query", "variables", "label"]),
        children,
        max_size=4,
    ),
    max_leaves=8,
)

_HYPOTHESIS_SETTINGS = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@_HYPOTHESIS_SETTINGS
@given(
    host=st.sampled_from(HOSTS),
    method=st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"]),
    pieces=st.lists(_PIECES | _TEXT, max_size=7),
    query=_TEXT,
    body=_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50),
)
def test_no_request_causes_an_internal_error(
    forge: Forge, host: str, method: str, pieces: list[str], query: str, body: bytes
) -> None:
    forge.register(RELEASE)
    path = "/".join(requests.utils.requote_uri(piece.replace("?", "")) for piece in pieces)
    # In a separate session, because the server may close the connection of a malformed request.
    with client_session(forge.folder) as session:
        separate = dataclasses.replace(forge, session=session)
        response = separate.send(method, f"https://{host}/{path}?{query}", data=body)
    assert response.status_code < 500, (response.status_code, response.text)


@_HYPOTHESIS_SETTINGS
@given(
    call=st.sampled_from(
        [
            ("POST", "/releases"),
            ("PATCH", "/releases/{id}"),
            ("POST", "/releases/generate-notes"),
            ("PATCH", "/releases/assets/{asset}"),
        ]
    ),
    body=st.dictionaries(
        st.sampled_from(
            [
                "tag_name",
                "target_commitish",
                "name",
                "body",
                "draft",
                "prerelease",
                "make_latest",
                "generate_release_notes",
                "previous_tag_name",
                "label",
            ]
        ),
        _JSON | st.sampled_from(["v0.5.0", "main", "true", "a" * 300]),
        max_size=6,
    ),
)
def test_no_values_cause_an_internal_error_or_a_wrong_copy_for_the_host(
    forge: Forge, call: tuple[str, str], body: dict[str, Any]
) -> None:
    forge.clean()
    release = forge.create("v0.6.0")
    asset = forge.upload(release, "a.whl", b"x").json()
    path = call[1].format(id=release["id"], asset=asset["id"])
    response = forge.api(call[0], path, json=json.loads(json.dumps(body).replace("NaN", "0")))
    assert response.status_code < 500, (response.status_code, response.text)
    releases = forge.api("GET", "/releases").json()
    stored_ids = {release["id"] for release in forge.stored_releases()}
    assert {release["id"] for release in releases} == stored_ids
