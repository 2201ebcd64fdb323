from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from containers import builder
from containers import engine as engines
from tests.benchmarks import chaos, chaos_faults, chaos_judge
from tests.benchmarks.chaos import PlannedRun, Row, Subject
from tests.benchmarks.chaos_judge import Observed, Truth
from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX
from tests.helpers.sample_wheels import linux_wheel
from verification.models.cause import Cause
from verification.models.errors import TestbedFailure
from verification.models.report import Report
from verification.models.verdict import Outcome, Verdict
from verification.rules.catalogue import catalogue

CRASH = sample_run.crash()
LOST = catalogue().cause("machine-lost", "debian-13", "it ended")
GOOD = Truth("good", works=True)
BROKEN = Truth("broken", works=False, causes=frozenset({CRASH.name}))


def report(verdict: Verdict, *causes: Cause, **changes: object) -> Report:
    outcome = None if causes or verdict is Verdict.VERIFIED else Outcome.UNVERIFIED
    run = sample_run.report(sample_run.cell(LINUX, *causes, outcome=outcome, reason="r"))
    return run.model_copy(update={"verdict": verdict, **changes})


VERIFIED = report(Verdict.VERIFIED)
FAILED = report(Verdict.FAILED, CRASH)
TESTBED = report(Verdict.TESTBED, LOST)
INTERRUPTED = report(Verdict.UNVERIFIED, interrupted=True)
KILLED = report(Verdict.UNVERIFIED, finished=False)


@pytest.mark.parametrize(
    ("truth", "observed"),
    [
        (GOOD, Observed(0, VERIFIED, (VERIFIED,))),
        (BROKEN, Observed(1, FAILED, (FAILED,))),
        *((truth, Observed(3, TESTBED, (TESTBED,))) for truth in (GOOD, BROKEN)),
        *((truth, Observed(5, INTERRUPTED)) for truth in (GOOD, BROKEN)),
        (GOOD, Observed(3, KILLED)),
        (GOOD, Observed(None, KILLED)),
        (BROKEN, Observed(3, None)),
        (BROKEN, Observed(5, report(Verdict.FAILED, CRASH, interrupted=True))),
    ],
)
def test_true_run_is_good(truth: Truth, observed: Observed) -> None:
    assert chaos_judge.faults_of(truth, observed) == []


@pytest.mark.parametrize(
    ("truth", "observed", "word"),
    [
        (BROKEN, Observed(0, VERIFIED), "broken wheel is verified"),
        (BROKEN, Observed(3, TESTBED, (VERIFIED,)), "broken wheel is verified"),
        (GOOD, Observed(1, FAILED), "good wheel failed"),
        (GOOD, Observed(5, INTERRUPTED, (FAILED,)), "good wheel failed"),
        (GOOD, Observed(3, report(Verdict.TESTBED, LOST, CRASH)), f"package: {CRASH.name}"),
        (
            dataclasses.replace(BROKEN, causes=frozenset({"missing-bundled-library"})),
            Observed(1, FAILED),
            f"package: {CRASH.name}",
        ),
        (GOOD, Observed(None, report(Verdict.VERIFIED, finished=False)), "without its end"),
        (GOOD, Observed(5, report(Verdict.VERIFIED, interrupted=True)), "without its end"),
        (BROKEN, Observed(1, report(Verdict.FAILED)), "failed without a cause"),
        (GOOD, Observed(3, report(Verdict.TESTBED)), "testbed-failure without a cause"),
        (GOOD, Observed(5, INTERRUPTED, (INTERRUPTED,)), "in the history"),
        (GOOD, Observed(3, KILLED, (KILLED,)), "in the history"),
        (GOOD, Observed(2, None), "ends with 2"),
        (GOOD, Observed(-9, None), "ends with -9"),
        (GOOD, Observed(0, None), "ends with 0 without"),
        (GOOD, Observed(0, KILLED), "ends with 0 without"),
        (GOOD, Observed(0, TESTBED), "ends with 0 without"),
        (BROKEN, Observed(1, TESTBED), "ends with 1 without"),
        (GOOD, Observed(3, INTERRUPTED), "after an interrupt"),
        (GOOD, Observed(3, TESTBED, leftovers=("network x",)), "left: network x"),
        (GOOD, Observed(3, TESTBED, seconds=601), "no end"),
    ],
)
def test_untrue_run_is_reported(truth: Truth, observed: Observed, word: str) -> None:
    faults = chaos_judge.faults_of(truth, observed)
    assert [word in fault for fault in faults].count(True) == 1


