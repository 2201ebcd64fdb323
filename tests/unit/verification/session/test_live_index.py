"""The requests to the live index, with a local server in its place."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import JsonValue

from tests.helpers.local_sigstore import LocalSigstore
from tests.helpers.sample_provenance import DIGEST, PUBLISHER, UPLOADER, WHEELS, provenance
from verification.models.pipeline import LivePublisherCheck
from verification.models.verdict import Verdict
from verification.pipeline.provenance import ProvenanceFile
from verification.session.live_index import (
    check_live_publisher,
    default_index,
    signature_fault,
)


def file_entry(name: str, **changes: JsonValue) -> JsonValue:
    hashes: JsonValue = {"sha256": DIGEST}
    return {"filename": name, "url": name, "hashes": hashes, "yanked": False, **changes}


def page(*files: JsonValue) -> JsonValue:
    return {"meta": {"api-version": "1.1"}, "name": "quiverdb", "files": list(files)}


class FakeIndex:
    """A local server that answers like the live index."""

    def __init__(self) -> None:
        self.page: JsonValue = page(*map(file_entry, WHEELS))
        self.answers: dict[str, JsonValue] = {name: provenance(name) for name in WHEELS}
        self.status = 200
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/simple/quiverdb/":
                    self._send(index.page, index.status)
                    return
                parts = self.path.split("/")
                is_provenance = parts[1:4] == ["integrity", "quiverdb", "1.2.0"]
                if is_provenance and (answer := index.answers.get(parts[4])) is not None:
                    status = answer if isinstance(answer, int) else 200
                    self._send({} if isinstance(answer, int) else answer, status)
                    return
                self._send({"message": "No provenance available"}, 404)

            def _send(self, answer: JsonValue, status: int) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", self.headers["Accept"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def check(self) -> LivePublisherCheck:
        return check_live_publisher(PUBLISHER, index=self.url, verify=lambda *_: "")


@pytest.fixture
def live() -> Iterator[FakeIndex]:
    """Return a running fake index with a good release."""
    index = FakeIndex()
    threading.Thread(target=index.server.serve_forever, args=(0.05,), daemon=True).start()
    yield index
    index.server.shutdown()
    index.server.server_close()


def test_publisher_of_each_file_of_the_last_release_is_judged(live: FakeIndex) -> None:
    result = live.check()
    assert (result.verdict, result.version) == (Verdict.VERIFIED, "1.2.0")
    assert set(result.publishers) == set(WHEELS)

    live.answers[WHEELS[1]] = provenance(WHEELS[1], UPLOADER | {"workflow": "release.yml"})
    assert live.check().verdict is Verdict.FAILED


def test_release_without_provenance_is_unverified_with_the_reason(live: FakeIndex) -> None:
    del live.answers[WHEELS[0]]
    result = live.check()
    assert (result.verdict, result.causes, result.version) == (Verdict.UNVERIFIED, (), "1.2.0")
    assert WHEELS[0] in result.reason
    assert "404" in result.reason


@pytest.mark.parametrize("answer", [500, []])
def test_file_without_a_valid_answer_is_unverified(live: FakeIndex, answer: JsonValue) -> None:
    live.answers[WHEELS[0]] = answer
    result = live.check()
    assert result.verdict is Verdict.UNVERIFIED
    assert WHEELS[0] in result.reason


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"files": "none"},
        page(),
        page(5, {}, {"filename": "x"}),
        {"meta": {"api-version": "9.0"}, "name": "quiverdb", "files": []},
        page(file_entry(WHEELS[0], yanked=True)),
    ],
    ids=str,
)
def test_page_without_a_release_is_unverified(live: FakeIndex, answer: JsonValue) -> None:
    live.page = answer
    result = live.check()
    assert (result.verdict, result.version) == (Verdict.UNVERIFIED, "")
    assert "quiverdb" in result.reason


@pytest.mark.parametrize("status", [404, 503])
def test_page_with_an_error_status_is_unverified(live: FakeIndex, status: int) -> None:
    live.status = status
    result = live.check()
    assert result.verdict is Verdict.UNVERIFIED
    assert "quiverdb" in result.reason
    assert str(status) in result.reason


def test_last_release_is_the_newest_final_one_that_is_not_yanked(live: FakeIndex) -> None:
    live.page = page(
        *map(file_entry, WHEELS),
        file_entry("quiverdb-1.10.0-py3-none-any.whl", yanked="broken"),
        file_entry("quiverdb-2.0.0rc1-py3-none-any.whl"),
        file_entry("quiverdb-1.1.9.tar.gz"),
        file_entry("quiverdb-oops.whl"),
        file_entry("quiverdb-oops.tar.gz"),
    )
    assert live.check().version == "1.2.0"


def test_index_without_an_answer_is_unverified(live: FakeIndex) -> None:
    live.server.shutdown()
    live.server.server_close()
    result = live.check()
    assert result.verdict is Verdict.UNVERIFIED
    assert "ConnectionError" in result.reason


def test_default_index_is_the_one_of_pip() -> None:
    assert default_index().startswith("https://")
    assert not default_index().endswith("/")


@pytest.fixture
def sigstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSigstore:
    """Return authorities whose keys the cache of sigstore has. Newer keys are not available."""
    sigstore = LocalSigstore()
    (tmp_path / "trusted_root.json").write_bytes(sigstore.trust_root())
    monkeypatch.setattr("sigstore._internal.tuf._get_dirs", lambda _: (tmp_path, tmp_path))

    def refuse(**_: object) -> NoReturn:
        raise OSError("no network")

    monkeypatch.setattr("sigstore._internal.tuf.Updater", refuse)
    return sigstore


CONTENT = b"the wheel"
FILE = ProvenanceFile(WHEELS[0], hashlib.sha256(CONTENT).hexdigest())


def signed(sigstore: LocalSigstore, content: bytes = CONTENT) -> bytes:
    """Return the provenance of a wheel with a signed attestation."""
    workflow = "octo-org/quiver2/.github/workflows/publish.yml@refs/tags/v1.2.0"
    claims = {
        "iss": "https://token.actions.githubusercontent.com",
        "repository": "octo-org/quiver2",
        "job_workflow_ref": workflow,
        "workflow_ref": workflow,
        "ref": "refs/tags/v1.2.0",
        "sha": "f" * 40,
    }
    attestation = sigstore.attest(WHEELS[0], content, claims)
    bundle = {"publisher": UPLOADER, "attestations": [attestation]}
    return json.dumps({"version": 1, "attestation_bundles": [bundle]}).encode()


def test_signed_provenance_is_verified(sigstore: LocalSigstore) -> None:
    before = dict(os.environ)
    assert signature_fault(FILE, signed(sigstore)) == ""
    assert dict(os.environ) == before


def test_provenance_that_does_not_verify_has_a_reason(sigstore: LocalSigstore) -> None:
    digest = signature_fault(FILE, signed(sigstore, b"another wheel"))
    assert "subject does not match distribution digest" in digest
    assert "certificate chain" in signature_fault(FILE, signed(LocalSigstore()))
    assert signature_fault(FILE, json.dumps(provenance(WHEELS[0])).encode())
