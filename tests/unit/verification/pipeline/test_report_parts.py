from __future__ import annotations

import pytest

from tests.helpers.release_workflow import PLANNED
from tests.helpers.sample_pipeline import (
    BUILT,
    LINUX,
    PUBLISH,
    SPANS,
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
from tests.helpers.sample_provenance import PUBLISHER, STAND_IN
from verification.models.cause import Cause, Severity
from verification.models.index_log import ExchangeLog, UploadLog
from verification.models.pipeline import (
    ActionUse,
    LivePublisherCheck,
    PipelineEvidence,
    PipelineFailure,
    PipelineResult,
)
from verification.models.report import NotRehearsed, PublisherScope
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
    workflow_causes,
)
from verification.pipeline.workflow_causes import cause

STATIC = cause("permission-missing", "publish.yml:1", "no", missing="id-token: write")
OTHER_PERMISSION = cause("permission-missing", "publish.yml:1", "no", missing="contents: write")
UNUSED = cause("publisher-unused", "publish.yml:1", "uses a token")
FORBIDDEN = cause("upload-refused", "job Publish", "403 Invalid identity")
DYNAMIC = cause("upload-refused", "job Publish", "no")
LIVE = cause("publisher-mismatch", LINUX, "another")
TESTBED = cause("forge-unreachable", "forge", "gone")
BUILD = cause("build-failed", "job Build", "no")


def result_of(run: PipelineEvidence) -> PipelineResult:
    dynamic = diagnose_pipeline(run, {run.run.workflow: PUBLISH}, PLANNED, version="1.2.0")
    return result(evidence=run, dynamic=dynamic)


def verdicts(run: PipelineEvidence) -> dict[str, Verdict]:
    """Return the verdict of each claim of a run, by the number of the claim."""
    part = pipeline_part(result_of(run), PLANNED, strict=False)
    return {number: claim.verdict for number, claim in part.truths.items()}


def failed_build() -> PipelineEvidence:
    """Return the evidence of a run whose first job failed. No later job ran."""
    run = with_failed(evidence(), "build")
    for name in ("merge", "validate", "release", "publish"):
        run = with_job(run, name, result="not run", started=None, ended=None)
    run = changed(with_run(run, wheels=()), releases=())
    return with_index(run, files={}, uploads=(), exchanges=())


def test_all_claims_of_a_good_release_are_verified() -> None:
    assert verdicts(evidence()) == dict.fromkeys("123456", Verdict.VERIFIED)


def test_claims_after_the_end_of_a_run_are_unverified() -> None:
    claims = verdicts(failed_build())

    assert claims["1"] == "verified"
    assert claims["2"] == "failed"
    assert {claims[number] for number in "3456"} == {"unverified"}


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
def test_cause_refutes_its_claims(name: str, numbers: str) -> None:
    refuting = cause(name, "somewhere", "no")
    part = pipeline_part(result(static=(refuting,)), PLANNED, strict=False)

    refuted = {number for number, claim in part.truths.items() if claim.verdict == "failed"}
    assert refuted == set(numbers)
    assert all(str(refuting) in part.truths[number].evidence for number in numbers)


@pytest.mark.parametrize(
    ("shown_by", "change", "values"),
    [
        ("trigger", with_run(evidence(), triggered=False), ["v1.2.0", "v*.*.*"]),
        ("jobs", with_run(evidence(), jobs=()), ["build", "merge", "validate", "release"]),
        ("settings", with_run(evidence(), wheels=(), artifacts=()), [LINUX, WINDOWS]),
        ("build", with_job(evidence(), "build", result="skipped"), [LINUX, WINDOWS]),
        ("version", with_failed(evidence(), "validate"), ["v1.2.0"]),
        ("validation", with_failed(evidence(), "validate"), [LINUX, WINDOWS]),
        ("release", changed(evidence(), releases=()), [LINUX, WINDOWS]),
        ("upload", with_index(evidence(), files={}), [LINUX, WINDOWS]),
    ],
)
def test_claim_without_evidence_is_unverified(
    shown_by: str, change: PipelineEvidence, values: list[str]
) -> None:
    claim = PlannedClaim.model_validate(
        {"title": "It is", "refuted_by": ["hang"], "shown_by": shown_by}
    )
    plan = PLANNED.model_copy(update={"claims": (claim,), "links": ()})
    good = pipeline_part(result(), plan, strict=False).truths["1"]
    bad = pipeline_part(result(evidence=change), plan, strict=False).truths["1"]

    assert (good.title, good.verdict) == ("It is", "verified")
    assert [value for value in values if value not in good.evidence] == []
    assert bad.verdict == "unverified"
    assert bad.evidence
    assert [value for value in values if value in bad.evidence] == []


