"""The release workflow, executed: from a pushed tag to the release page and the index."""

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
    """Return what the release pipeline must be."""
    path = subjects.load().pipeline
    assert path is not None
    return plans.load(path)


def test_every_claim_about_the_workflow_is_verified(
    handover: Handover, pipeline: PipelineResult, plan: Plan
) -> None:
    claims = pipeline_part(pipeline, plan, strict=handover.facts.strict).truths.values()
    assert claims
    wrong = [claim for claim in claims if claim.verdict is not Verdict.VERIFIED]
    assert not wrong, "\n".join(f"{claim.title}: {claim.evidence}" for claim in wrong)


def test_no_cause_of_the_workflow_fails(handover: Handover, pipeline: PipelineResult) -> None:
    found = verdict.of_causes(pipeline.causes, strict=handover.facts.strict)
    assert found is Verdict.VERIFIED, "\n".join(map(str, pipeline.causes))


def test_every_job_of_the_file_ran_and_passed(pipeline: PipelineResult, plan: Plan) -> None:
    results = {(job.id, job.result) for job in pipeline.evidence.run.jobs}
    assert results == {(name, "success") for name in plan.jobs}


def test_the_last_two_jobs_ran_side_by_side(pipeline: PipelineResult) -> None:
    assert ran_side_by_side(pipeline.evidence.run, "release", "publish")


def test_what_was_built_is_what_was_released_and_what_the_index_has(
    pipeline: PipelineResult,
) -> None:
    built = {wheel.name: wheel.sha256 for wheel in pipeline.evidence.run.wheels}
    (release,) = pipeline.evidence.releases
    assert len(built) == 2
    assert {asset.name: asset.sha256 for asset in release.assets} == built
    assert pipeline.evidence.index.files == built


def test_the_machines_get_what_the_workflow_published(
    handover: Handover, pipeline: PipelineResult
) -> None:
    assert handover.prepared.release.digests() == pipeline.evidence.index.files
