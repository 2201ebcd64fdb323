from __future__ import annotations

import pytest

from tests.helpers.release_workflow import PLANNED
from tests.helpers.sample_pipeline import (
    BUILT,
    LINUX,
    WINDOWS,
    changed,
    evidence,
    failed,
    job,
    request,
    result,
    with_failed,
    with_index,
    with_job,
    with_run,
)
from verification.models.cause import Cause, Severity
from verification.models.index_log import ExchangeLog, UploadLog
from verification.models.pipeline import (
    LivePublisherCheck,
    PipelineEvidence,
    PipelineFailure,
    PipelineResult,
)
from verification.models.testbed import TestbedFailureRecord
from verification.models.verdict import Verdict
from verification.pipeline.execution import diagnose_pipeline
from verification.pipeline.plan import PlannedClaim
from verification.pipeline.report_parts import (
    causes_of,
    is_identity_exchanged,
    pipeline_part,
    publisher_causes,
    publisher_part,
)
from verification.pipeline.workflow_causes import cause

STATIC = cause("permission-missing", "publish.yml:1", "lacks it")
DYNAMIC = cause("upload-refused", "job Publish", "no")
LIVE = cause("publisher-mismatch", LINUX, "another")
TESTBED = cause("forge-unreachable", "forge", "gone")
BUILD = cause("build-failed", "job Build", "no")


def result_of(whole: PipelineEvidence) -> PipelineResult:
    dynamic = diagnose_pipeline(whole, PLANNED, version="1.2.0")
    return result(evidence=whole, dynamic=dynamic)


def truths(whole: PipelineEvidence) -> dict[str, Verdict]:
    part = pipeline_part(result_of(whole), PLANNED, strict=False)
    return {number: claim.verdict for number, claim in part.truths.items()}


def not_reached() -> PipelineEvidence:
    """Return the evidence of a run that ended at its first job."""
    whole = with_failed(evidence(), "build")
    for name in ("merge", "validate", "release", "publish"):
        whole = with_job(whole, name, result="not run", started=None, ended=None)
    whole = changed(with_run(whole, wheels=()), releases=())
    return with_index(whole, files={}, uploads=(), exchanges=())


def test_the_six_truths_hold_for_a_good_release() -> None:
    assert truths(evidence()) == dict.fromkeys("123456", Verdict.VERIFIED)


def test_what_the_run_did_not_reach_is_unverified() -> None:
    found = truths(not_reached())

    assert found["1"] == "verified"
    assert found["2"] == "failed"
    assert {found[number] for number in "3456"} == {"unverified"}


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("workflow-not-triggered", "1"),
        ("build-failed", "2"),
        ("version-mismatch", "3"),
        ("validation-wrong", "34"),
        ("artifact-lost", "4"),
        ("release-missing", "5"),
        ("upload-refused", "6"),
    ],
)
def test_a_cause_refutes_the_truths_that_it_is_about(name: str, numbers: str) -> None:
    against = cause(name, "somewhere", "no")
    part = pipeline_part(result(static=(against,)), PLANNED, strict=False)

    refuted = {number for number, claim in part.truths.items() if claim.verdict == "failed"}
    assert refuted == set(numbers)
    assert all(str(against) in part.truths[number].evidence for number in numbers)


@pytest.mark.parametrize(
    ("shown_by", "change", "shown"),
    [
        ("trigger", with_run(evidence(), triggered=False), "v1.2.0 was pushed: v1.2.0 matches v*"),
        ("jobs", with_run(evidence(), jobs=()), "executed: build, merge, validate, release"),
        ("settings", with_run(evidence(), wheels=()), f"by its settings: {LINUX}, {WINDOWS}"),
        ("build", with_job(evidence(), "build", result="skipped"), f"built: {LINUX}, {WINDOWS}"),
        ("build", with_run(evidence(), wheels=evidence().run.wheels[:1]), "built: "),
        ("version", with_failed(evidence(), "validate"), "validate passed v1.2.0"),
        ("validation", with_failed(evidence(), "validate"), f"validate passed with {LINUX}"),
        ("release", changed(evidence(), releases=()), f"the release has {LINUX}, {WINDOWS}"),
        ("upload", with_index(evidence(), files={}), f"by identity: {LINUX}, {WINDOWS}"),
    ],
)
def test_a_claim_is_shown_by_the_run_or_unverified(
    shown_by: str, change: PipelineEvidence, shown: str
) -> None:
    claim = PlannedClaim.model_validate(
        {"title": "It is", "refuted_by": ["hang"], "shown_by": shown_by}
    )
    plan = PLANNED.model_copy(update={"claims": (claim,), "links": ()})
    good = pipeline_part(result(), plan, strict=False).truths["1"]
    bad = pipeline_part(result(evidence=change), plan, strict=False).truths["1"]

    assert (good.title, good.verdict) == ("It is", "verified")
    assert good.evidence.startswith(shown)
    assert (bad.verdict, bad.evidence) == ("unverified", "the run did not get there")


