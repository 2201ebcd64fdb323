"""The run of the release workflow, from the pushed tag to the release page and the index."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.pipeline import PipelineResult
from verification.models.verdict import Verdict
from verification.pipeline import plan as plans
from verification.pipeline.execution import ran_side_by_side
from verification.pipeline.plan import Plan
from verification.pipeline.report_parts import pipeline_part
from verification.session.session import Handover
from verification.subjects import subject as subjects

pytestmark = pytest.mark.item("pipeline")


@pytest.fixture
def plan() -> Plan:
    """Return the plan: the required properties of the release workflow."""
    path = subjects.load().pipeline
    assert path is not None
    return plans.load(path)


def test_claims_about_the_workflow_are_verified(
    handover: Handover, pipeline: PipelineResult, plan: Plan
) -> None:
    claims = pipeline_part(pipeline, plan, strict=handover.run_plan.strict).truths.values()
    assert claims
    not_verified = [claim for claim in claims if claim.verdict is not Verdict.VERIFIED]
    lines = [f"{claim.title}: {claim.evidence}" for claim in not_verified]
    assert not not_verified, "\n".join(lines)


def test_workflow_has_no_failing_cause(handover: Handover, pipeline: PipelineResult) -> None:
    result = verdict.verdict_of_causes(pipeline.causes, strict=handover.run_plan.strict)
    assert result is Verdict.VERIFIED, "\n".join(map(str, pipeline.causes))


def test_jobs_of_the_workflow_passed(pipeline: PipelineResult, plan: Plan) -> None:
    results = {(job.id, job.result) for job in pipeline.evidence.run.jobs}
    assert results == {(name, "success") for name in plan.jobs}


def test_jobs_release_and_publish_ran_in_parallel(pipeline: PipelineResult) -> None:
    assert ran_side_by_side(pipeline.evidence.run, "release", "publish")


def test_release_page_and_index_have_the_built_wheels(pipeline: PipelineResult) -> None:
    built = {wheel.name: wheel.sha256 for wheel in pipeline.evidence.run.wheels}
    (release,) = pipeline.evidence.releases
    assert len(built) == 2
    assert {asset.name: asset.sha256 for asset in release.assets} == built
    assert pipeline.evidence.index.files == built


def test_machines_install_the_published_wheels(
    handover: Handover, pipeline: PipelineResult
) -> None:
    assert handover.prepared.release.digests() == pipeline.evidence.index.files
