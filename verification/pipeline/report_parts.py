"""Make the parts of the report about the release workflow and about the publisher."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import assert_never

from verification.models.cause import Cause, Severity
from verification.models.pipeline import (
    ActionUse,
    JobRun,
    PipelineEvidence,
    PipelineFailure,
    PipelineOutcome,
    PipelineResult,
    PipelineRun,
)
from verification.models.publisher import TrustedPublisher
from verification.models.report import (
    ArtifactClaim,
    Claim,
    JobRecord,
    LinkClaim,
    PipelinePart,
    PublisherPart,
    PublisherScope,
    ReleaseAsset,
    ReleasePage,
)
from verification.models.verdict import Verdict
from verification.models.workflow import Task
from verification.pipeline.execution import ran_side_by_side
from verification.pipeline.plan import Plan, PlannedClaim, RunFact
from verification.pipeline.signing import signed, signing_limit, signing_record
from verification.pipeline.tasks import tasks_by_job
from verification.pipeline.workflow_causes import cause
from verification.verdict import verdict_of_causes

_PUBLISHER_ONLY = "publisher-unused"
"""The cause that does not keep a release from its users, and fails only the publisher's item."""
_NOT_REACHED = "the run ended before this"
_LOG_LINES = 40
_LIVE_REGISTRATION = (
    "that the live index has this registration: only its owner can see it; the provenance of a "
    "published release shows the registration that was used"
)
_PRESENT_REGISTRATION = (
    "that the live index still has this registration: the provenance shows the registration with "
    "which the last release was published"
)
_STAND_IN_OWNER = "the owner of the repository: the registration file has a stand-in for the owner"
UNKNOWN_OWNER = "the owner of the repository on GitHub"
"""The owner in the fields of a registration, if the file has a stand-in for it."""


