"""The forge as a whole: its host names, its headers, its log, and arbitrary requests."""

from __future__ import annotations

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
)


@pytest.mark.parametrize("host", HOSTS)
def test_it_answers_to_every_name_that_it_is_given_on_a_network(forge: Forge, host: str) -> None:
    assert forge.send("GET", f"https://{host}/nothing-here").status_code == 404


def test_it_answers_to_no_other_name(forge: Forge) -> None:
    for host in ("gist.github.com", "example.org"):
        told = forge.send("GET", f"https://{host}/")
        assert told.status_code == 421
        assert "github.com" in told.json()["message"]


def test_every_answer_says_what_github_says_of_every_answer(forge: Forge) -> None:
    for path in ("", "/releases/latest"):
        told = forge.api("GET", path)
        assert told.headers["Content-Type"] == "application/json; charset=utf-8"
        assert told.headers["X-GitHub-Media-Type"] == "github.v3; format=json"
        assert len(told.headers["X-GitHub-Request-Id"]) == 16


def test_an_unknown_method_is_an_unknown_path(forge: Forge) -> None:
    told = forge.api("PUT", "/releases")
    assert (told.status_code, told.json()["message"]) == (404, "Not Found")


def test_a_line_of_the_log_says_who_asked_what_and_what_came_of_it(forge: Forge) -> None:
    line = forge.line(forge.api("GET", "/releases/latest?secret=1"))
    assert line["path"] == "/repos/quiver-owner/quiver2/releases/latest"
    assert (line["client"], line["job"], line["method"]) == ("127.0.0.1", "release", "GET")
    assert (line["host"], line["status"], line["complete"]) == ("api.github.com", 404, True)
    assert line["problem"] == "Not Found"
    assert "secret" not in json.dumps(line)


def test_tokens_are_not_in_the_log(forge: Forge) -> None:
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
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["tag_name", "name", "body", "draft", "query", "variables", "label"]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)

_GENTLE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@_GENTLE
@given(
    host=st.sampled_from(HOSTS),
    method=st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"]),
    pieces=st.lists(_PIECES | _TEXT, max_size=7),
    query=_TEXT,
    body=_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50),
)
def test_no_request_makes_it_fail(
    forge: Forge, host: str, method: str, pieces: list[str], query: str, body: bytes
) -> None:
    forge.register(RELEASE)
    path = "/".join(requests.utils.requote_uri(piece.replace("?", "")) for piece in pieces)
    told = forge.send(method, f"https://{host}/{path}?{query}", data=body)
    assert told.status_code < 500, (told.status_code, told.text)


@_GENTLE
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
def test_no_values_make_it_fail_or_lose_the_copy_for_the_host(
    forge: Forge, call: tuple[str, str], body: dict[str, Any]
) -> None:
    forge.clean()
    release = forge.create("v0.6.0")
    asset = forge.upload(release, "a.whl", b"x").json()
    path = call[1].format(id=release["id"], asset=asset["id"])
    told = forge.api(call[0], path, json=json.loads(json.dumps(body).replace("NaN", "0")))
    assert told.status_code < 500, (told.status_code, told.text)
    listed = forge.api("GET", "/releases").json()
    assert {one["id"] for one in listed} == {one["id"] for one in forge.kept()}
