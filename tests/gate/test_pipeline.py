"""The run of the release workflow, from the event to the release page and the index."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.pipeline import PipelineResult
from verification.models.verdict import Verdict
from verification.models.workflow import Task
from verification.pipeline import plan as plans
from verification.pipeline.plan import Plan
from verification.pipeline.report_parts import pipeline_part, workflow_causes
from verification.pipeline.tasks import tasks_by_job
from verification.session.session import Handover
from verification.subjects import subject as subjects

pytestmark = pytest.mark.item("pipeline")


@pytest.fixture
def plan() -> Plan:
    """Return the plan of the release workflow: the claims about it."""
    path = subjects.load().pipeline
    assert path is not None
    return plans.load(path)


def _results(pipeline: PipelineResult, task: Task) -> list[tuple[str, str]]:
    """Return the id and the result of each run of a job with a task."""
    tasks = tasks_by_job(pipeline.workflow)
    runs = pipeline.evidence.run.jobs
    return [(run.id, run.result) for run in runs if task in tasks.get(run.id, ())]


def test_claims_about_the_workflow_are_verified(
    handover: Handover, pipeline: PipelineResult, plan: Plan
) -> None:
    claims = pipeline_part(pipeline, plan, strict=handover.run_plan.strict).truths.values()
    assert claims
    not_verified = [claim for claim in claims if claim.verdict is not Verdict.VERIFIED]
    lines = [f"{claim.title}: {claim.evidence}" for claim in not_verified]
    assert not not_verified, "\n".join(lines)


def test_workflow_has_no_failing_cause(handover: Handover, pipeline: PipelineResult) -> None:
    causes = workflow_causes(pipeline.causes)
    result = verdict.verdict_of_causes(causes, strict=handover.run_plan.strict)
    assert result is Verdict.VERIFIED, "\n".join(map(str, causes))


@pytest.mark.parametrize("task", ["build", "publish"])
def test_jobs_of_the_release_passed(pipeline: PipelineResult, task: Task) -> None:
    results = _results(pipeline, task)
    assert "success" in {result for _, result in results}, results
    assert {result for _, result in results} <= {"success", "skipped", "not run"}, results


def test_index_and_release_page_have_the_built_wheels(pipeline: PipelineResult) -> None:
    evidence = pipeline.evidence
    built = {wheel.name: wheel.sha256 for wheel in evidence.run.wheels}
    assert evidence.index.files
    assert built.items() <= evidence.index.files.items()
    for release in evidence.releases:
        for asset in release.assets:
            assert evidence.index.files.get(asset.name, asset.sha256) == asset.sha256


def test_machines_install_the_published_wheels(
    handover: Handover, pipeline: PipelineResult
) -> None:
    published = pipeline.evidence.index.files
    assert handover.prepared.release.digests().items() <= published.items()
