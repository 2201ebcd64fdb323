"""The index as its clients see it: pages, files, faults, and the evidence it leaves."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers.index_front import (
    INDEX_HOST,
    UPLOAD_HOST,
    Front,
    configure,
    launch,
    run,
    running,
    sdist,
    sha256,
    wheel,
)

UV = Path(sys.executable).with_name("uv")
needs_uv = pytest.mark.skipif(
    not UV.exists(), reason="uv is not installed beside python: pip install uv"
)
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    with running(folder, yanked={"withdrawn-2.0-py3-none-any.whl": 'broken "badly"'}) as started:
        yield started


def put(front: Front, file: tuple[str, bytes]) -> str:
    """Drop a file into the store, as is done before a front starts; give its name."""
    (front.store / file[0]).write_bytes(file[1])
    return file[0]


def pip(
    front: Front, home: Path, *arguments: str | Path, trusting: bool = True
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    trust = ["--cert", str(front.authority)] if trusting else []
    return run([*command, *arguments, "--index-url", front.simple, "--retries", "0", *trust], home)


def compile_with_uv(front: Front, home: Path, requirement: str) -> subprocess.CompletedProcess[str]:
    (home / "requirements.in").write_text(requirement)
    return run(
        [UV, "pip", "compile", "requirements.in", "--index-url", front.simple, "--no-header"],
        home,
        SSL_CERT_FILE=str(front.authority),
    )


def files_in_json(front: Front, project: str) -> dict[str, dict[str, Any]]:
    page = front.get(f"/simple/{project}/", headers={"Accept": JSON}).json()
    return {file["filename"]: file for file in page["files"]}


class Anchors(HTMLParser):
    """The anchors of a page by their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str | None]] = {}
        self._open: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = dict(attrs) if tag == "a" else None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found[data] = self._open
            self._open = None


# Real installers.


def test_pip_downloads_the_bytes_that_were_stored_and_the_log_proves_it(
    front: Front, tmp_path: Path
) -> None:
    filename, content = wheel("plain", "1.0", payload=os.urandom(300_000))
    put(front, (filename, content))
    done = pip(front, tmp_path, "download", "plain", "--dest", tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / filename).read_bytes() == content
    (line,) = front.lines(file=filename)
    assert line["sha256"] == sha256(content)
    assert (line["status"], line["bytes"], line["complete"]) == (200, len(content), True)
    assert line["client"] == "127.0.0.1"
    assert line["host"] == f"{INDEX_HOST}:{front.port}"
    assert (line["method"], line["path"]) == ("GET", f"/packages/{filename}")
    assert line["user_agent"].startswith("pip/")


@needs_uv
def test_uv_resolves_from_the_metadata_beside_the_wheel(front: Front, tmp_path: Path) -> None:
    put(front, wheel("leaf", "1.0"))
    filename = put(front, wheel("stem", "1.0", requires_dist="leaf>=1"))
    done = compile_with_uv(front, tmp_path, "stem")
    assert "stem==1.0" in done.stdout, done.stdout
    assert "leaf==1.0" in done.stdout
    assert front.lines(file=f"{filename}.metadata", status=200)
    assert not front.lines(file=filename)


def test_pip_installs_a_project_with_its_dependency(front: Front, tmp_path: Path) -> None:
    put(front, wheel("base", "1.0"))
    put(front, wheel("Top_Level.Name", "1.0", requires_dist="base"))
    target = tmp_path / "site"
    done = pip(front, tmp_path, "install", "top-level-name", "--target", target)
    assert done.returncode == 0, done.stdout
    assert (target / "base" / "__init__.py").is_file()


def test_pip_passes_over_what_needs_another_python(front: Front, tmp_path: Path) -> None:
    put(front, wheel("aged", "1.0", requires_python=">=3.8,<4"))
    put(front, wheel("aged", "2.0", requires_python=">=99"))
    done = pip(front, tmp_path, "install", "--dry-run", "--no-deps", "--target", "site", "aged")
    assert "Would install aged-1.0" in done.stdout, done.stdout
    put(front, wheel("futuristic", "2.0", requires_python=">=99"))
    done = pip(front, tmp_path, "download", "futuristic")
    assert done.returncode != 0
    assert "require a different" in done.stdout