# ---- the plan and the table ----


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    folder = tmp_path_factory.mktemp("wheels")
    return chaos.make_subjects(linux_wheel(folder), folder / "chaos")


def test_wheels_are_a_good_one_and_broken_ones(subjects: list[Subject]) -> None:
    on_machines = [subject for subject in subjects if not subject.is_workflow]
    assert [subject.truth.works for subject in on_machines] == [True, False, False]
    folders = [Path(subject.options[-1].partition("=")[2]) for subject in on_machines]
    contents = {next(folder.glob("*.whl")).read_bytes() for folder in folders}
    assert len(contents) == len(on_machines)


def test_seed_decides_the_plan(subjects: list[Subject]) -> None:
    def planned(seed: int) -> list[PlannedRun]:
        return list(chaos.plan(subjects, chaos_faults.FAULTS, 60, runs=50, seed=seed))

    assert planned(1) == planned(1) != planned(2)
    assert {run.fault for run in planned(1)} == set(chaos_faults.FAULTS)
    assert {run.subject.truth.subject for run in planned(1)} == {w.truth.subject for w in subjects}
    assert all(run.fault and run.fault.in_workflow == run.subject.is_workflow for run in planned(1))
    assert all(0 <= run.moment <= 60 for run in planned(1))


def test_names_of_the_faults_are_unique() -> None:
    assert len(chaos_faults.by_name()) == len(chaos_faults.FAULTS)


@pytest.mark.parametrize(("index", "verdict"), [(0, Verdict.FAILED), (1, Verdict.VERIFIED)])
def test_undisturbed_run_must_say_what_is_true(
    subjects: list[Subject], index: int, verdict: Verdict
) -> None:
    with pytest.raises(TestbedFailure):
        chaos.with_causes(subjects[index], report(verdict))
    known = chaos.with_causes(subjects[1], FAILED)
    assert known.truth.causes == {CRASH.name}


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (Observed(0, VERIFIED, seconds=40.4), ["index killed", "1.5", "0", "verified", "40"]),
        (Observed(None, KILLED), ["killed", "unverified (no end)"]),
        (Observed(5, INTERRUPTED), ["5", "unverified (interrupted)"]),
        (Observed(0, None), ["no report", "ends with 0 without such a report"]),
    ],
)
def test_row_of_the_table(subjects: list[Subject], observed: Observed, words: list[str]) -> None:
    fault = chaos_faults.by_name()["index killed"]
    row = Row(PlannedRun(1, "1-1", fault, subjects[0], 1.0), observed, 1.5)
    cells = [cell.strip() for cell in chaos.line(row).strip("|").split("|")]
    assert len(cells) == len(chaos.HEADINGS)
    assert set(words) <= set(cells)


# ---- the command ----


@pytest.mark.parametrize("options", [["--fault", "nosuch"], ["--runs", "1"]])
def test_wrong_use_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["chaos", *options])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert chaos.main() == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (2, 1)])
def test_exit_code_says_whether_a_run_was_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, expected: int
) -> None:
    class FakeChaos:
        def __init__(self, *_: object) -> None: ...

        def run(self, planned: PlannedRun) -> Row:
            works = planned.subject.truth.works
            if planned.fault is None:
                return Row(planned, Observed(0, VERIFIED if works else FAILED), None)
            good = Observed(0, VERIFIED) if works else Observed(1, FAILED)
            return Row(planned, dataclasses.replace(good, code=code or good.code), 1.0)

    engine: Any = type("Engine", (), {"url": "unix:///socket"})
    monkeypatch.setattr(chaos, "Chaos", FakeChaos)
    monkeypatch.setattr(engines, "ensure", lambda: engine)
    monkeypatch.setattr(builder, "build", lambda *_: linux_wheel(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["chaos", "--runs=4"])
    assert chaos.main() == expected


def test_marked_processes_are_found() -> None:
    marker = f"test-{os.getpid()}"
    process = subprocess.Popen(["sleep", "600"], env={chaos_faults.MARKER: marker})
    try:
        assert chaos_faults.processes_of(marker) == {process.pid: "sleep 600 "}
    finally:
        process.kill()
        process.wait()
    assert chaos_faults.processes_of(marker) == {}
