"""Diagnose the run of the release workflow from its evidence.

A job that failed itself gets a cause. Failures that only follow from it get none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from verification.models.cause import Cause, sorted_causes
from verification.models.pipeline import PipelineEvidence, PipelineRun
from verification.pipeline.action_inputs import check_real_inputs
from verification.pipeline.failures import (
    cause,
    failures_of_testbed,
    is_failed,
    job_failure,
    refused_uploads,
)
from verification.pipeline.plan import Plan


def diagnose_pipeline(evidence: PipelineEvidence, plan: Plan, *, version: str) -> tuple[Cause, ...]:
    """Return the causes of a run; an empty tuple if it released ``version`` as planned."""
    return sorted_causes(_causes(evidence, plan, version))


def _causes(evidence: PipelineEvidence, plan: Plan, version: str) -> Iterator[Cause]:
    run = evidence.run
    tag = run.event.tag
    if not run.triggered:
        where = run.event.title
        yield cause("workflow-not-triggered", where, run.decision, ref=run.event.ref)
        return
    if run.event.name == "push" and tag and not run.event.annotated:
        message = "it is a lightweight tag, without author, date and message"
        yield cause("lightweight-tag", f"tag {tag}", message)
    yield from check_real_inputs(run.actions)
    if run.unsupported:
        message = "; ".join(run.unsupported)
        yield cause("stand-in-limited", "pipeline", message, unsupported=run.unsupported)
    testbed_failures = tuple(failures_of_testbed(evidence))
    if testbed_failures or run.unsupported:
        # Nothing else of the run can be judged. What the index refused is certain.
        yield from (*testbed_failures, *refused_uploads(evidence.index))
        return
    failed = [job_failure(job, evidence, version) for job in run.jobs if is_failed(job)]
    yield from failed or _not_run(run, plan)
    yield from _order(run, plan)
    if failed:
        return
    yield from _versions(run, plan, version)
    yield from _compare_artifacts(run)
    yield from _compare_release(evidence, version)
    yield from _compare_index(evidence)


def _not_run(run: PipelineRun, plan: Plan) -> Iterator[Cause]:
    for job in run.jobs:
        if job.result in ("skipped", "not run"):
            reason = f": {job.reason}" if job.reason else ""
            yield cause(
                "job-skipped", f"job {job.title}", f"it was {job.result}{reason}", job=job.id
            )
    executed = {job.id for job in run.jobs}
    for missing in [name for name in plan.jobs if name not in executed]:
        yield cause("job-missing", f"job {missing}", "the run has no such job", job=missing)


def _order(run: PipelineRun, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each job that started too early, and each unplanned dependency.

    A job starts too early if a job that the plan requires before it had not ended.
    """
    spans = _spans(run)
    for name, planned in plan.jobs.items():
        for required in planned.after:
            if name in spans and required in spans and spans[name][0] < spans[required][1]:
                early = spans[required][1] - spans[name][0]
                message = f"it started {early:.1f} s before {required} ended"
                yield cause("job-order", f"job {name}", message, job=name, other=required)
        needs = {need for job in run.job_runs(name) for need in job.needs}
        for other in planned.independent_of:
            if other in needs:
                message = f"it waited for {other}"
                yield cause("job-order", f"job {name}", message, job=name, other=other)


def _spans(run: PipelineRun) -> dict[str, tuple[float, float]]:
    """Return start and end of each executed job in seconds, by its id. A matrix is one job."""
    spans: dict[str, tuple[float, float]] = {}
    for job in run.jobs:
        if job.started is None or job.ended is None:
            continue
        start, end = spans.get(job.id, (job.started, job.ended))
        spans[job.id] = (min(start, job.started), max(end, job.ended))
    return spans


def ran_side_by_side(run: PipelineRun, first: str, second: str) -> bool:
    """Return whether the recorded times of two jobs overlap."""
    spans = _spans(run)
    if first not in spans or second not in spans:
        return False
    return spans[first][0] < spans[second][1] and spans[second][0] < spans[first][1]


