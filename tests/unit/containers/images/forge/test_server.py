"""The forge as a program: its start and end, its names, its TLS, and whatever it may be sent."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from containers.forge import HOSTS
from tests.helpers.forge_server import RELEASE, Forge, configure, launch, running


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with running(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture
def forge(started: Forge) -> Forge:
    started.clean()
    return started


# Start and end.


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"token": "left out"}, "token is missing"),
        ({"port": "443"}, "port must be of type int"),
        ({"port": True}, "port must be of type int"),
        ({"surplus": 1}, "surplus is not a known key"),
        ({"repository": []}, "repository must be a JSON object"),
        ({"repository": {"owner": "x"}}, "repository.name is missing"),
        ({"run": {"workflow": 1}}, "run.workflow must be of type str"),
        ({"certificate": "/nowhere"}, "certificate: no such file: /nowhere"),
        ({"folder": "/nowhere"}, "folder: no such folder: /nowhere"),
        ({"key": "/etc/hostname"}, "the certificate or its key cannot be used"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    process = launch(configure(tmp_path, **changes))
    out, _ = process.communicate(timeout=20)
    errors = (tmp_path / "stderr").read_text()
    assert (process.returncode, out) == (2, "")
    assert errors.startswith("forge: ")
    assert len(errors.splitlines()) == 1
    assert told in errors


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    repository = {"owner": 5, "tags": {"v1": 1}, "new": 1}
    process = launch(configure(tmp_path, token=5, repository=repository, run="x"))
    process.communicate(timeout=20)
    errors = (tmp_path / "stderr").read_text()
    for fault in (
        "token must be of type str",
        "repository.owner must be of type str",
        "repository.tags must be a JSON object of texts",
        "repository.new is not a known key",
        "repository.id is missing",
        "run must be a JSON object",
    ):
        assert fault in errors


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for text in (None, "{", "[]"):
        path = tmp_path / "broken.json"
        if text is not None:
            path.write_text(text)
        process = launch(path)
        process.communicate(timeout=20)
        assert process.returncode == 2
        assert len((tmp_path / "stderr").read_text().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_though_a_client_stays(tmp_path: Path, number: int) -> None:
    with (
        running(tmp_path / "ending") as forge,
        socket.create_connection(("127.0.0.1", forge.port)),
    ):
        forge.process.send_signal(number)
        assert forge.process.wait(10) == 0


# Names and TLS.


@pytest.mark.parametrize("host", HOSTS)
def test_it_answers_to_every_name_that_it_is_given_on_a_network(forge: Forge, host: str) -> None:
    assert forge.send("GET", f"https://{host}/nothing-here").status_code == 404


def test_it_answers_to_no_other_name(forge: Forge) -> None:
    for host in ("gist.github.com", "example.org"):
        told = forge.send("GET", f"https://{host}/")
        assert told.status_code == 421
        assert "github.com" in told.json()["message"]


def test_a_client_without_the_authority_gets_nothing_and_the_log_says_why(forge: Forge) -> None:
    context = ssl.create_default_context()  # with the host's own authorities
    with (
        socket.create_connection(("127.0.0.1", forge.port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="api.github.com")
    assert forge.lines(tls_refused="TLSV1_ALERT_UNKNOWN_CA")


def test_clients_that_say_nothing_hold_up_nobody(forge: Forge) -> None:
    silent = [socket.create_connection(("127.0.0.1", forge.port)) for _ in range(10)]
    begun = time.monotonic()
    assert forge.api("GET", "").status_code == 200
    assert time.monotonic() - begun < 3
    for sock in silent:
        sock.close()


def test_a_connection_serves_many_requests(forge: Forge) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(forge.folder / "ca.pem")
        for _ in range(5):
            url = f"https://127.0.0.1:{forge.port}/meta"
            assert session.get(url, headers={"Host": "api.github.com"}, timeout=10).ok


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


# Whatever it may be sent.


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


@_GENTLE
@given(head=st.binary(min_size=1, max_size=80))
def test_bytes_that_are_no_request_do_not_stop_it(forge: Forge, head: bytes) -> None:
    context = ssl.create_default_context(cafile=str(forge.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", forge.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="github.com") as sock,
    ):
        sock.sendall(head + b"\r\n\r\n")
    assert forge.api("GET", "").status_code == 200
