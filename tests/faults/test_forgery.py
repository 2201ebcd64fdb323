"""Packages that write results themselves, in place of being used. None of them is verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import edits
from tests.faults.cell_runs import ScenarioRunner
from tests.faults.conftest import Judge
from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_testbed import probe_output
from verification.models.evidence import Isolation
from verification.models.verdict import Verdict
from verification.subjects.subject import load as load_subject
from verification.verdict import verdict_of_causes

pytestmark = pytest.mark.recorded

# The package writes the evidence of another cell to the output of the probe, and kills the probe.
EVIDENCE = r"""
import os, signal
for _number in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{_number}/cmdline", "rb") as file:
            _words = file.read().split(b"\0")
        if any(word.endswith((b"service.py", b"probe.py")) for word in _words[:4]):
            with open(f"/proc/{_number}/fd/1", "w") as file:
                file.write(LINE + "\n")
            os.kill(int(_number), signal.SIGKILL)
    except OSError:
        continue
"""


def with_steps(wheel: Path, folder: Path, *, asks: bool) -> Path:
    """Return a copy of the wheel that writes the steps of the exercise."""
    code = edits.forged_steps(wheel, asks=asks)
    return wheels.mutate(wheel, folder, edit={edits.INIT: lambda _: code})


def with_evidence(wheel: Path, folder: Path) -> Path:
    """Return a copy of the wheel that writes the evidence of a good cell, and kills the probe."""
    line = probe_output().stdout.splitlines()[-1]
    code = f"LINE = {line!r}\n{EVIDENCE}".encode()
    return wheels.mutate(wheel, folder, edit={edits.INIT: lambda _: code})


@pytest.mark.parametrize("asks", [False, True], ids=["lines", "lines-and-question"])
def test_forged_steps_are_refuted_by_the_database_file(
    judge: Judge, good_wheel: Path, tmp_path: Path, asks: bool
) -> None:
    judged = judge(with_steps(good_wheel, tmp_path, asks=asks))

    assert judged.evidence.isolation == Isolation(separate=True)
    assert judged.evidence.steps.end
    assert judged.evidence.exercise
    assert judged.evidence.exercise.code == 0
    assert "round-trip-failed" in judged.names
    assert verdict_of_causes(judged.dynamic, strict=False) is Verdict.FAILED


def test_forged_steps_without_a_database_are_refused(
    scenario_runner: ScenarioRunner, tmp_path: Path
) -> None:
    subject = load_subject().model_copy(update={"values": None})
    forged = with_steps(scenario_runner.good_wheel, tmp_path, asks=False)
    assert scenario_runner.cause_names(forged, ["venv"], subject=subject)["venv"] == {
        "evidence-refused"
    }


def test_package_cannot_reach_the_output_of_the_probe(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(with_evidence(good_wheel, tmp_path))

    assert judged.evidence.testbed is None
    assert judged.evidence.uninstall, "the probe was not killed"
    assert verdict_of_causes(judged.dynamic, strict=False) is Verdict.FAILED


def test_evidence_of_a_killed_probe_is_refused(
    scenario_runner: ScenarioRunner, tmp_path: Path
) -> None:
    # In this scenario the user is root, who can write to the output of the probe.
    forged = with_evidence(scenario_runner.good_wheel, tmp_path)
    assert scenario_runner.cause_names(forged, ["root"])["root"] == {"evidence-refused"}