def _versions(run: PipelineRun, plan: Plan, version: str) -> Iterator[Cause]:
    tag = run.event.tag
    if tag != f"v{version}":
        message = f"the run passed, but {plan.package_dir} has the version {version}"
        yield cause("version-mismatch", f"tag {tag}", message, tag=tag, version=version)
    for wheel in run.wheels:
        if parse_wheel_filename(wheel.name)[1] != Version(version):
            message = f"its version is not the version of the tag {tag}"
            yield cause("version-mismatch", wheel.name, message, tag=tag)


def _built(run: PipelineRun) -> dict[str, str]:
    return {file.name: file.sha256 for file in (*run.wheels, *run.sdists)}


def _compare_artifacts(run: PipelineRun) -> Iterator[Cause]:
    """Yield the differences between the built wheels and the artifacts that contain all wheels."""
    built = _built(run)
    complete = [artifact for artifact in run.artifacts if set(artifact.files) >= set(built)]
    if not complete:
        names = ", ".join(artifact.name for artifact in run.artifacts) or "none"
        message = f"no artifact contains all of {', '.join(sorted(built))}; artifacts: {names}"
        yield cause("artifact-lost", "artifacts", message, files=tuple(sorted(built)))
    for artifact in complete:
        yield from _compare(f"artifact {artifact.name}", artifact.files, built, "artifact-lost")


def _compare(
    where: str, files: Mapping[str, str], built: Mapping[str, str], missing: str
) -> Iterator[Cause]:
    """Yield the differences between ``files`` and the ``built`` files, both sha256 by name.

    ``missing`` is the name of the cause for a missing file.
    """
    for name in sorted(built.keys() - files.keys()):
        yield cause(missing, where, f"{name} is missing", file=name)
    for name in sorted(files.keys() - built.keys()):
        message = "no job built this file"
        yield cause("hash-mismatch", f"{where}: {name}", message, file=name, sha256=files[name])
    for name in sorted(files.keys() & built.keys()):
        if files[name] != built[name]:
            message = f"its sha256 is {files[name][:16]}..., but {built[name][:16]}... was built"
            facts = {"file": name, "sha256": files[name], "built": built[name]}
            yield cause("hash-mismatch", f"{where}: {name}", message, **facts)


def _compare_release(evidence: PipelineEvidence, version: str) -> Iterator[Cause]:
    tag = evidence.run.event.tag
    releases = [release for release in evidence.releases if release.tag == tag]
    where = f"release {tag}"
    if len(releases) != 1:
        tags = ", ".join(release.tag for release in evidence.releases) or "none"
        message = f"{len(releases)} releases have this tag; tags of all releases: {tags}"
        yield cause("release-missing", where, message, releases=len(releases))
        return
    (release,) = releases
    if release.draft:
        yield cause("release-missing", where, "it is a draft; only maintainers can see it")
    if release.prerelease != Version(version).is_prerelease:
        message = f"`prerelease` is {str(release.prerelease).lower()} for the version {version}"
        yield cause("release-missing", where, message, prerelease=release.prerelease)
    if not (release.body or "").strip():
        yield cause("release-missing", where, "it has no notes")
    assets = {asset.name: asset.sha256 for asset in release.assets}
    yield from _compare(where, assets, _built(evidence.run), "release-missing")


def _compare_index(evidence: PipelineEvidence) -> Iterator[Cause]:
    run, index = evidence.run, evidence.index
    yield from _compare("index", index.files, _built(run), "incomplete-release")
    yield from refused_uploads(index)
    for log in index.upload_logs:
        where = f"upload of {log.file or 'a file'}"
        if log.refused:
            continue
        if log.identity is None:
            message = "the upload did not use an identity of the workflow"
            yield cause("publisher-mismatch", where, message, file=log.file)
        elif difference := _identity_difference(log.identity, run):
            yield cause("publisher-mismatch", where, difference, file=log.file)


def _identity_difference(identity: Mapping[str, str], run: PipelineRun) -> str:
    """Return the first difference between the identity of an upload and the run, or ""."""
    claims = {"ref": run.event.ref, "sha": run.event.sha, "run_id": str(run.run_id)}
    for claim, value in claims.items():
        if identity.get(claim, value) != value:
            return (
                f"the {claim} of the identity is {identity[claim]}, but that of the run is {value}"
            )
    return ""
