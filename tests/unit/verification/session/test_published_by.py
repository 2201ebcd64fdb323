"""Compare a published release with the files of an earlier gate. A local index has the release."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.release_workflow import SUBJECT
from tests.helpers.sample_provenance import UPLOADER, provenance
from tests.helpers.sample_run import LINUX, PIPELINE, cell, complete, crash, report
from tests.helpers.upstream_index import FakeUpstream
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.report import Report
from verification.models.verdict import Verdict
from verification.pipeline import publishers
from verification.report import results_json
from verification.session import live_index, published_by
from verification.session.published_by import Comparison, VerifiedFiles, compare, verified_files

LINUX_WHEEL = "quiverdb-0.5.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS_WHEEL = "quiverdb-0.5.0-cp313-cp313-win_amd64.whl"
SDIST = "quiverdb-0.5.0.tar.gz"
FILES = {LINUX_WHEEL: b"linux", WINDOWS_WHEEL: b"windows"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
VERIFIED = VerifiedFiles(
    report="first", project="quiverdb", version="0.5.0", digests=DIGESTS, is_built=False
)
assert SUBJECT.publishers is not None
REGISTERED = publishers.load(SUBJECT.publishers)[0]
PUBLISHER = UPLOADER | {"repository": REGISTERED.slug, "workflow": REGISTERED.workflow}


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    """Return a running index with the verified files and their provenance."""
    with FakeUpstream.running() as server:
        for name, content in FILES.items():
            publish(server, name, content)
        server.add("quiverdb-0.4.0-py3-none-any.whl")
        yield server


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_by, "_FIRST_PAUSE", 0.01)


@pytest.fixture(autouse=True)
def signatures_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept all signatures: the provenance of the fake index has none (see test_live_index)."""
    monkeypatch.setattr(live_index, "signature_fault", lambda *_: "")


def publish(server: FakeUpstream, name: str, content: bytes) -> None:
    server.add(name, content)
    digest = hashlib.sha256(content).hexdigest()
    server.provenance[name] = provenance(name, PUBLISHER, digest=digest)


def compared(server: FakeUpstream, minutes: float = 0, **changes: object) -> Comparison:
    return compare(VERIFIED.model_copy(update=changes), SUBJECT, minutes, url=server.url)


def names(comparison: Comparison) -> list[tuple[str, str, str]]:
    causes = comparison.summary.causes
    return [(cause.name, str(cause.severity), cause.where) for cause in causes]


# ---- the release on the index ----


def test_release_with_the_verified_files_has_no_cause(index: FakeUpstream) -> None:
    comparison = compared(index)

    assert comparison.summary.causes == ()
    assert comparison.summary.not_compared == ()
    assert comparison.part.files == DIGESTS
    assert comparison.part.live
    assert comparison.part.live.verdict is Verdict.VERIFIED
    assert comparison.part.live.version == "0.5.0"


@pytest.mark.parametrize("is_built", [False, True])
def test_changed_file_is_a_hash_mismatch(index: FakeUpstream, is_built: bool) -> None:
    publish(index, LINUX_WHEEL, b"other bytes")

    comparison = compared(index, is_built=is_built)

    assert names(comparison) == [("hash-mismatch", "broken", LINUX_WHEEL)]
    facts = comparison.summary.causes[0].facts
    assert facts["built"] == DIGESTS[LINUX_WHEEL]
    assert facts["served"] == comparison.part.files[LINUX_WHEEL] != DIGESTS[LINUX_WHEEL]


def test_missing_file_is_an_incomplete_release(index: FakeUpstream) -> None:
    del index.entries[WINDOWS_WHEEL]

    assert names(compared(index)) == [("incomplete-release", "broken", WINDOWS_WHEEL)]


def test_additional_file_is_a_flaw(index: FakeUpstream) -> None:
    publish(index, SDIST, b"source")

    assert names(compared(index)) == [("unverified-file", "flawed", SDIST)]


@pytest.mark.parametrize("absent", [True, False])
def test_release_that_is_not_published_misses_every_file(index: FakeUpstream, absent: bool) -> None:
    index.entries = {}
    index.absent = ("/simple/quiverdb/",) if absent else ()

    comparison = compared(index)

    assert {name for name, *_ in names(comparison)} == {"incomplete-release"}
    assert (comparison.part.files, comparison.part.live) == ({}, None)


def test_file_without_a_sha256_is_not_compared(index: FakeUpstream) -> None:
    index.entries[LINUX_WHEEL]["hashes"] = {}

    summary = compared(index).summary

    assert [line.partition(":")[0] for line in summary.not_compared] == [LINUX_WHEEL]


def test_files_of_another_version_are_left_out(index: FakeUpstream) -> None:
    publish(index, LINUX_WHEEL.replace("0.5.0", "0.5.1"), b"new")

    assert set(compared(index).part.files) == set(FILES)


# ---- the provenance ----


