from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.benchmarks import fidelity
from tests.benchmarks.fidelity import (
    Alarm,
    Judgement,
    LeftPackage,
    load_judgements,
    load_samples,
)
from tests.helpers import sample_run
from verification.models.cause import Cause
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import Report
from verification.models.survey import PinnedRelease
from verification.models.verdict import Outcome
from verification.rules.catalogue import catalogue

SAMPLES = load_samples()
SAMPLE = SAMPLES[0]
MISSING = catalogue().cause(
    "missing-runtime-library", "a.pyd", "needs a.dll", risk=False, library="a.dll"
)
NOTE = catalogue().cause("metadata-incomplete", "METADATA", "has no summary")


def report_with(*causes: Cause, outcome: Outcome = Outcome.WORKS) -> Report:
    cell = sample_run.cell(sample_run.LINUX).model_copy(
        update={"causes": causes, "outcome": outcome}
    )
    return sample_run.report(cell)


def judgement(**changes: object) -> Judgement:
    fields = {"package": "x", "cause": MISSING.name, "about": ("a.dll",), "verdict": "true"}
    return Judgement.model_validate(fields | {"evidence": "x/x#1"} | changes)


def test_packages_are_those_that_the_seeds_draw() -> None:
    for sample in SAMPLES:
        left = {package.name for package in sample.left}
        order = random.Random(sample.seed).sample(sample.list, len(sample.list))  # noqa: S311
        drawn = [name for name in order if name not in left][: sample.size]
        assert len(set(sample.list)) >= 120
        assert [package.name for package in sample.packages] == drawn


def test_no_package_is_in_two_samples() -> None:
    names = [package.name for sample in SAMPLES for package in sample.packages]
    assert len(set(names)) == len(names) == 60


def test_next_drawn_package_takes_the_place_of_one_that_left() -> None:
    order = random.Random(SAMPLE.seed).sample(SAMPLE.list, len(SAMPLE.list))  # noqa: S311
    left = SAMPLE.model_copy(update={"left": (LeftPackage(name=order[0], reason="no wheel"),)})
    with pytest.raises(WrongUse, match=order[SAMPLE.size]):
        _ = left.packages
    added = PinnedRelease(name=order[SAMPLE.size], version="1.0")
    complete = left.model_copy(update={"release": (*SAMPLE.release, added)})
    assert complete.packages[-1] == added
    assert order[0] not in {package.name for package in complete.packages}


def test_broken_and_flawed_causes_are_alarms_and_notes_are_not() -> None:
    (row,) = fidelity.rows("x", report_with(MISSING, NOTE, outcome=Outcome.FAILS))
    assert row.alarms == (Alarm("x", "debian-13", MISSING.name, "a.dll"),)


def test_outcome_without_a_cause_is_an_alarm() -> None:
    (row,) = fidelity.rows("x", report_with(outcome=Outcome.UNVERIFIED))
    assert [alarm.cause for alarm in row.alarms] == [Outcome.UNVERIFIED]


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"about": ("*.dll",)}, True),
        ({"machines": ("debian-*",)}, True),
        ({"about": ("b.dll",)}, False),
        ({"machines": ("windows-*",)}, False),
        ({"package": "y"}, False),
        ({"cause": "crash"}, False),
    ],
)
def test_judgement_fits_its_package_cause_and_subject(
    change: dict[str, object], fits: bool
) -> None:
    alarm = Alarm("x", "debian-13", MISSING.name, "a.dll")
    judged = judgement(**change)
    assert fidelity.judge([alarm], [judged]) == {alarm: judged if fits else None}


def measure(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    judgements: Sequence[Judgement],
    result: Callable[..., Report | str],
) -> tuple[int, str]:
    """Run the benchmark with one package. Return the exit code and the page."""
    sample = SAMPLE.model_copy(update={"release": SAMPLE.release[:1], "left": (), "size": 1})
    monkeypatch.setattr(fidelity, "PAGE", folder / "fidelity.md")
    monkeypatch.setattr(fidelity, "load_samples", lambda: (sample,))
    monkeypatch.setattr(fidelity, "load_judgements", lambda: judgements)
    monkeypatch.setattr(fidelity, "result_of", result)
    code = fidelity.measure(argparse.Namespace(only=[], again=[], jobs=1, kept=False))
    return code, (folder / "fidelity.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        ("true", ExitCode.VERIFIED),
        ("wine", ExitCode.VERIFIED),
        ("false", ExitCode.PACKAGE_FAILED),
        (None, ExitCode.PACKAGE_FAILED),
    ],
)
def test_false_and_unjudged_alarms_fail_and_stay_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verdict: str | None, code: ExitCode
) -> None:
    package = SAMPLE.release[0].name
    known = [judgement(package=package, verdict=verdict)] if verdict else []
    report = report_with(MISSING, outcome=Outcome.FAILS)
    result, page = measure(monkeypatch, tmp_path, known, lambda *_, **__: report)
    assert result == code
    assert f"{MISSING.name} `a.dll`: **{verdict or 'not judged'}**" in page


def test_package_without_a_result_fails_and_stays_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, page = measure(monkeypatch, tmp_path, [], lambda *_, **__: "the index does not answer")
    assert code == ExitCode.TESTBED_FAILED
    assert "the index does not answer" in page


def test_committed_judgements_are_about_packages_of_the_samples() -> None:
    names = {package.name for sample in SAMPLES for package in sample.packages}
    assert {judgement.package for judgement in load_judgements()} <= names
    assert {judgement.cause for judgement in load_judgements()} <= set(catalogue())
