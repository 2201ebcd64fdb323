"""The request to the live index, answered by a local server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import JsonValue

from tests.helpers.sample_provenance import DIGEST, NAMED, PUBLISHER, WHEELS, provenance
from verification.models.pipeline import LivePublisherCheck
from verification.models.verdict import Verdict
from verification.session.live_index import check_live_publisher, default_index


def listed(name: str, **others: JsonValue) -> JsonValue:
    hashes: JsonValue = {"sha256": DIGEST}
    return {"filename": name, "url": name, "hashes": hashes, "yanked": False, **others}


def page(*files: JsonValue) -> JsonValue:
    return {"meta": {"api-version": "1.1"}, "name": "quiverdb", "files": list(files)}


class Live:
    """A server in the place of the live index."""

    def __init__(self) -> None:
        self.page: JsonValue = page(*map(listed, WHEELS))
        self.answers: dict[str, JsonValue] = {name: provenance(name) for name in WHEELS}
        self.status = 200
        live = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/simple/quiverdb/":
                    self._send(live.page, live.status)
                    return
                parts = self.path.split("/")
                known = parts[1:4] == ["integrity", "quiverdb", "1.2.0"]
                if known and (answer := live.answers.get(parts[4])) is not None:
                    status = answer if isinstance(answer, int) else 200
                    self._send({} if isinstance(answer, int) else answer, status)
                    return
                self._send({"message": "No provenance available"}, 404)

            def _send(self, answer: JsonValue, status: int) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                # The kind of answer that was asked for.
                self.send_header("Content-Type", self.headers["Accept"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def check(self) -> LivePublisherCheck:
        return check_live_publisher(PUBLISHER, index=self.url)


@pytest.fixture
def live() -> Iterator[Live]:
    server = Live()
    threading.Thread(target=server.server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_the_publisher_of_each_file_of_the_last_release_is_judged(live: Live) -> None:
    found = live.check()
    assert (found.verdict, found.version) == (Verdict.VERIFIED, "1.2.0")
    assert set(found.publishers) == set(WHEELS)

    live.answers[WHEELS[1]] = provenance(WHEELS[1], NAMED | {"workflow": "release.yml"})
    assert live.check().verdict is Verdict.FAILED


def test_a_release_without_provenance_is_unverified_with_the_reason(live: Live) -> None:
    del live.answers[WHEELS[0]]
    found = live.check()
    assert (found.verdict, found.causes, found.version) == (Verdict.UNVERIFIED, (), "1.2.0")
    assert f"the provenance of {WHEELS[0]}: 404" in found.reason
    assert "a mirror may have none" in found.reason


@pytest.mark.parametrize("answer", [500, []])
def test_a_file_without_a_usable_answer_is_unverified(live: Live, answer: JsonValue) -> None:
    live.answers[WHEELS[0]] = answer
    found = live.check()
    assert found.verdict is Verdict.UNVERIFIED
    assert WHEELS[0] in found.reason


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"files": "none"},
        page(),
        page(5, {}, {"filename": "x"}),
        {"meta": {"api-version": "9.0"}, "name": "quiverdb", "files": []},
        page(listed(WHEELS[0], yanked=True)),
    ],
    ids=str,
)
def test_a_page_without_a_release_is_unverified(live: Live, answer: JsonValue) -> None:
    live.page = answer
    found = live.check()
    assert (found.verdict, found.version) == (Verdict.UNVERIFIED, "")
    assert "the page of quiverdb" in found.reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "the index has not the page of quiverdb: 404"), (503, "does not give the page")],
)
def test_a_page_that_is_not_given_is_unverified(live: Live, status: int, reason: str) -> None:
    live.status = status
    found = live.check()
    assert found.verdict is Verdict.UNVERIFIED
    assert reason in found.reason


def test_the_last_release_is_the_newest_final_one_that_is_not_yanked(live: Live) -> None:
    live.page = page(
        *map(listed, WHEELS),
        listed("quiverdb-1.10.0-py3-none-any.whl", yanked="broken"),
        listed("quiverdb-2.0.0rc1-py3-none-any.whl"),
        listed("quiverdb-1.1.9.tar.gz"),
        listed("quiverdb-oops.whl"),
        listed("quiverdb-oops.tar.gz"),
    )
    assert live.check().version == "1.2.0"


def test_an_index_that_is_not_there_is_unverified(live: Live) -> None:
    live.server.shutdown()
    live.server.server_close()
    found = live.check()
    assert found.verdict is Verdict.UNVERIFIED
    assert "the index does not answer" in found.reason


def test_the_default_index_is_asked_of_pip() -> None:
    assert default_index().startswith("https://")
    assert not default_index().endswith("/")
