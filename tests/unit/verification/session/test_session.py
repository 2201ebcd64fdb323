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
from tests.helpers.sample_testbed import FakeTestbed, prepared_run, probe_output, release
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
LOST = TestbedFailure("machine-lost", "debian-13", "no answer")


def session(testbed: FakeTestbed, folder: Path, *, strict: bool = False) -> Session:
    """Return a session with the release of the sample evidence."""
    files = release(WHEEL, version="1.2.0")
    wheel = files.wheels[0].model_copy(update={"sha256": "a" * 64})
    files = files.model_copy(
        update={"wheels": (wheel,), "dependencies": (Path("cffi-2.0.0-py3-none-any.whl"),)}
    )
    # The sample evidence does not have the chosen values of this run.
    subject = SUBJECT.model_copy(update={"values": None})
    return Session(
        prepared_run(files, "debian-13", testbed=testbed), subject, folder, strict=strict
    )


def with_database(fields: Fields) -> None:
    """Add a database file, as the package writes it, to the output of the probe."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE Other (id)")
        database.execute("CREATE TABLE Plant (id, label, units)")
        rows = healthy()["on_disk"]["tables"]["Plant"]["rows"]
        database.executemany("INSERT INTO Plant VALUES (?, ?, ?)", rows)
        database.commit()
        fields["on_disk"] = {"data.db": base64.b64encode(database.serialize()).decode()}


def with_libraries(fields: Fields) -> None:
    """Add the libraries that the probe reads during the step `mapped`."""
    libraries = fields["exercise"]["steps"]["mapped"]["value"]
    fields["exercise"]["maps"] = {"libraries": libraries, "error": ""}


def probe_testbed(*changes: Change) -> FakeTestbed:
    output = probe_output(with_database, with_libraries, *changes)
    return FakeTestbed.with_probe_results(output, requests=REQUESTS)


def crash_at_import(fields: Fields) -> None:
    fields["import"]["code"] = -11


def print_at_import(fields: Fields) -> None:
    fields["import"]["stdout"] = "hello\n"


def test_working_cell_has_its_result_and_its_evidence(tmp_path: Path) -> None:
    cell_run = session(probe_testbed(), tmp_path).run(CELL)
    result = cell_run.result
    assert [str(cause) for cause in result.causes] == []
    assert (result.outcome, result.verdict) == (Outcome.WORKS, Verdict.VERIFIED)
    assert (result.id, result.machine) == ("debian-13-pip-venv", "debian-13")
    assert (result.installer, result.scenario) == ("pip", "venv")
    assert result.expectation is ExpectationKind.WORKS
    assert result.wheel == WHEEL
    assert result.reason == ""
    assert result.seconds == cell_run.evidence.wall_seconds
    assert result.summary == cell_summary.summarize(cell_run.evidence)
    (written,) = (tmp_path / EVIDENCE).iterdir()
    assert written.name == f"{result.evidence}.json"
    assert read_evidence(written) == cell_run.evidence


def test_failing_cell_has_its_causes(tmp_path: Path) -> None:
    result = session(probe_testbed(crash_at_import), tmp_path).run(CELL).result
    assert (result.outcome, result.verdict) == (Outcome.FAILS, Verdict.FAILED)
    assert "crash" in [cause.name for cause in result.causes]


def test_cell_with_incomplete_evidence_is_unverified_with_the_reason(tmp_path: Path) -> None:
    def end_early(fields: Fields) -> None:
        del fields["exercise"], fields["uninstall"]

    result = session(probe_testbed(end_early), tmp_path).run(CELL).result
    assert (result.outcome, result.verdict) == (Outcome.UNVERIFIED, Verdict.UNVERIFIED)
    assert "exercise" in result.reason
    assert "uninstall" in result.reason


@pytest.mark.parametrize(("strict", "verdict"), [(False, Verdict.VERIFIED), (True, Verdict.FAILED)])
def test_flaw_fails_only_under_strict(tmp_path: Path, strict: bool, verdict: Verdict) -> None:
    result = session(probe_testbed(print_at_import), tmp_path, strict=strict).run(CELL).result
    assert [cause.name for cause in result.causes] == ["output-at-import"]
    assert (result.outcome, result.verdict) == (Outcome.WORKS_FLAWED, verdict)


def test_testbed_failure_is_a_result(tmp_path: Path) -> None:
    result = session(FakeTestbed.with_probe_results(LOST), tmp_path).run(CELL).result
    assert (result.outcome, result.verdict) == (Outcome.TESTBED, Verdict.TESTBED)
    assert [cause.name for cause in result.causes] == ["machine-lost"]
    assert result.evidence


def test_cell_of_the_own_tests_without_their_folder_is_wrong_use(tmp_path: Path) -> None:
    cell = cells.cell(sample_machine("debian-13"), SUBJECT, "pip", "own-tests")
    with pytest.raises(WrongUse):
        session(FakeTestbed.with_probe_results(), tmp_path).run(cell)


def test_keep_is_called_with_the_running_machines_and_the_result(tmp_path: Path) -> None:
    testbed = probe_testbed(crash_at_import)
    calls: list[tuple[CellRun, list[Machine]]] = []

    def keep(cell_run: CellRun, running: list[Machine]) -> None:
        calls.append((cell_run, running))

    cell_run = session(testbed, tmp_path).run(CELL, keep=keep)
    assert calls == [(cell_run, list(testbed.machines))]
    assert [machine.closed for machine in testbed.machines] == [False]


def test_keep_is_not_called_without_a_machine(tmp_path: Path) -> None:
    calls: list[CellRun] = []

    def keep(cell_run: CellRun, _running: list[Machine]) -> None:
        calls.append(cell_run)

    session(FakeTestbed.with_probe_results(LOST), tmp_path).run(CELL, keep=keep)
    assert calls == []


def test_equal_evidence_is_one_file(tmp_path: Path) -> None:
    evidence = session(probe_testbed(), tmp_path).run(CELL).evidence
    second = session(FakeTestbed.with_probe_results(), tmp_path)
    assert second.judge(CELL, evidence) == second.judge(CELL, evidence)
    assert len(list((tmp_path / EVIDENCE).iterdir())) == 1