def test_a_flawed_cause_refutes_only_under_strict() -> None:
    flawed = cause("validation-wrong", "somewhere", "no").model_copy(
        update={"severity": Severity.FLAWED}
    )
    for strict, verdict in ((False, "verified"), (True, "failed")):
        part = pipeline_part(result(static=(flawed,)), PLANNED, strict=strict)
        assert part.truths["3"].verdict == verdict


def test_the_part_of_the_report_shows_the_run() -> None:
    part = pipeline_part(result(), PLANNED, strict=False)

    assert (part.tag, part.commit, part.source) == ("v1.2.0", "c" * 40, "commit")
    assert (part.annotated, part.result, part.seconds) == (True, "success", 18.0)
    assert [one.id for one in part.jobs] == list(PLANNED.jobs)
    assert part.side_by_side
    assert part.index == BUILT
    assert [asset.name for asset in part.releases[0].assets] == list(BUILT)
    assert [(claim.artifact, claim.verdict) for claim in part.artifacts] == [
        (".github/workflows/publish.yml", "verified"),
        ("bindings/python/pyproject.toml", "verified"),
    ]
    assert [(claim.target, claim.verdict) for claim in part.links] == [
        ("bindings/python/pyproject.toml", "verified"),
        ("PyPI", "verified"),
        ("GitHub Releases", "verified"),
    ]


def test_the_files_and_links_of_a_run_that_ended_early_are_not_verified() -> None:
    part = pipeline_part(result_of(not_reached()), PLANNED, strict=False)

    assert [claim.verdict for claim in part.artifacts] == ["verified", "failed"]
    assert {claim.verdict for claim in part.links} == {"unverified"}
    assert {claim.evidence for claim in part.links} == {"the run did not get there"}


def test_a_failed_job_is_shown_with_the_end_of_its_step_s_log() -> None:
    log = tuple(map(str, range(100)))
    run = failed(job("build"))
    run = changed(run, steps=(changed(run.steps[0], log=log),))
    (shown,) = pipeline_part(
        result(evidence=with_run(evidence(), jobs=(run,))), PLANNED, strict=False
    ).jobs

    assert (shown.failing_step, shown.log) == ("Work", log[-40:])
    assert (shown.start, shown.end) == (0.0, 1.0)


# ---- the publisher ----


def test_the_publisher_is_proved_by_what_the_index_took() -> None:
    part = publisher_part(result(), registered="publishers.toml")

    assert part.proved[0] == "the index took the identity publish.yml for quiverdb"
    assert part.proved[1:] == tuple(
        f"{name} was uploaded by that identity and by nothing else" for name in BUILT
    )
    assert part.refused == ()
    assert part.registered == "publishers.toml"
    assert part.live == LivePublisherCheck(verdict=Verdict.VERIFIED)
    assert part.not_provable


@pytest.mark.parametrize(
    ("log", "exchanged"),
    [
        (ExchangeLog(identity={"ref": "x"}, projects=("quiverdb",)), True),
        (ExchangeLog(identity={"ref": "x"}, code="invalid-publisher", description="no"), False),
        (ExchangeLog(code="invalid-payload", description="no"), False),
        (ExchangeLog(), False),
        (None, False),
    ],
)
def test_an_identity_is_exchanged_if_the_index_took_it(
    log: ExchangeLog | None, exchanged: bool
) -> None:
    exchanges = (request(oidc=log),) if log else ()

    assert is_identity_exchanged(with_index(evidence(), exchanges=exchanges)) is exchanged


def test_a_refused_exchange_and_a_refused_upload_prove_nothing() -> None:
    refused = ExchangeLog(identity={"ref": "x"}, code="invalid-publisher", description="no")
    upload = UploadLog(file=LINUX, identity={"ref": "x"}, refused="no")
    anonymous = UploadLog(file=LINUX)
    whole = with_index(
        evidence(),
        exchanges=(request(oidc=refused),),
        uploads=(request(upload=upload), request(upload=anonymous)),
    )
    part = publisher_part(result(evidence=whole), registered="publishers.toml")

    assert part.proved == ()
    assert part.refused == ("invalid-publisher: no",)


def test_the_publisher_is_decided_by_causes_about_it_and_by_the_testbed() -> None:
    every: tuple[Cause, ...] = (STATIC, DYNAMIC, LIVE, TESTBED, BUILD)

    assert publisher_causes(every) == (STATIC, DYNAMIC, LIVE, TESTBED)


def test_the_causes_of_a_result_are_those_of_the_files_the_run_and_the_live_index() -> None:
    live = LivePublisherCheck(verdict=Verdict.FAILED, causes=(LIVE,))

    assert causes_of(result(static=(STATIC,), dynamic=(DYNAMIC,), live=live)) == (
        STATIC,
        DYNAMIC,
        LIVE,
    )


def test_a_testbed_that_failed_is_the_only_cause() -> None:
    fault = TestbedFailureRecord(cause="forge-unreachable", where="forge", observed="gone")

    assert causes_of(PipelineFailure(static=(STATIC,), testbed=fault)) == (TESTBED,)