def test_flawed_cause_refutes_a_claim_only_with_strict() -> None:
    flawed = cause("validation-wrong", "somewhere", "no").model_copy(
        update={"severity": Severity.FLAWED}
    )
    for strict, verdict in ((False, "verified"), (True, "failed")):
        part = pipeline_part(result(static=(flawed,)), PLANNED, strict=strict)
        assert part.truths["3"].verdict == verdict


def test_pipeline_part_describes_the_run() -> None:
    part = pipeline_part(result(), PLANNED, strict=False)

    assert (part.tag, part.commit, part.source) == ("v1.2.0", "c" * 40, "commit")
    assert (part.annotated, part.result, part.seconds) == (True, "success", 18.0)
    assert [record.id for record in part.jobs] == list(SPANS)
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


def test_files_and_links_after_the_end_of_a_run_are_not_verified() -> None:
    part = pipeline_part(result_of(failed_build()), PLANNED, strict=False)

    assert [claim.verdict for claim in part.artifacts] == ["verified", "failed"]
    assert {claim.verdict for claim in part.links} == {"unverified"}
    assert all(claim.evidence for claim in part.links)


def test_record_of_a_failed_job_has_the_end_of_the_log() -> None:
    log = tuple(map(str, range(100)))
    run = failed(job("build"))
    run = changed(run, steps=(changed(run.steps[0], log=log),))
    (record,) = pipeline_part(
        result(evidence=with_run(evidence(), jobs=(run,))), PLANNED, strict=False
    ).jobs

    assert (record.failing_step, record.log) == ("Work", log[-40:])
    assert (record.start, record.end) == (0.0, 1.0)


def test_evidence_of_the_workflow_is_event_jobs_digests_and_uploads() -> None:
    proved = pipeline_part(result(), PLANNED, strict=False).proved

    event, *_ = proved
    assert all(word in event for word in ("v1.2.0", "c" * 12, "v1.2.0 matches v*.*.*"))
    for name, (start, end) in SPANS.items():
        (line,) = [line for line in proved if line.startswith(f"job {name.capitalize()} ")]
        assert "success" in line
        assert f"{end - start:.1f} s" in line
    for name, digest in BUILT.items():
        lines = [line for line in proved if name in line]
        assert len(lines) == 5, "built, in the artifact, on the release page, uploaded, signed"
        with_digest = [line for line in lines if f"{name} (sha256 {digest[:16]})" in line]
        assert len(with_digest) == 4


def test_job_that_did_not_run_has_its_reason_in_the_evidence() -> None:
    skipped = with_job(
        evidence(), "publish", result="skipped", started=None, ended=None, reason="no wheel"
    )
    proved = pipeline_part(result(evidence=skipped), PLANNED, strict=False).proved
    (line,) = [line for line in proved if line.startswith("job Publish ")]
    assert line.endswith("skipped: no wheel")


def real_action(**values: str) -> ActionUse:
    """Return a use of a real action whose commit is the pinned one."""
    fields = {"version": "", "identity": "commit abc", "pinned": "abc", **values}
    return ActionUse.model_validate(
        {"uses": "c/d@v1", "where": "x", "kind": "real", "folder": "f", **fields}
    )


@pytest.mark.parametrize(
    ("action", "is_limit"),
    [
        (real_action(), False),
        (real_action(pinned=""), False),
        (real_action(pinned="def", version="v2"), True),
        (real_action(identity="sha256 123"), True),
    ],
    ids=["the pinned commit", "unknown pin", "another commit", "not a checkout"],
)
def test_real_action_is_reported_as_what_it_is(action: ActionUse, *, is_limit: bool) -> None:
    run = with_run(evidence(), actions=(action, action))
    part = pipeline_part(result(evidence=run), PLANNED, strict=False)
    (line,) = [line for line in part.proved if "c/d@v1" in line]
    assert action.identity in line
    assert action.version in line
    limits = [line for line in part.not_provable if "c/d@v1" in line]
    assert len(limits) == is_limit
    assert all(action.identity in line and action.pinned in line for line in limits)


def test_limits_of_the_workflow_are_act_stand_in_actions_and_environment() -> None:
    uses = ActionUse(uses="a/b@v1", where="x", kind="stand-in", version="1.2", folder="f")
    run = with_run(
        evidence(), actions=(uses, uses, real_action()), stand_ins=("Debian, not Ubuntu",)
    )
    limits = pipeline_part(result(evidence=run), PLANNED, strict=False).not_provable

    assert "act 1" in limits[0]
    assert len([line for line in limits if "a/b@v1" in line]) == 1
    assert not any("c/d@v1" in line for line in limits)
    assert "Debian, not Ubuntu" in limits