def test_provenance_of_another_publisher_is_a_cause(index: FakeUpstream) -> None:
    other = PUBLISHER | {"workflow": "other.yml"}
    index.provenance[LINUX_WHEEL] = provenance(LINUX_WHEEL, other, digest=DIGESTS[LINUX_WHEEL])

    assert names(compared(index)) == [("publisher-mismatch", "broken", LINUX_WHEEL)]


def test_release_without_provenance_is_reported_and_no_cause(index: FakeUpstream) -> None:
    index.provenance = {}

    comparison = compared(index)

    assert comparison.summary.causes == ()
    assert comparison.part.live
    assert comparison.part.live.verdict is Verdict.UNVERIFIED


def test_provenance_needs_a_registration(index: FakeUpstream) -> None:
    subject = SUBJECT.model_copy(update={"publishers": None})

    assert compare(VERIFIED, subject, 0, url=index.url).part.live is None


# ---- the wait ----


def test_run_waits_for_a_file_that_appears_later(index: FakeUpstream) -> None:
    entry = index.entries.pop(WINDOWS_WHEEL)

    def appear() -> None:
        if len(index.requests) == 3:
            index.entries[WINDOWS_WHEEL] = entry

    index.before_answer = appear

    assert compared(index, minutes=1).summary.causes == ()
    assert [path for path in index.requests if path.startswith("/simple/")] == [
        "/simple/quiverdb/"
    ] * 5  # the last one is for the provenance


def test_wait_ends_with_what_is_missing(index: FakeUpstream) -> None:
    del index.entries[WINDOWS_WHEEL]

    comparison = compared(index, minutes=0.2 / 60)

    assert [name for name, *_ in names(comparison)] == ["incomplete-release"]
    assert len(index.requests) > 2


def test_pauses_become_longer(index: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    del index.entries[WINDOWS_WHEEL]
    pauses: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(published_by, "_FIRST_PAUSE", 2.0)
    monkeypatch.setattr("verification.session.published_by.time.sleep", sleep)
    monkeypatch.setattr("verification.session.published_by.time.monotonic", lambda: now[0])

    compared(index, minutes=4)

    assert pauses == [2, 4, 8, 16, 32, 60, 60, 58]


def test_index_that_does_not_answer_is_a_testbed_failure() -> None:
    with pytest.raises(TestbedFailure) as error:
        compare(VERIFIED, SUBJECT, 0.05 / 60, url="http://127.0.0.1:9/simple")

    assert error.value.cause == "index-unreachable"


def test_index_that_answers_again_is_used(index: FakeUpstream) -> None:
    index.content_type = "text/plain"

    def answer() -> None:
        if len(index.requests) == 2:
            index.content_type = "application/vnd.pypi.simple.v1+json"

    index.before_answer = answer

    assert compared(index, minutes=1).summary.causes == ()


# ---- the report of the earlier gate ----


def written(folder: Path, value: Report) -> Path:
    results_json.write(folder / results_json.NAME, value)
    return folder


def test_verified_files_are_the_wheels_and_what_the_workflow_published(tmp_path: Path) -> None:
    part = PIPELINE.model_copy(update={"index": {SDIST: "e" * 64}})
    sample = complete().model_copy(update={"pipeline": part})

    verified = verified_files(written(tmp_path, sample), "QuiverDB", "0.5")

    assert verified.digests == {**sample.wheels, SDIST: "e" * 64}
    assert (verified.version, verified.report) == ("0.5.0", str(tmp_path))
    assert verified.is_built == (sample.selection.source is not None)


@pytest.mark.parametrize(
    ("changes", "project", "version"),
    [
        ({}, "other", "0.5.0"),
        ({}, "quiverdb", "0.5.1"),
        ({"version": ""}, "quiverdb", "0.5.0"),
        ({"wheels": {}}, "quiverdb", "0.5.0"),
        ({"verdict": Verdict.UNVERIFIED}, "quiverdb", "0.5.0"),
        ({"verdict": Verdict.TESTBED}, "quiverdb", "0.5.0"),
    ],
)
def test_report_that_verifies_no_such_release_is_refused(
    tmp_path: Path, changes: dict[str, object], project: str, version: str
) -> None:
    folder = written(tmp_path, report().model_copy(update=changes))

    with pytest.raises(WrongUse, match=r"^--published-by ") as error:
        verified_files(folder, project, version)

    assert "\n" not in str(error.value)


def test_report_of_a_failed_gate_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, report(cell(LINUX, crash())))

    with pytest.raises(WrongUse, match="failed"):
        verified_files(folder, "quiverdb", "0.5.0")


@pytest.mark.parametrize("text", [None, "", "{}", "no json"])
def test_folder_without_a_report_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / results_json.NAME).write_text(text, "utf-8")

    with pytest.raises(WrongUse, match=r"^--published-by ") as error:
        verified_files(tmp_path, "quiverdb", "0.5.0")

    assert "\n" not in str(error.value)


def test_version_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="newest"):
        verified_files(written(tmp_path, report()), "quiverdb", "newest")
