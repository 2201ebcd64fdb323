"""A session runs a cell, writes its evidence and judges it."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from pathlib import Path

import pytest

from containers.machine import Machine
from tests.helpers.sample_evidence import WHEEL, Change, Fields, healthy
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_testbed import FakeTestbed, prepared, printed, release
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.evidence import read_evidence
from verification.models.index_log import IndexRequest
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.report import cell_summary
from verification.scenarios import cells
from verification.session.session import EVIDENCE, CellRun, Session

CELL = cells.cell(sample_machine("debian-13"), SUBJECT, "pip", "venv")
REQUESTS = tuple(IndexRequest.model_validate(line) for line in healthy()["requests"])
LOST = TestbedFailure("machine-lost", "debian-13", "the engine went away")


def session(testbed: FakeTestbed, folder: Path, *, strict: bool = False) -> Session:
    """Return a session whose release is the one of the sample evidence."""
    files = release(WHEEL, version="1.2.0")
    wheel = files.wheels[0].model_copy(update={"sha256": "a" * 64})
    files = files.model_copy(
        update={"wheels": (wheel,), "dependencies": (Path("cffi-2.0.0-py3-none-any.whl"),)}
    )
    # The sample's machine returns no values of this run.
    subject = SUBJECT.model_copy(update={"values": None})
    return Session(prepared(files, "debian-13", testbed=testbed), subject, folder, strict=strict)


def with_database(fields: Fields) -> None:
    """Let the probe print the database file that the package wrote."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE Other (id)")
        database.execute("CREATE TABLE Plant (id, label, units)")
        rows = healthy()["on_disk"]["tables"]["Plant"]["rows"]
        database.executemany("INSERT INTO Plant VALUES (?, ?, ?)", rows)
        database.commit()
        fields["on_disk"] = {"data.db": base64.b64encode(database.serialize()).decode()}


def on_machine(*changes: Change) -> FakeTestbed:
    return FakeTestbed.of(printed(with_database, *changes), requests=REQUESTS)


def crashes(fields: Fields) -> None:
    fields["import"]["code"] = -11


def writes_at_import(fields: Fields) -> None:
    fields["import"]["stdout"] = "hello\n"


def test_a_cell_that_works_has_its_result_and_its_evidence(tmp_path: Path) -> None:
    ran_cell = session(on_machine(), tmp_path).run(CELL)
    result = ran_cell.result
    assert [str(cause) for cause in result.causes] == []
    assert (result.outcome, result.verdict) == (Outcome.WORKS, Verdict.VERIFIED)
    assert (result.id, result.machine) == ("debian-13-pip-venv", "debian-13")
    assert (result.installer, result.scenario) == ("pip", "venv")
    assert result.expectation is ExpectationKind.WORKS
    assert result.wheel == WHEEL
    assert result.reason == ""
    assert result.seconds == ran_cell.evidence.wall_seconds
    assert result.summary == cell_summary.summarize(ran_cell.evidence)
    (written,) = (tmp_path / EVIDENCE).iterdir()
    assert written.name == f"{result.evidence}.json"
    assert read_evidence(written) == ran_cell.evidence


def test_a_cell_that_fails_has_its_causes(tmp_path: Path) -> None:
    result = session(on_machine(crashes), tmp_path).run(CELL).result
    assert (result.outcome, result.verdict) == (Outcome.FAILS, Verdict.FAILED)
    assert "crash" in [cause.name for cause in result.causes]


def test_a_cell_whose_evidence_ends_early_is_unverified_with_the_reason(tmp_path: Path) -> None:
    def ends(fields: Fields) -> None:
        del fields["exercise"], fields["uninstall"]

    result = session(on_machine(ends), tmp_path).run(CELL).result
    assert (result.outcome, result.verdict) == (Outcome.UNVERIFIED, Verdict.UNVERIFIED)
    assert "exercise, uninstall" in result.reason


@pytest.mark.parametrize(("strict", "verdict"), [(False, Verdict.VERIFIED), (True, Verdict.FAILED)])
def test_a_flaw_fails_under_strict_alone(tmp_path: Path, strict: bool, verdict: Verdict) -> None:
    result = session(on_machine(writes_at_import), tmp_path, strict=strict).run(CELL).result
    assert [cause.name for cause in result.causes] == ["output-at-import"]
    assert (result.outcome, result.verdict) == (Outcome.WORKS_FLAWED, verdict)


def test_a_failure_of_the_testbed_is_a_result(tmp_path: Path) -> None:
    result = session(FakeTestbed.of(LOST), tmp_path).run(CELL).result
    assert (result.outcome, result.verdict) == (Outcome.TESTBED, Verdict.TESTBED)
    assert [cause.name for cause in result.causes] == ["machine-lost"]
    assert result.evidence


def test_the_own_tests_need_their_folder(tmp_path: Path) -> None:
    of = cells.cell(sample_machine("debian-13"), SUBJECT, "pip", "own-tests")
    with pytest.raises(WrongUse):
        session(FakeTestbed.of(), tmp_path).run(of)


def test_who_keeps_machines_is_given_them_with_the_result(tmp_path: Path) -> None:
    testbed = on_machine(crashes)
    kept: list[tuple[CellRun, list[Machine]]] = []

    def keep(of: CellRun, held: list[Machine]) -> None:
        kept.append((of, held))

    ran_cell = session(testbed, tmp_path).run(CELL, keep=keep)
    assert kept == [(ran_cell, list(testbed.machines))]
    assert [machine.closed for machine in testbed.machines] == [False]


def test_a_cell_without_a_machine_leaves_nothing_to_keep(tmp_path: Path) -> None:
    kept: list[CellRun] = []

    def keep(of: CellRun, _held: list[Machine]) -> None:
        kept.append(of)

    session(FakeTestbed.of(LOST), tmp_path).run(CELL, keep=keep)
    assert kept == []


def test_the_same_evidence_is_one_file(tmp_path: Path) -> None:
    evidence = session(on_machine(), tmp_path).run(CELL).evidence
    other = session(FakeTestbed.of(), tmp_path)
    assert other.judge(CELL, evidence) == other.judge(CELL, evidence)
    assert len(list((tmp_path / EVIDENCE).iterdir())) == 1
