"""The release workflow, executed: from a pushed tag to the release page and the index.

Every test here reads the evidence of one run; none gathers any.
"""

from __future__ import annotations

import pytest

from tests.gate.expect import no_cause, no_other_cause
from verification.pipeline.execution import TRUTHS, side_by_side
from verification.pipeline.plan import plan
from verification.pipeline.result import Piped
from verification.session.suite import Suite


@pytest.mark.parametrize(("number", "title", "against"), TRUTHS, ids=[t[0] for t in TRUTHS])
def test_an_observable_truth(
    suite: Suite, pipeline: Piped, number: str, title: str, against: frozenset[str]
) -> None:
    no_cause(pipeline.causes, *against, strict=suite.selection.strict)
    told = pipeline.truths(strict=suite.selection.strict)[number]
    assert told["verdict"] == "verified", f"{title}: {told['evidence']}"


def test_every_job_of_the_file_ran_and_passed(suite: Suite, pipeline: Piped) -> None:
    no_cause(pipeline.causes, "job-missing", "job-skipped", strict=suite.selection.strict)
    results = {(job["id"], job["result"]) for job in pipeline.evidence["run"]["jobs"]}
    assert results == {(name, "success") for name in plan().jobs}


def test_the_jobs_ran_in_order_and_the_last_two_side_by_side(suite: Suite, pipeline: Piped) -> None:
    no_cause(pipeline.causes, "job-order", strict=suite.selection.strict)
    assert side_by_side(pipeline.evidence["run"], "release", "publish")


def test_what_was_built_is_what_was_released_and_what_the_index_has(pipeline: Piped) -> None:
    built = {wheel["name"]: wheel["sha256"] for wheel in pipeline.evidence["run"]["wheels"]}
    (release,) = pipeline.evidence["releases"]
    assert len(built) == 2
    assert {asset["name"]: asset["sha256"] for asset in release["assets"]} == built
    assert pipeline.evidence["index"]["files"] == built


def test_the_machines_get_what_the_pipeline_published(suite: Suite, pipeline: Piped) -> None:
    assert suite.prepared is not None
    assert suite.prepared.wheelhouse.digests() == pipeline.evidence["index"]["files"]


def test_nothing_else_is_wrong_with_the_pipeline(suite: Suite, pipeline: Piped) -> None:
    known = {name for _, _, against in TRUTHS for name in against}
    known |= {"job-missing", "job-skipped", "job-order"}
    no_other_cause(pipeline.causes, known, strict=suite.selection.strict)
