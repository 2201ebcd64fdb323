"""The run of the release workflow, from the event to the release page and the index."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.pipeline import PipelineResult
from verification.models.verdict import Verdict
from verification.pipeline.plan import Plan
from verification.pipeline.report_parts import pipeline_part, workflow_causes
from verification.session.session import Handover

pytestmark = pytest.mark.item("pipeline")


@pytest.fixture
def plan(handover: Handover) -> Plan:
    """Return the plan of the release workflow."""
    assert handover.plan is not None
    return handover.plan


def test_claims_about_the_workflow_are_verified(
    handover: Handover, pipeline: PipelineResult, plan: Plan
) -> None:
    claims = pipeline_part(pipeline, plan, strict=handover.run_plan.strict).truths.values()
    not_verified = [claim for claim in claims if claim.verdict is not Verdict.VERIFIED]
    lines = [f"{claim.title}: {claim.evidence}" for claim in not_verified]
    assert not not_verified, "\n".join(lines)


def test_workflow_has_no_failing_cause(handover: Handover, pipeline: PipelineResult) -> None:
    causes = workflow_causes(pipeline.causes)
    result = verdict.verdict_of_causes(causes, strict=handover.run_plan.strict)
    assert result is Verdict.VERIFIED, "\n".join(map(str, causes))


def test_jobs_of_the_workflow_passed(pipeline: PipelineResult) -> None:
    jobs = [job for run in pipeline.evidence.runs for job in run.jobs]
    assert jobs
    assert {job.result for job in jobs} <= {"success", "skipped"}


def test_index_has_the_built_wheels(pipeline: PipelineResult) -> None:
    built = {wheel.name: wheel.sha256 for run in pipeline.evidence.runs for wheel in run.wheels}
    assert built
    assert built.items() <= pipeline.evidence.index.files.items()


def test_release_page_has_only_published_files(pipeline: PipelineResult) -> None:
    published = pipeline.evidence.index.files
    for release in pipeline.evidence.releases:
        wheels = {a.name: a.sha256 for a in release.assets if a.name.endswith(".whl")}
        assert wheels.items() <= published.items()


def test_machines_install_the_published_wheels(
    handover: Handover, pipeline: PipelineResult
) -> None:
    wheels = {
        name: digest
        for name, digest in pipeline.evidence.index.files.items()
        if name.endswith(".whl")
    }
    assert handover.prepared.release.digests() == wheels
