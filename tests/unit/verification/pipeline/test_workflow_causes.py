from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.cause import Severity
from verification.models.workflow_file import parse
from verification.pipeline.workflow_causes import cause, possible_cause, step_location
from verification.rules.catalogue import CatalogueError, catalogue

WORKFLOW = parse(
    "on: push\njobs:\n  one:\n    runs-on: x\n    steps:\n      - run: a\n      - run: b\n",
    Path(".github/workflows/publish.yml"),
)
POSSIBLE = [name for name, entry in catalogue().items() if entry.risk]
CERTAIN = [name for name, entry in catalogue().items() if not entry.risk]


def test_cause_has_its_location_its_facts_and_the_severity_of_the_catalogue() -> None:
    hang = cause("hang", "job build", "too long", job="build")
    assert (hang.name, hang.where) == ("hang", "job build")
    assert hang.severity is catalogue()["hang"].severity
    assert hang.facts == {"job": "build"}
    assert "too long" in hang.message


def test_possible_cause_has_the_lower_severity() -> None:
    (name, *_) = [name for name in POSSIBLE if "{" not in catalogue()[name].remedy]
    entry = catalogue()[name]
    assert possible_cause(name, "publish.yml", "x").severity is entry.risk
    assert entry.risk is not entry.severity
    assert entry.risk in {Severity.FLAWED, Severity.NOTE}


def test_cause_without_a_lower_severity_cannot_be_possible() -> None:
    with pytest.raises(CatalogueError):
        possible_cause(CERTAIN[0], "publish.yml", "x")


def test_unknown_cause_is_refused() -> None:
    with pytest.raises(CatalogueError):
        cause("no-such-cause", "publish.yml", "x")


def test_location_is_the_line_of_the_job_or_step() -> None:
    job = WORKFLOW.jobs["one"]
    assert step_location(WORKFLOW, job) == "publish.yml:3 (one)"
    assert [step_location(WORKFLOW, job, step) for step in job.steps] == [
        "publish.yml:6 (one)",
        "publish.yml:7 (one)",
    ]
