"""The look at the live index: which publisher the last release came from.

The answers used here are made to the structure of PEP 740, with the keys and value types of a real
answer of the integrity API (sigstore 3.6.1's); they are not such answers themselves.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.helpers.issuer import send
from verification.pipeline import provenance
from verification.pipeline.provenance import Finding, check
from verification.pipeline.publishers import Publisher
from verification.verdict import Verdict

KNOWN = Publisher("quiverdb", "octo-org", "42", "quiver2", "publish.yml", "pypi", pending=False)
STAND_IN = dataclasses.replace(KNOWN, owner="nobody", stand_in_owner=True)
NAMED = {
    "kind": "GitHub",
    "repository": "octo-org/quiver2",
    "workflow": "publish.yml",
    "environment": "pypi",
}
WHEELS = ("quiverdb-1.2.0-cp313-cp313-win_amd64.whl", "quiverdb-1.2.0-py3-none-any.whl")
DIGEST = "ab" * 32


def listed(name: str, **others: Any) -> dict[str, Any]:
    return {"filename": name, "hashes": {"sha256": DIGEST}, "yanked": False, **others}


def answer(name: str, named: Any = NAMED, *, digest: str = DIGEST) -> dict[str, Any]:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": "publish",
        "predicate": None,
    }
    encoded = base64.b64encode(json.dumps(statement).encode()).decode()
    attestation = {"version": 1, "envelope": {"statement": encoded, "signature": "AAAA"}}
    bundle = {"publisher": named, "attestations": [attestation]}
    return {"version": 1, "attestation_bundles": [bundle]}


class Live:
    """A server in the place of the live index."""

    def __init__(self) -> None:
        self.page: Any = {"files": [listed(name) for name in WHEELS]}
        self.told: dict[str, Any] = {name: answer(name) for name in WHEELS}
        live = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/simple/quiverdb/":
                    send(self, live.page)
                    return
                parts = self.path.split("/")
                if parts[1:4] == ["integrity", "quiverdb", "1.2.0"] and parts[4] in live.told:
                    told = live.told[parts[4]]
                    send(
                        self,
                        {} if isinstance(told, int) else told,
                        told if isinstance(told, int) else 200,
                    )
                    return
                send(self, {"message": "No provenance available"}, 404)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def live() -> Iterator[Live]:
    server = Live()
    threading.Thread(target=server.server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.server.shutdown()
    server.server.server_close()


def judged(live: Live, publisher: Publisher = KNOWN) -> Finding:
    return check(publisher, index=live.url)


def test_a_release_of_the_registered_publisher_is_verified_by_structure(live: Live) -> None:
    finding = judged(live)
    assert finding.verdict is Verdict.VERIFIED
    assert finding.version == "1.2.0"
    assert set(finding.publishers) == set(WHEELS)
    assert "signatures are not verified" in finding.reason
    assert "owner is not compared" not in finding.reason


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repository", "octo-org/quiver"),
        ("repository", "other/quiver2"),
        ("workflow", "release.yml"),
        ("environment", "release"),
        ("environment", None),
        ("kind", "GitLab"),
    ],
)
def test_a_release_of_another_publisher_fails_by_name(live: Live, key: str, value: Any) -> None:
    live.told[WHEELS[1]] = answer(WHEELS[1], NAMED | {key: value})
    finding = judged(live)
    assert finding.verdict is Verdict.FAILED
    (cause,) = finding.causes
    assert (cause.name, cause.where) == ("publisher-mismatch", WHEELS[1])
    assert f"{key} {value!r} instead of" in cause.message


def test_an_owner_that_is_a_stand_in_is_not_compared_and_this_is_said(live: Live) -> None:
    finding = judged(live, STAND_IN)
    assert finding.verdict is Verdict.VERIFIED
    assert "the repository's owner is not compared" in finding.reason
    other = NAMED | {"repository": "octo-org/quiver"}
    live.told = {name: answer(name, other) for name in WHEELS}
    assert judged(live, STAND_IN).verdict is Verdict.FAILED


def test_a_registration_without_environment_fits_a_provenance_without_one(live: Live) -> None:
    live.told = {name: answer(name, NAMED | {"environment": None}) for name in WHEELS}
    anywhere = dataclasses.replace(KNOWN, environment="")
    assert judged(live, anywhere).verdict is Verdict.VERIFIED


def test_a_release_without_provenance_is_unverified_with_the_reason(live: Live) -> None:
    del live.told[WHEELS[0]]
    finding = judged(live)
    assert finding.verdict is Verdict.UNVERIFIED
    assert finding.causes == ()
    assert f"the provenance of {WHEELS[0]}: 404" in finding.reason
    assert "a mirror may have none" in finding.reason


@pytest.mark.parametrize(
    "told",
    [
        500,
        [],
        {},
        {"version": 1},
        {"version": 1, "attestation_bundles": []},
        {"version": 1, "attestation_bundles": [{"publisher": NAMED, "attestations": []}]},
        {"version": 1, "attestation_bundles": [{"attestations": [{}]}]},
        {"version": 1, "attestation_bundles": "text"},
        {"version": 2, "attestation_bundles": []},
        answer(WHEELS[0], named=5),
        answer(WHEELS[0], digest="cd" * 32),
        answer("another-1.0-py3-none-any.whl"),
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_of_the_file_is_unverified(live: Live, told: Any) -> None:
    live.told[WHEELS[0]] = told
    finding = judged(live)
    assert finding.verdict is Verdict.UNVERIFIED
    assert WHEELS[0] in finding.reason


@pytest.mark.parametrize(
    "page", [[], {}, {"files": "none"}, {"files": []}, {"files": [5, {}, {"filename": "x"}]}]
)
def test_a_page_without_a_release_is_unverified(live: Live, page: Any) -> None:
    live.page = page
    finding = judged(live)
    assert finding.verdict is Verdict.UNVERIFIED
    assert "the page of quiverdb" in finding.reason


def test_the_last_release_is_the_newest_final_one_that_is_not_yanked(live: Live) -> None:
    live.page["files"] += [
        listed("quiverdb-1.10.0-py3-none-any.whl", yanked="broken"),
        listed("quiverdb-2.0.0rc1-py3-none-any.whl"),
        listed("quiverdb-1.1.9.tar.gz"),
        listed("quiverdb-oops.whl"),
    ]
    assert judged(live).version == "1.2.0"


def test_an_index_that_is_not_there_is_unverified(live: Live) -> None:
    live.server.shutdown()
    live.server.server_close()
    finding = judged(live)
    assert finding.verdict is Verdict.UNVERIFIED
    assert "the index does not answer" in finding.reason


def test_the_default_index_is_asked_of_pip() -> None:
    assert provenance.default_index().startswith("https://")
    assert not provenance.default_index().endswith("/")
