"""Tests of the results that a job knows after the failure of a job before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from verification.models.workflow import Event
from verification.models.workflow_file import parse
from verification.pipeline.evaluated_jobs import evaluate_jobs
from verification.pipeline.expressions import Context, evaluate
from verification.pipeline.job_failures import checks_results, context_after

WORKFLOW = """
on: push
jobs:
  build: {runs-on: x, steps: [{run: a}]}
  test: {needs: build, runs-on: x, steps: [{run: a}]}
  cleanup: {needs: build, if: always(), runs-on: x, steps: [{run: a}]}
  gate:
    needs: [build, test]
    if: always()
    runs-on: x
    steps: [GATE]
  publish: {needs: [build, test, cleanup, gate], runs-on: x, steps: [{run: a}]}
"""
ALLS_GREEN = "{uses: re-actors/alls-green@v1, with: {jobs: '${{ toJSON(needs) }}'MORE}}"


def after(failed: str, gate: str = "{run: a}") -> Context:
    """Return the context of the job `publish` after the failure of a job."""
    parsed = parse(WORKFLOW.replace("GATE", gate), Path("release.yml"))
    (publish,) = (run for run in evaluate_jobs(parsed, Event()) if run.job.id == "publish")
    return context_after(publish, failed)


def results(context: Context) -> dict[str, JsonValue]:
    names = ("build", "test", "cleanup", "gate")
    return {name: evaluate(f"needs.{name}.result", context) for name in names}


def test_jobs_between_are_skipped_or_run_by_their_conditions() -> None:
    context = after("build")

    assert results(context) == {
        "build": "failure",
        "test": "skipped",
        "cleanup": "success",
        "gate": "success",
    }
    assert context.status == "failure"
    assert results(after("test"))["build"] == "success"


@pytest.mark.parametrize(
    "gate",
    [
        ALLS_GREEN.replace("MORE", ""),
        ALLS_GREEN.replace("MORE", ", allowed-skips: test"),
        ALLS_GREEN.replace("MORE", ", allowed-failures: '[\"test\"]'"),
        "{run: exit 1, if: \"contains(needs.*.result, 'failure')\"}",
        "{run: exit 1, if: \"needs.build.result != 'success'\"}",
        "{run: 'test \"$RESULT\" = success', env: {RESULT: '${{ needs.build.result }}'}}",
        "{run: '[ \"${{ needs.build.result }}\" = success ]'}",
        "{run: \"jq -e 'all(.result)' <<< '${{ toJSON(needs) }}'\"}",
        "{uses: actions/github-script@v7, with: {script: "
        "\"if ('${{ needs.build.result }}' != 'success') core.setFailed('x')\"}}",
    ],
)
def test_job_that_checks_the_results_fails_with_them(gate: str) -> None:
    assert results(after("build", gate))["gate"] == "failure"
    assert results(after("cleanup", gate))["gate"] == "success"


@pytest.mark.parametrize(
    "gate",
    [
        ALLS_GREEN.replace("MORE", ", allowed-failures: 'build, test'"),
        ALLS_GREEN.replace("MORE", ", allowed-failures: build, allowed-skips: test"),
        ALLS_GREEN[:-1].replace("MORE", "") + ", continue-on-error: true}",
        ALLS_GREEN[:-1].replace("MORE", "") + ", if: failure()}",
        "{run: exit 1, if: \"contains(needs.*.result, 'cancelled')\"}",
        "{run: 'echo \"${{ toJSON(needs) }}\"'}",
        "{run: exit 1, if: github.ref == 'x'}",
    ],
)
def test_job_that_does_not_check_this_failure_passes(gate: str) -> None:
    assert results(after("build", gate))["gate"] == "success"


def test_result_of_a_job_with_an_unknown_condition_is_not_known() -> None:
    text = WORKFLOW.replace("if: always(), runs-on", "if: always() && vars.X, runs-on")
    parsed = parse(text.replace("GATE", "{run: a}"), Path("release.yml"))
    (publish,) = (run for run in evaluate_jobs(parsed, Event()) if run.job.id == "publish")

    context = context_after(publish, "build")

    assert not context.unknown.isdisjoint({"needs.cleanup"})
    assert not checks_results(publish.job.steps, context)