def publisher_causes(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the causes of the release workflow that decide the item of the publisher."""
    return tuple(filter(_concerns_publisher, causes))


def _concerns_publisher(candidate: Cause) -> bool:
    match candidate.name:
        case "publisher-mismatch" | "publisher-unused":
            return True
        case "permission-missing":
            return "id-token" in str(candidate.facts.get("missing", "id-token"))
        case "upload-refused":
            return "403" in candidate.message
        case _:
            return candidate.severity is Severity.TESTBED


def workflow_causes(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the causes of the release workflow that decide its own item."""
    return tuple(candidate for candidate in causes if candidate.name != _PUBLISHER_ONLY)


def causes_of(outcome: PipelineOutcome) -> tuple[Cause, ...]:
    """Return all causes of an outcome. The causes of the files come first.

    They are certain although the testbed failed, because they need no run.
    """
    match outcome:
        case PipelineResult():
            return outcome.causes
        case PipelineFailure(static=static, testbed=fault):
            failures = (
                [cause(fault.cause, fault.where, fault.observed, **fault.facts)] if fault else []
            )
            return (*static, *failures)
        case _:
            assert_never(outcome)


def is_identity_exchanged(evidence: PipelineEvidence) -> bool:
    """Return whether the index exchanged an identity of the workflow for an upload token."""
    return bool(_exchanges(evidence))


def pipeline_part(result: PipelineResult, plan: Plan, *, strict: bool) -> PipelinePart:
    """Return the report's part about the release workflow. A separate file has the logs."""
    runs, run, index = result.evidence.runs, result.evidence.run, result.evidence.index
    claims = [_claim(claim, result, strict=strict) for claim in plan.claims]
    signing = signing_record(result.evidence)
    return PipelinePart(
        tag=run.event.tag,
        annotated=run.event.annotated,
        commit=run.event.sha,
        source=run.event.source,
        result=run.result,
        seconds=round(run.seconds, 1),
        truths={str(number): claim for number, claim in enumerate(claims, 1)},
        artifacts=tuple(
            ArtifactClaim(artifact=path, verdict=claim.verdict, evidence=claim.evidence)
            for path, planned in plan.files.items()
            for claim in [_claim(planned, result, strict=strict)]
        ),
        links=tuple(
            LinkClaim(
                source=link.source,
                target=link.target,
                via=link.via,
                verdict=claims[link.claim - 1].verdict,
                evidence=claims[link.claim - 1].evidence,
            )
            for link in plan.links
        ),
        proved=(*_pipeline_evidence(result.evidence), *signed(signing)),
        not_provable=tuple(
            dict.fromkeys(
                (
                    *(limit for run in runs for limit in _pipeline_limits(run)),
                    signing_limit(signing),
                )
            )
        ),
        jobs=tuple(_job(job) for run in runs for job in run.jobs),
        side_by_side=ran_side_by_side(
            run, _jobs_for(result, "create-release", run), _jobs_for(result, "publish", run)
        ),
        wheels=tuple(wheel for run in runs for wheel in run.wheels),
        merged=tuple(artifact for run in runs for artifact in run.artifacts),
        releases=tuple(
            ReleasePage(
                tag=release.tag,
                prerelease=release.prerelease,
                draft=release.draft,
                assets=tuple(
                    ReleaseAsset(name=asset.name, size=asset.size, sha256=asset.sha256)
                    for asset in release.assets
                ),
            )
            for release in result.evidence.releases
        ),
        index=index.files,
        signing=signing,
        actions=tuple(action for run in runs for action in run.actions),
        stand_ins=run.stand_ins,
        egress=result.evidence.egress,
        act=run.act,
        linters=result.linters,
    )


def _pipeline_evidence(evidence: PipelineEvidence) -> Iterator[str]:
    """Yield the event, the jobs with their times, the digests of all files, and the uploads."""
    for run in evidence.runs:
        yield from _run_evidence(run, run.workflow or evidence.workflow)
    for release in evidence.releases:
        assets = ", ".join(_digest(asset.name, asset.sha256) for asset in release.assets)
        yield f"release page {release.tag}: {assets or 'no file'}"
    for name in _uploaded(evidence):
        yield f"uploaded to the index: {_digest(name, evidence.index.files.get(name, ''))}"


def _run_evidence(run: PipelineRun, workflow: str) -> Iterator[str]:
    event = run.event
    yield (f"event: {event.title}, commit {event.sha[:12]} ({event.source}): {run.decision}")
    yield f"workflow: {workflow} ended with {run.result} after {run.seconds:.1f} s"
    for action in _real_actions(run):
        yield f"real action for {action.uses}: {action.identity}{_tag_of(action)}"
    for job in run.jobs:
        yield f"job {job.title} on {job.label}: {job.result}{_span(job)}"
    for wheel in run.wheels:
        origin = ", reused from an earlier build of the same files" if wheel.reused else ""
        yield f"built: {_digest(wheel.name, wheel.sha256)}{origin}"
    for artifact in run.artifacts:
        files = ", ".join(_digest(*file) for file in artifact.files.items())
        yield f"artifact {artifact.name}: {files or 'no file'}"


def _span(job: JobRun) -> str:
    """Return the start, the end (UTC) and the duration of a job; empty if it did not run."""
    if job.started is None or job.ended is None:
        return f": {job.reason}" if job.reason else ""
    start, end = (time.strftime("%H:%M:%S", time.gmtime(at)) for at in (job.started, job.ended))
    return f", {start} to {end} UTC, {job.ended - job.started:.1f} s"


def _digest(name: str, sha256: str) -> str:
    return f"{name} (sha256 {sha256[:16] or 'unknown'})"


def _pipeline_limits(run: PipelineRun) -> Iterator[str]:
    """Yield how the run differs from GitHub: act, the stand-in actions, the environment."""
    yield f"{run.act or 'act'} ran the workflow, not GitHub; the forge and the index are local"
    for action in {use.uses: use for use in run.actions if use.kind == "stand-in"}.values():
        unconfirmed = ""
        if not action.confirmed:
            unconfirmed = f"; {action.named} is not confirmed: the suite does not know it"
        yield f"stand-in action for {action.uses}, of version {action.version}{unconfirmed}"
    for action in _real_actions(run):
        if not action.is_pinned:
            yield (
                f"the real action for {action.uses} is {action.identity}{_tag_of(action)}; the "
                f"workflow pins commit {action.pinned}"
            )
    yield from run.stand_ins


def _real_actions(run: PipelineRun) -> tuple[ActionUse, ...]:
    """Return the real actions of a run, each once."""
    return tuple({use.uses: use for use in run.actions if use.kind == "real"}.values())


def _tag_of(action: ActionUse) -> str:
    return f" ({action.version})" if action.version else ""


def publisher_part(
    result: PipelineResult, publisher: TrustedPublisher, *, registered: str
) -> PublisherPart:
    """Return the proved and the unprovable statements about the registered publisher.

    ``registered`` is the path of the registration file, which has ``publisher``.
    """
    refused = [log for log in result.evidence.index.exchange_logs if log.code]
    is_read = result.live.verdict is Verdict.VERIFIED
    return PublisherPart(
        registered=registered,
        scope=PublisherScope.LIVE_INDEX if is_read else PublisherScope.REGISTRATION_FILE,
        fields={
            "project": publisher.project,
            "owner": UNKNOWN_OWNER if publisher.stand_in_owner else publisher.owner,
            "repository": publisher.repository,
            "workflow": publisher.workflow,
            "environment": publisher.environment,
        },
        refused=tuple(f"{log.code}: {log.description}" for log in refused),
        proved=(
            *_exchanges(result.evidence),
            *(
                f"{name} was uploaded only with this identity"
                for name in _uploaded(result.evidence)
            ),
        ),
        live=result.live,
        not_provable=(
            _PRESENT_REGISTRATION if is_read else _LIVE_REGISTRATION,
            *([_STAND_IN_OWNER] if publisher.stand_in_owner else []),
        ),
    )


def _uploaded(evidence: PipelineEvidence) -> tuple[str, ...]:
    """Return the files that were uploaded with an identity of the workflow."""
    logs = evidence.index.upload_logs
    return tuple(log.file for log in logs if log.identity and not log.refused)


def _exchanges(evidence: PipelineEvidence) -> list[str]:
    """Return a sentence for each identity that the index accepted."""
    return [
        f"the index accepted the identity of {log.identity.get('publisher')} for"
        f" {', '.join(log.projects)}"
        for log in evidence.index.exchange_logs
        if log.identity is not None and not log.code
    ]


def _claim(planned: PlannedClaim, result: PipelineResult, *, strict: bool) -> Claim:
    refuting = [candidate for candidate in result.causes if candidate.name in planned.refuted_by]
    evidence = _EVIDENCE[planned.shown_by](result)
    verdict = verdict_of_causes(refuting, strict=strict)
    if verdict is Verdict.VERIFIED and not evidence:
        verdict = Verdict.UNVERIFIED
    text = "; ".join(map(str, refuting)) or evidence or _NOT_REACHED
    return Claim(title=planned.title, verdict=verdict, evidence=text)


# Each function returns the evidence for a claim, or an empty text if the run ended before it.


def _trigger(result: PipelineResult) -> str:
    run = result.evidence.run
    return f"{run.event.title}: {run.decision}" if run.triggered else ""


def _executed(result: PipelineResult) -> str:
    runs = result.evidence.runs
    names = ", ".join(dict.fromkeys(job.id for run in runs for job in run.jobs))
    return f"executed: {names}" if names else ""


def _wheels(result: PipelineResult) -> str:
    """Return the names of the built files: the recorded wheels, else those of the artifacts."""
    runs = result.evidence.runs
    names = {wheel.name for run in runs for wheel in run.wheels} or {
        name
        for run in runs
        for artifact in run.artifacts
        for name in artifact.files
        if name.endswith((".whl", ".tar.gz"))
    }
    return ", ".join(sorted(names))


def _settings(result: PipelineResult) -> str:
    wheels = _wheels(result)
    return f"built with its settings: {wheels}" if wheels else ""


def _build(result: PipelineResult) -> str:
    wheels = _wheels(result) or ", ".join(sorted(result.evidence.index.files))
    return f"built: {wheels}" if wheels and _passed(result, "build") else ""


def _version(result: PipelineResult) -> str:
    names = _passed(result, "check-version")
    return f"{names} accepted {result.evidence.run.event.tag}" if names else ""


def _validation(result: PipelineResult) -> str:
    names = _passed(result, "check-version")
    return f"{names} accepted {_wheels(result)}" if names else ""


def _release(result: PipelineResult) -> str:
    releases = result.evidence.releases
    assets = [asset.name for release in releases for asset in release.assets]
    if assets:
        return f"the release has {', '.join(sorted(assets))}"
    tags = ", ".join(release.tag for release in releases)
    return f"the release page of {tags}" if tags and _passed(result, "create-release") else ""


def _upload(result: PipelineResult) -> str:
    files = result.evidence.index.files
    return f"uploaded: {', '.join(sorted(files))}" if files else ""


_EVIDENCE: Mapping[RunFact, Callable[[PipelineResult], str]] = {
    "trigger": _trigger,
    "jobs": _executed,
    "settings": _settings,
    "build": _build,
    "version": _version,
    "validation": _validation,
    "release": _release,
    "upload": _upload,
}


def _jobs_for(result: PipelineResult, task: Task, run: PipelineRun) -> tuple[str, ...]:
    """Return the ids of the jobs of a run with a task."""
    workflow = result.workflow
    if workflow and run is not result.evidence.run:
        name = run.workflow.rpartition("/")[2]
        workflow = next((of for of in workflow.others if of.path.name == name), None)
    return tuple(job for job, tasks in tasks_by_job(workflow).items() if task in tasks)


def _passed(result: PipelineResult, task: Task) -> str:
    """Return the ids of the jobs with a task; empty if none passed, or if one failed.

    A job that a condition skips does not count.
    """
    jobs = [
        job
        for run in result.evidence.runs
        for name in _jobs_for(result, task, run)
        for job in run.job_runs(name)
    ]
    passed = [job.id for job in jobs if job.result == "success"]
    if any(job.result not in ("success", "skipped") for job in jobs):
        return ""
    return ", ".join(dict.fromkeys(passed))


def _job(job: JobRun) -> JobRecord:
    failing = job.failed_step
    return JobRecord(
        id=job.id,
        name=job.name,
        label=job.label,
        needs=job.needs,
        result=job.result,
        reason=job.reason,
        start=job.started,
        end=job.ended,
        failing_step=failing.name if failing else None,
        log=failing.log[-_LOG_LINES:] if failing else (),
    )