@needs_uv
def test_uv_passes_over_what_needs_another_python(front: Front, tmp_path: Path) -> None:
    put(front, wheel("older", "1.0", requires_python=">=3.8,<4"))
    put(front, wheel("older", "2.0", requires_python=">=99"))
    done = compile_with_uv(front, tmp_path, "older")
    assert "older==1.0" in done.stdout, done.stdout


def test_pip_passes_over_a_yanked_file_unless_it_is_asked_for(front: Front, tmp_path: Path) -> None:
    put(front, wheel("withdrawn", "1.0"))
    put(front, wheel("withdrawn", "2.0"))
    usual = pip(front, tmp_path, "download", "withdrawn", "--dest", tmp_path)
    assert "withdrawn-1.0" in usual.stdout
    pinned = pip(front, tmp_path, "download", "withdrawn==2.0", "--dest", tmp_path)
    assert 'broken "badly"' in pinned.stdout


def test_pip_is_told_that_a_project_does_not_exist(front: Front, tmp_path: Path) -> None:
    done = pip(front, tmp_path, "download", "nowhere")
    assert "No matching distribution found for nowhere" in done.stdout
    assert front.get("/simple/nowhere/").status_code == 404
    assert front.lines(path="/simple/nowhere/", status=404)


def test_a_client_without_the_authority_gets_nothing_and_the_log_says_why(
    front: Front, tmp_path: Path
) -> None:
    put(front, wheel("guarded", "1.0"))
    done = pip(front, tmp_path, "download", "guarded", trusting=False)
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout
    assert not front.lines(path="/simple/guarded/")
    assert front.lines(tls_refused="TLSV1_ALERT_UNKNOWN_CA")


# Marks in the log.


@contextlib.contextmanager
def held(front: Front, seconds: float) -> Iterator[str]:
    """Have a request under way that ends after ``seconds``; its path."""
    path = f"/simple/held-{secrets.token_hex(4)}/"
    ask = functools.partial(pytest.raises, requests.ConnectionError, front.get, path)
    fault = {"match": path, "fault": "hang", "seconds": seconds}
    with front.faults(fault), ThreadPoolExecutor() as pool:
        asked = pool.submit(ask)
        while front.get("/_/health").json()["in_flight"] == 0:
            time.sleep(0.01)
        yield path
        asked.result()


def test_a_mark_comes_after_every_line_of_its_client(front: Front) -> None:
    with held(front, 1) as path:
        others = front.until(front.mark("127.0.0.2"))
        own = front.until(front.mark("127.0.0.1"))
    assert path not in [line.get("path") for line in others]
    (line,) = [line for line in own if line.get("path") == path]
    assert "open" not in line


def test_a_mark_does_not_wait_for_ever_and_tells_what_goes_on(front: Front) -> None:
    with held(front, 5) as path:
        told = front.until(front.mark())
    (line,) = [line for line in told if line.get("path") == path]
    assert (line["open"], line["status"], line["client"]) == (True, None, "127.0.0.1")


# Pages.


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/html"),
        ("*/*", "text/html"),
        ("text/html", "text/html"),
        (HTML, HTML),
        (JSON, JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON),
        (f"{JSON};q=0.1, {HTML};q=0.9", HTML),
        (f"{JSON};q=0, text/html", "text/html"),
        ("application/vnd.pypi.simple.v2+json", "text/html"),
    ],
)
def test_the_accept_header_chooses_the_page(front: Front, accept: str | None, kind: str) -> None:
    put(front, wheel("chosen", "1.0"))
    for path in ("/simple/", "/simple/chosen/"):
        answer = front.get(path, headers={"Accept": accept})
        assert answer.headers["Content-Type"].partition(";")[0] == kind
        assert answer.headers["Vary"] == "Accept"
        assert answer.text.startswith("{" if kind == JSON else "<!DOCTYPE html>")