@pytest.mark.parametrize("confirmed", [True, False])
def test_version_that_is_not_confirmed_is_a_limit(confirmed: bool) -> None:
    use = ActionUse(
        uses="a/b@v1.9",
        where="x",
        kind="stand-in",
        version="v1.2.0",
        named="v1.9",
        confirmed=confirmed,
        folder="f",
    )
    run = with_run(evidence(), actions=(use,))
    limits = pipeline_part(result(evidence=run), PLANNED, strict=False).not_provable
    (line,) = [line for line in limits if "a/b@v1.9" in line]
    assert "v1.2.0" in line
    assert ("v1.9 is not confirmed" in line) is not confirmed


# ---- the publisher ----


def test_accepted_identity_and_uploads_prove_the_publisher() -> None:
    part = publisher_part(result(), PUBLISHER, registered="publishers.toml")

    identity, *uploads = part.proved
    assert "publish.yml" in identity
    assert "quiverdb" in identity
    for upload, name in zip(uploads, BUILT, strict=True):
        assert name in upload
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
def test_identity_is_exchanged_if_the_index_accepts_it(
    log: ExchangeLog | None, exchanged: bool
) -> None:
    exchanges = (request(oidc=log),) if log else ()

    assert is_identity_exchanged(with_index(evidence(), exchanges=exchanges)) is exchanged


@pytest.mark.parametrize(
    ("live", "scope"),
    [
        (Verdict.VERIFIED, PublisherScope.LIVE_INDEX),
        (Verdict.UNVERIFIED, PublisherScope.REGISTRATION_FILE),
        (Verdict.FAILED, PublisherScope.REGISTRATION_FILE),
    ],
)
def test_scope_is_the_registration_file_unless_the_live_index_agrees(
    live: Verdict, scope: str
) -> None:
    checked = result(live=LivePublisherCheck(verdict=live))
    assert publisher_part(checked, PUBLISHER, registered="p.toml").scope == scope


def test_fields_are_those_of_the_registration() -> None:
    fields = publisher_part(result(), PUBLISHER, registered="p.toml").fields
    assert list(fields) == ["project", "owner", "repository", "workflow", "environment"]
    assert list(fields.values()) == ["quiverdb", "octo-org", "quiver2", "publish.yml", "pypi"]
    unknown = publisher_part(result(), STAND_IN, registered="p.toml").fields
    assert STAND_IN.owner not in unknown["owner"]


def test_refused_exchange_and_refused_upload_prove_nothing() -> None:
    refused = ExchangeLog(identity={"ref": "x"}, code="invalid-publisher", description="no")
    upload = UploadLog(file=LINUX, identity={"ref": "x"}, refused="no")
    anonymous = UploadLog(file=LINUX)
    run = with_index(
        evidence(),
        exchanges=(request(oidc=refused),),
        uploads=(request(upload=upload), request(upload=anonymous)),
    )
    part = publisher_part(result(evidence=run), PUBLISHER, registered="publishers.toml")

    assert part.proved == ()
    assert part.refused == ("invalid-publisher: no",)


def test_publisher_causes_contain_testbed_failures() -> None:
    causes: tuple[Cause, ...] = (STATIC, DYNAMIC, LIVE, TESTBED, BUILD, OTHER_PERMISSION)

    assert publisher_causes(causes) == (STATIC, LIVE, TESTBED)
    assert publisher_causes((UNUSED, FORBIDDEN)) == (UNUSED, FORBIDDEN)


def test_unused_publisher_decides_only_the_item_of_the_publisher() -> None:
    assert workflow_causes((UNUSED, DYNAMIC)) == (DYNAMIC,)


def test_causes_of_a_result_come_from_files_run_and_live_index() -> None:
    live = LivePublisherCheck(verdict=Verdict.FAILED, causes=(LIVE,))

    assert causes_of(result(static=(STATIC,), dynamic=(DYNAMIC,), live=live)) == (
        STATIC,
        DYNAMIC,
        LIVE,
    )


def test_testbed_failure_keeps_the_causes_of_the_files() -> None:
    fault = TestbedFailureRecord(cause="forge-unreachable", where="forge", observed="gone")

    assert causes_of(PipelineFailure(static=(STATIC,), testbed=fault)) == (STATIC, TESTBED)


def test_signing_is_reported_with_its_limit() -> None:
    part = pipeline_part(result_of(evidence()), PLANNED, strict=False)
    assert part.signing.rehearsed
    assert any("attestations of" in line for line in part.proved)
    assert not any("not rehearsed" in line for line in part.not_provable)

    unsigned = with_index(evidence(), uploads=())
    part = pipeline_part(result_of(unsigned), PLANNED, strict=False)
    assert part.signing.reason is NotRehearsed.NO_UPLOAD
    assert not any("attestations of" in line for line in part.proved)
    assert any("not rehearsed" in line for line in part.not_provable)
