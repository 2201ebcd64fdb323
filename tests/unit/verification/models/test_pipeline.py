from __future__ import annotations

import json

import pytest

from tests.helpers.sample_pipeline import changed, failed, job, result
from verification.models.pipeline import (
    PipelineFailure,
    PipelineResult,
)
from verification.models.testbed import TestbedFailureRecord
from verification.pipeline.workflow_causes import cause


def test_error_messages_are_unescaped() -> None:
    run = failed(job("a"), "  ❗  ::error title=x::50%25%0Amore")
    step = changed(run.steps[0], log=(*run.steps[0].log, "::x::"))
    assert changed(run, steps=(step,)).errors == ("50%\nmore",)


def test_a_failed_job_has_its_failing_step() -> None:
    assert job("a").failed_step is None
    step = failed(job("a")).failed_step
    assert step is not None
    assert step.name == "Work"


def test_the_title_of_a_job_is_its_name_or_its_id() -> None:
    assert job("build").title == "Build"
    assert changed(job("build"), name="").title == "build"


@pytest.mark.parametrize(
    "outcome",
    [
        result(dynamic=(cause("hang", "job A", "too long", job="a"),)),
        PipelineFailure(
            static=(cause("step-missing", "publish.yml", "no job"),),
            testbed=TestbedFailureRecord(cause="machine-lost", where="act", observed="no job"),
        ),
    ],
)
def test_an_outcome_is_unchanged_by_json(outcome: PipelineResult | PipelineFailure) -> None:
    assert type(outcome).model_validate_json(outcome.model_dump_json()) == outcome


def test_the_json_of_a_result_keeps_its_keys() -> None:
    fields = json.loads(result().model_dump_json())

    assert set(fields) == {"static", "evidence", "live", "workflow", "dynamic", "linters"}
    assert set(fields["live"]) == {"verdict", "reason", "version", "publishers", "causes"}
    evidence = fields["evidence"]
    assert set(evidence) == {
        "run",
        "dispatched",
        "repository",
        "workflow",
        "releases",
        "tokens",
        "index",
        "servers",
        "egress",
    }
    assert set(evidence["index"]) == {"files", "uploads", "exchanges"}
    assert set(evidence["run"]) == {
        "event", "run_id", "attempt", "triggered", "decision", "result", "jobs", "artifacts",
        "wheels", "sdists", "actions", "unsupported", "replaced", "workflow", "stand_ins",
        "seconds", "act", "log", "failures", "limits",
    }  # fmt: skip
    assert set(evidence["run"]["event"]) == {
        "name", "type", "tag", "ref", "inputs", "by_workflow", "annotated", "sha", "object",
        "source", "differs",
    }  # fmt: skip
    assert set(evidence["run"]["jobs"][0]) == {
        "id", "name", "matrix", "label", "needs", "result", "reason", "started", "ended",
        "container", "container_state", "address", "permissions", "failures", "steps", "log",
    }  # fmt: skip
    assert set(evidence["run"]["jobs"][0]["steps"][0]) == {
        "name", "uses", "line", "result", "started", "ended", "exit_code", "log",
    }  # fmt: skip
    assert set(evidence["releases"][0]) == {
        "id", "tag", "target", "name", "body", "draft", "prerelease", "latest", "created_at",
        "published_at", "assets",
    }  # fmt: skip
    assert evidence["index"]["uploads"][0]["upload"]["identity"]["publisher"] == "publish.yml"