def test_the_json_page_says_what_pep_691_and_700_ask_for(front: Front) -> None:
    built = wheel("described", "1.10", requires_python=">=3.9")
    source = sdist("described", "1.9")
    put(front, built)
    put(front, source)
    page = front.get("/simple/described/", headers={"Accept": JSON}).json()
    assert page["meta"] == {"api-version": "1.1"}
    assert page["name"] == "described"
    assert page["versions"] == ["1.9", "1.10"]
    files = {file["filename"]: file for file in page["files"]}
    assert files.keys() == {built[0], source[0]}
    for name, content in (built, source):
        assert files[name]["hashes"] == {"sha256": sha256(content)}
        assert files[name]["size"] == len(content)
        assert files[name]["yanked"] is False
        assert time.strptime(files[name]["upload-time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert files[built[0]]["requires-python"] == ">=3.9"
    assert "requires-python" not in files[source[0]]
    beside = front.get(files[built[0]]["url"] + ".metadata").content
    assert b"Name: described" in beside
    assert files[built[0]]["core-metadata"] == {"sha256": sha256(beside)}
    assert "core-metadata" not in files[source[0]]
    assert front.get(files[source[0]]["url"] + ".metadata").status_code == 404


def test_the_root_page_lists_the_projects_by_their_normalised_names(front: Front) -> None:
    put(front, wheel("Listed_Here", "1.0"))
    page = front.get("/simple/", headers={"Accept": JSON}).json()
    assert {"name": "listed-here"} in page["projects"]
    assert Anchors(front.get("/simple/").text).found["listed-here"]["href"]


def test_the_anchors_carry_what_a_real_index_gives(front: Front) -> None:
    filename, content = wheel("anchored", "1.0", requires_python=">=3.8,<4")
    put(front, (filename, content))
    text = front.get("/simple/anchored/").text
    assert 'data-requires-python="&gt;=3.8,&lt;4"' in text
    anchor = Anchors(text).found[filename]
    beside = front.get(f"/packages/{filename}.metadata").content
    assert anchor == {
        "href": f"/packages/{filename}#sha256={sha256(content)}",
        "data-requires-python": ">=3.8,<4",
        "data-core-metadata": f"sha256={sha256(beside)}",
        "data-dist-info-metadata": f"sha256={sha256(beside)}",
    }


def test_a_yanked_file_says_so_on_both_pages(front: Front) -> None:
    put(front, wheel("withdrawn", "1.0"))
    filename = put(front, wheel("withdrawn", "2.0"))
    anchors = Anchors(front.get("/simple/withdrawn/").text).found
    assert anchors[filename]["data-yanked"] == 'broken "badly"'
    assert "data-yanked" not in anchors["withdrawn-1.0-py3-none-any.whl"]
    assert files_in_json(front, "withdrawn")[filename]["yanked"] == 'broken "badly"'


def test_a_file_that_changes_is_read_again(front: Front) -> None:
    filename = put(front, wheel("changing", "1.0"))
    before = files_in_json(front, "changing")[filename]["hashes"]["sha256"]
    content = wheel("changing", "1.0", payload=b"changed")[1]
    put(front, (filename, content))
    after = files_in_json(front, "changing")[filename]["hashes"]["sha256"]
    assert before != after == sha256(content)


def test_a_broken_wheel_is_listed_without_metadata(front: Front) -> None:
    filename = put(front, ("broken-1.0-py3-none-any.whl", b"not a zip"))
    described = files_in_json(front, "broken")[filename]
    assert described["hashes"] == {"sha256": sha256(b"not a zip")}
    assert "core-metadata" not in described
    assert front.get(f"/packages/{filename}.metadata").status_code == 404


def test_a_hidden_file_is_not_served(front: Front) -> None:
    filename, content = wheel("hidden", "1.0")
    put(front, (f".{filename}", content))
    assert front.get("/simple/hidden/").status_code == 404
    assert front.get(f"/packages/.{filename}").status_code == 404
    assert front.get("/packages/../config.json").status_code == 404
    assert front.get("/packages/%2e%2e/config.json").status_code == 404


@pytest.mark.parametrize(
    ("asked", "sent_to"),
    [
        ("/simple", "/simple/"),
        ("/simple/Some_Thing", "/simple/some-thing/"),
        ("/simple/Some_Thing/", "/simple/some-thing/"),
    ],
)
def test_a_name_that_is_not_normalised_is_redirected(
    front: Front, asked: str, sent_to: str
) -> None:
    answer = front.get(asked, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, sent_to)


def test_the_json_about_a_project_names_its_latest_release(front: Front) -> None:
    for version in ("1.9", "1.10", "2.0rc1"):
        put(front, wheel("told", version, summary="Words", requires_python=">=3.9"))
    about = front.get("/pypi/told/json").json()
    assert about["info"]["version"] == "1.10"
    assert about["info"]["requires_python"] == ">=3.9"
    assert about["releases"].keys() == {"1.9", "1.10", "2.0rc1"}
    assert [file["packagetype"] for file in about["urls"]] == ["bdist_wheel"]
    assert front.get("/pypi/untold/json").status_code == 404


def test_a_range_is_served_and_logged_as_such(front: Front) -> None:
    filename, content = wheel("ranged", "1.0", payload=os.urandom(5000))
    put(front, (filename, content))
    answer = front.get(f"/packages/{filename}", headers={"Range": "bytes=100-199"})
    assert answer.status_code == 206
    assert answer.content == content[100:200]
    (line,) = front.lines(file=filename)
    assert line["range"] == f"bytes 100-199/{len(content)}"
    assert line["sha256"] == sha256(content[100:200])


def test_a_name_of_its_own_for_files_is_where_links_lead(tmp_path: Path) -> None:
    hosts = {"index": INDEX_HOST, "upload": UPLOAD_HOST, "files": UPLOAD_HOST}
    with running(tmp_path, hosts=hosts) as front:
        filename, content = wheel("apart", "1.0")
        put(front, (filename, content))
        url = files_in_json(front, "apart")[filename]["url"]
        assert url == f"https://{UPLOAD_HOST}:{front.port}/packages/{filename}"
        assert front.get(url).content == content
        assert front.get(f"/packages/{filename}").status_code == 404
        assert front.get(f"{front.upload}/simple/apart/").status_code == 404
        done = pip(front, tmp_path, "download", "apart", "--dest", tmp_path / "got")
        assert done.returncode == 0, done.stdout


def test_each_host_name_answers_for_its_own_role_only(front: Front) -> None:
    with front.session() as session:
        assert session.post(f"{front.index}/legacy/", timeout=20).status_code == 404
        assert session.post(f"{front.upload}/legacy/", timeout=20).status_code == 403
        assert session.get(f"{front.upload}/legacy/", timeout=20).status_code == 405
    stranger = front.get("/simple/", headers={"Host": "elsewhere.invalid"})
    assert stranger.status_code == 421
    assert f"answers to {INDEX_HOST}, {UPLOAD_HOST}, not to elsewhere.invalid" in stranger.text


# Faults.


def test_a_truncated_download_fails_in_pip_and_is_logged_as_incomplete(
    front: Front, tmp_path: Path
) -> None:
    filename, content = wheel("cut", "1.0", payload=os.urandom(200_000))
    put(front, (filename, content))
    with front.faults({"match": r"/packages/cut.*\.whl$", "fault": "truncate", "after": 1000}):
        done = pip(front, tmp_path, "download", "cut", "--dest", tmp_path)
    assert done.returncode != 0
    line = front.lines(file=filename)[0]
    assert (line["fault"], line["complete"], line["bytes"]) == ("truncate", False, 1000)
    assert line["sha256"] == sha256(content[:1000])
    assert front.get(f"/packages/{filename}").content == content


def test_a_truncated_answer_announces_its_whole_length(front: Front) -> None:
    filename, content = wheel("announced", "1.0", payload=bytes(9000))
    put(front, (filename, content))
    with front.faults({"match": "announced", "fault": "truncate"}), front.session() as session:
        answer = session.get(f"{front.index}/packages/{filename}", stream=True, timeout=20)
        assert answer.headers["Content-Length"] == str(len(content))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = answer.content


def test_a_fault_strikes_as_often_as_it_is_told_to(front: Front) -> None:
    put(front, wheel("twice", "1.0"))
    with front.faults({"match": "/simple/twice/", "fault": "status", "status": 503, "times": 2}):
        statuses = [front.get("/simple/twice/").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert [line.get("fault") for line in front.lines(path="/simple/twice/")] == [
        "status",
        "status",
        None,
    ]


def test_pip_gives_up_on_a_status_of_503(front: Front, tmp_path: Path) -> None:
    put(front, wheel("overloaded", "1.0"))
    with front.faults({"match": r"overloaded.*\.whl$", "fault": "status"}):
        done = pip(front, tmp_path, "download", "overloaded")
    assert done.returncode != 0
    assert "503" in done.stdout


def test_a_corrupted_download_has_its_length_and_fails_in_pip(front: Front, tmp_path: Path) -> None:
    filename, content = wheel("spoilt", "1.0", payload=os.urandom(100_000))
    put(front, (filename, content))
    with front.faults({"match": r"spoilt.*\.whl$", "fault": "corrupt", "after": 70_000}):
        got = front.get(f"/packages/{filename}").content
        done = pip(front, tmp_path, "download", "spoilt")
    assert [at for at, byte in enumerate(got) if byte != content[at]] == [70_000]
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout
    assert front.lines(file=filename)[0]["sha256"] == sha256(got)


def ending(front: Front, path: str) -> str:
    """Ask for a path; tell how TCP says that the connection ended, below TLS."""
    context = ssl.create_default_context(cafile=str(front.authority))
    plain = socket.create_connection((INDEX_HOST, front.port), timeout=20)
    secured = context.wrap_socket(plain, server_hostname=INDEX_HOST)
    secured.sendall(f"GET {path} HTTP/1.1\r\nHost: {INDEX_HOST}\r\n\r\n".encode())
    with socket.socket(fileno=secured.detach()) as below:
        below.settimeout(20)
        try:
            while below.recv(1 << 16):
                pass
        except ConnectionResetError:
            return "reset"
    return "end"


def test_a_reset_reaches_the_client_as_one_and_a_truncation_as_an_end(front: Front) -> None:
    filename = put(front, wheel("torn", "1.0", payload=os.urandom(100_000)))
    path = f"/packages/{filename}"
    for after in (None, 10):
        with front.faults({"match": "torn", "fault": "reset", "after": after}):
            assert ending(front, path) == "reset"
            with pytest.raises(requests.exceptions.RequestException):
                front.get(path)
    with front.faults({"match": "torn", "fault": "truncate"}):
        assert ending(front, path) == "end"
    statuses = [line["status"] for line in front.lines(fault="reset")]
    assert statuses == [None, None, 200, 200]


def test_a_hang_lasts_until_the_client_gives_up_or_its_time_is_over(front: Front) -> None:
    filename = put(front, wheel("stuck", "1.0"))
    path = f"/packages/{filename}"
    with (
        front.faults({"match": "stuck", "fault": "hang", "seconds": 0.3}),
        front.session() as session,
    ):
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(f"{front.index}{path}", timeout=0.1)
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(f"{front.index}{path}", timeout=5)
    deadline = time.monotonic() + 5
    while len(front.lines(fault="hang")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_fault_for_one_client_leaves_the_others_alone(front: Front) -> None:
    put(front, wheel("personal", "1.0"))
    with front.faults({"match": "personal", "fault": "status", "client": "192.0.2.7"}):
        assert front.get("/simple/personal/").status_code == 200
    with front.faults({"match": "personal", "fault": "status", "client": "127.0.0.1"}):
        assert front.get("/simple/personal/").status_code == 503


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        ("[", "cannot use"),
        ('{"match": "x"}', "must hold a list of faults"),
        ('[{"match": "x", "fault": "explode"}]', "fault must be one of truncate, status, hang"),
        ('[{"match": "x", "fault": "hang", "afte": 1}]', "a fault has no key afte"),
        ('[{"match": "(", "fault": "hang"}]', "is not a regular expression"),
        ('[{"match": "x", "fault": "status", "status": "503"}]', "status must be a number"),
    ],
)
def test_a_control_file_with_a_mistake_stops_every_answer_but_the_health_report(
    front: Front, control: str, reason: str
) -> None:
    with front.faults(control):
        answer = front.get("/simple/")
        assert answer.status_code == 500
        assert reason in answer.text
        assert front.get("/_/health").status_code == 200
    assert front.lines(fault="control-file")
    assert front.get("/simple/").status_code == 200


# The server.


def test_many_clients_at_once_all_get_whole_files(front: Front) -> None:
    filename, content = wheel("popular", "1.0", payload=os.urandom(1_000_000))
    put(front, (filename, content))
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(lambda _: front.get(f"/packages/{filename}").content, range(64)))
    assert {sha256(data) for data in got} == {sha256(content)}
    lines = front.lines(file=filename)
    assert len(lines) == 64
    assert {(line["sha256"], line["complete"]) for line in lines} == {(sha256(content), True)}


def test_a_client_that_breaks_off_is_logged_as_incomplete(front: Front) -> None:
    filename = put(front, wheel("abandoned", "1.0", payload=bytes(32_000_000)))
    with (
        front.session() as session,
        session.get(f"{front.index}/packages/{filename}", stream=True, timeout=20) as answer,
    ):
        next(answer.iter_content(1000))
    (line,) = front.lines(file=filename)
    assert line["complete"] is False
    assert line["bytes"] < 32_000_000


def test_one_connection_serves_many_requests(front: Front) -> None:
    context = ssl.create_default_context(cafile=str(front.authority))
    connection = http.client.HTTPSConnection(INDEX_HOST, front.port, context=context, timeout=20)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/simple/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert connection.sock is first
    connection.close()


def test_clients_that_say_nothing_do_not_hold_up_the_others(front: Front) -> None:
    silent = [socket.create_connection((INDEX_HOST, front.port)) for _ in range(10)]
    try:
        begun = time.monotonic()
        assert front.get("/_/health").status_code == 200
        assert time.monotonic() - begun < 2
    finally:
        for connection in silent:
            connection.close()


def test_the_health_report_names_the_versions(front: Front) -> None:
    report = front.get("/_/health").json()
    assert report["status"] == "ok"
    assert report["versions"].keys() == {
        "python",
        "pypiserver",
        "cheroot",
        "werkzeug",
        "packaging",
        "joserfc",
    }


def test_a_head_request_has_no_body(front: Front) -> None:
    filename, content = wheel("headed", "1.0")
    put(front, (filename, content))
    with front.session() as session:
        answer = session.head(f"{front.index}/packages/{filename}", timeout=20)
    assert answer.headers["Content-Length"] == str(len(content))
    (line,) = front.lines(file=filename)
    assert (line["method"], line["bytes"]) == ("HEAD", 0)
    assert "sha256" not in line


def test_the_front_ends_soon_after_it_is_told_to_even_while_a_client_hangs(
    tmp_path: Path,
) -> None:
    with (
        running(tmp_path) as front,
        front.faults({"match": "/simple/", "fault": "hang"}),
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(front.get, "/simple/")
        deadline = time.monotonic() + 5
        while front.get("/_/health").json()["in_flight"] == 0:
            assert time.monotonic() < deadline
        begun = time.monotonic()
        front.process.send_signal(signal.SIGTERM)
        assert front.process.wait(10) == 0
        assert time.monotonic() - begun < 4
        assert waiting.exception(5) is not None
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (hung,) = [line for line in lines if line["path"] == "/simple/"]
    assert (hung["fault"], hung["status"], hung["complete"]) == ("hang", None, False)


def refusal(config: Path) -> str:
    """Start a front that cannot start; give the one line it says."""
    process = launch(config)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read() == ""
    assert process.wait(20) == 2
    (line,) = (config.parent / "stderr").read_text().splitlines()
    return line


def test_a_configuration_is_refused_with_all_its_faults_in_one_line(tmp_path: Path) -> None:
    line = refusal(
        configure(
            tmp_path,
            prot=443,
            port="443",
            log="left out",
            hosts={"index": INDEX_HOST, "up": "x"},
            credentials=[{"username": "__token__", "projects": "all"}],
        )
    )
    assert line.startswith("index: ")
    assert set(line.removeprefix("index: ").split("; ")) == {
        "prot is not a known key",
        "port must be a number from 0 to 65535",
        "log is missing",
        "hosts.upload is missing",
        "hosts.up is not a known key",
        "credentials[0].password is missing",
        "credentials[0].projects must be a list of names, or null for all",
    }


def test_a_front_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    assert "cannot read the configuration" in refusal(tmp_path / "none.json")
    assert "no such folder" in refusal(configure(tmp_path, store=str(tmp_path / "none")))
    config = configure(tmp_path)
    (tmp_path / "server.pem").write_text("no certificate")
    assert "the certificate or its key cannot be used" in refusal(config)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = configure(tmp_path, port=taken.getsockname()[1])
        assert "cannot listen on 127.0.0.1:" in refusal(config)


def test_files_that_lie_in_the_store_before_the_start_are_served(tmp_path: Path) -> None:
    filename, content = wheel("early", "1.0")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / filename).write_bytes(content)
    with running(tmp_path) as front:
        assert front.get(f"/packages/{filename}").content == content


def test_a_log_that_cannot_be_written_shows_in_the_health_report(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full: run the test on Linux")
    with running(tmp_path, log=str(full)) as front:
        front.get("/simple/")
        report = front.get("/_/health")
    assert report.status_code == 500
    assert report.json()["status"].startswith("the request log cannot be written: ")
