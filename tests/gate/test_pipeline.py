"""The release workflow, executed: from a pushed tag to the release page and the index.

Every test here reads the evidence of one run; none gathers any.
"""

from __future__ import annotations

import pytest

from tests.gate.expect import no_cause, no_other_cause
from verification.models.pipeline import PipelineResult
from verification.pipeline import plan as plans
from verification.pipeline.execution import ran_side_by_side
from verification.pipeline.result import pipeline_part
from verification.session.suite import Suite
from verification.subjects.subject import load as load_subject

PLAN = load_subject().pipeline
assert PLAN is not None
PLANNED = plans.load(PLAN)


@pytest.mark.parametrize("number", range(1, len(PLANNED.claims) + 1))
def test_an_observable_truth(suite: Suite, pipeline: PipelineResult, number: int) -> None:
    strict = suite.selection.strict
    no_cause(pipeline.causes, *PLANNED.claims[number - 1].refuted_by, strict=strict)
    claim = pipeline_part(pipeline, PLANNED, strict=strict).truths[str(number)]
    assert claim.verdict == "verified", f"{claim.title}: {claim.evidence}"


def test_every_job_of_the_file_ran_and_passed(suite: Suite, pipeline: PipelineResult) -> None:
    no_cause(pipeline.causes, "job-missing", "job-skipped", strict=suite.selection.strict)
    results = {(job.id, job.result) for job in pipeline.evidence.run.jobs}
    assert results == {(name, "success") for name in PLANNED.jobs}


def test_the_jobs_ran_in_order_and_the_last_two_side_by_side(
    suite: Suite, pipeline: PipelineResult
) -> None:
    no_cause(pipeline.causes, "job-order", strict=suite.selection.strict)
    assert ran_side_by_side(pipeline.evidence.run, "release", "publish")


def test_what_was_built_is_what_was_released_and_what_the_index_has(
    pipeline: PipelineResult,
) -> None:
    built = {wheel.name: wheel.sha256 for wheel in pipeline.evidence.run.wheels}
    (release,) = pipeline.evidence.releases
    assert len(built) == 2
    assert {asset.name: asset.sha256 for asset in release.assets} == built
    assert pipeline.evidence.index.files == built


def test_the_machines_get_what_the_pipeline_published(
    suite: Suite, pipeline: PipelineResult
) -> None:
    assert suite.prepared is not None
    assert suite.prepared.wheelhouse.digests() == pipeline.evidence.index.files


def test_nothing_else_is_wrong_with_the_pipeline(suite: Suite, pipeline: PipelineResult) -> None:
    known = {name for claim in PLANNED.claims for name in claim.refuted_by}
    known |= {"job-missing", "job-skipped", "job-order"}
    no_other_cause(pipeline.causes, known, strict=suite.selection.strict)
