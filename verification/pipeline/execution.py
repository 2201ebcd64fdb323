"""The causes that the evidence of a pipeline run shows.

The first failure has its own named cause. A failure that only follows from it has no cause.
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
    """Return the causes that the run shows; none if it released ``version`` as planned."""
    return sorted_causes(_causes(evidence, plan, version))


def _causes(evidence: PipelineEvidence, plan: Plan, version: str) -> Iterator[Cause]:
    run = evidence.run
    tag = run.push.tag
    if not run.triggered:
        where = f"push of the tag {tag}"
        yield cause("workflow-not-triggered", where, run.decision, ref=run.push.ref)
        return
    if not run.push.annotated:
        observed = "it has no author, no date and no message: it is a name for a commit and no more"
        yield cause("lightweight-tag", f"tag {tag}", observed)
    yield from check_real_inputs(run.actions)
    if run.unsupported:
        observed = "; ".join(run.unsupported)
        yield cause("stand-in-limited", "pipeline", observed, unsupported=run.unsupported)
    lost = tuple(failures_of_testbed(evidence))
    if lost or run.unsupported:
        # The step failed because of that, and what came after it did not run.
        yield from (*lost, *refused_uploads(evidence.index))
        return
    failed = [job_failure(job, evidence, version) for job in run.jobs if is_failed(job)]
    yield from failed or _left_out(run, plan)
    yield from _order(run, plan)
    if failed:
        return
    yield from _versions(run, plan, version)
    yield from _merged(run)
    yield from _released(evidence, version)
    yield from _published(evidence)


def _left_out(run: PipelineRun, plan: Plan) -> Iterator[Cause]:
    for job in run.jobs:
        if job.result in ("skipped", "not run"):
            observed = f"it was {job.result} ({job.reason or 'no reason is told'})"
            yield cause("job-skipped", f"job {job.title}", observed, job=job.id)
    ran = {job.id for job in run.jobs}
    for missing in [name for name in plan.jobs if name not in ran]:
        yield cause("job-missing", f"job {missing}", "no such job ran", job=missing)


def _order(run: PipelineRun, plan: Plan) -> Iterator[Cause]:
    """Yield the jobs that began before what they stand on had ended, by the clock."""
    spans = _spans(run)
    for name, planned in plan.jobs.items():
        for before in planned.after:
            if name in spans and before in spans and spans[name][0] < spans[before][1]:
                early = spans[before][1] - spans[name][0]
                observed = f"it began {early:.1f} s before {before} had ended"
                yield cause("job-order", f"job {name}", observed, job=name, other=before)
        needs = {need for job in run.job(name) for need in job.needs}
        for other in planned.independent_of:
            if other in needs:
                observed = f"it waited for {other}"
                yield cause("job-order", f"job {name}", observed, job=name, other=other)


def _spans(run: PipelineRun) -> dict[str, tuple[float, float]]:
    """Return when each job that ran began and ended; one of a matrix as a whole."""
    spans: dict[str, tuple[float, float]] = {}
    for job in run.jobs:
        if job.started is None or job.ended is None:
            continue
        began, ended = spans.get(job.id, (job.started, job.ended))
        spans[job.id] = (min(began, job.started), max(ended, job.ended))
    return spans


def ran_side_by_side(run: PipelineRun, first: str, second: str) -> bool:
    """Return whether two jobs ran at the same time, by the clock."""
    spans = _spans(run)
    if first not in spans or second not in spans:
        return False
    return spans[first][0] < spans[second][1] and spans[second][0] < spans[first][1]


def _versions(run: PipelineRun, plan: Plan, version: str) -> Iterator[Cause]:
    tag = run.push.tag
    if tag != f"v{version}":
        observed = f"the run passed, and {plan.package_dir} has {version}"
        yield cause("version-mismatch", f"tag {tag}", observed, tag=tag, version=version)
    for wheel in run.wheels:
        if parse_wheel_filename(wheel.name)[1] != Version(version):
            yield cause("version-mismatch", wheel.name, f"the tag is {tag}", tag=tag)


def _built(run: PipelineRun) -> dict[str, str]:
    return {wheel.name: wheel.sha256 for wheel in run.wheels}


def _merged(run: PipelineRun) -> Iterator[Cause]:
    """Compare the artifact that the later jobs fetched with what was built."""
    built = _built(run)
    whole = [artifact for artifact in run.artifacts if set(artifact.files) >= set(built)]
    if not whole:
        names = ", ".join(artifact.name for artifact in run.artifacts) or "none"
        observed = f"no artifact holds all of {', '.join(sorted(built))}; there are: {names}"
        yield cause("artifact-lost", "artifacts", observed, files=tuple(sorted(built)))
    for artifact in whole:
        yield from _compare(f"artifact {artifact.name}", artifact.files, built, "artifact-lost")


def _compare(
    where: str, files: Mapping[str, str], built: Mapping[str, str], missing: str
) -> Iterator[Cause]:
    """Compare files with those that were built; ``missing`` is the cause of one that lacks."""
    for name in sorted(built.keys() - files.keys()):
        yield cause(missing, where, f"{name} is not there", file=name)
    for name in sorted(files.keys() - built.keys()):
        observed = "no job built such a file"
        yield cause("hash-mismatch", f"{where}: {name}", observed, file=name, sha256=files[name])
    for name in sorted(files.keys() & built.keys()):
        if files[name] != built[name]:
            observed = f"it has sha256 {files[name][:16]}..., built was {built[name][:16]}..."
            facts = {"file": name, "sha256": files[name], "built": built[name]}
            yield cause("hash-mismatch", f"{where}: {name}", observed, **facts)


def _released(evidence: PipelineEvidence, version: str) -> Iterator[Cause]:
    tag = evidence.run.push.tag
    releases = [release for release in evidence.releases if release.tag == tag]
    where = f"release {tag}"
    if len(releases) != 1:
        others = ", ".join(release.tag for release in evidence.releases) or "none"
        observed = f"there are {len(releases)} of it; there are: {others}"
        yield cause("release-missing", where, observed, releases=len(releases))
        return
    (release,) = releases
    if release.draft:
        yield cause("release-missing", where, "it is a draft, which only maintainers see")
    if release.prerelease != Version(version).is_prerelease:
        observed = f"prerelease is {release.prerelease}"
        yield cause("release-missing", where, observed, prerelease=release.prerelease)
    if not (release.body or "").strip():
        yield cause("release-missing", where, "it has no notes")
    assets = {asset.name: asset.sha256 for asset in release.assets}
    yield from _compare(where, assets, _built(evidence.run), "release-missing")


def _published(evidence: PipelineEvidence) -> Iterator[Cause]:
    run, index = evidence.run, evidence.index
    yield from _compare("index", index.files, _built(run), "incomplete-release")
    yield from refused_uploads(index)
    for log in index.upload_logs:
        where = f"upload of {log.file or 'a file'}"
        if log.refused:
            continue
        if log.identity is None:
            observed = "it was no identity of the workflow that uploaded it"
            yield cause("publisher-mismatch", where, observed, file=log.file)
        elif difference := _other_run(log.identity, run):
            yield cause("publisher-mismatch", where, difference, file=log.file)


def _other_run(identity: Mapping[str, str], run: PipelineRun) -> str:
    """Return how the identity of an upload differs from that of the run; empty if it does not."""
    own = {"ref": run.push.ref, "sha": run.push.sha, "run_id": str(run.run_id)}
    for claim, value in own.items():
        if identity.get(claim, value) != value:
            return f"the uploader's {claim} is {identity[claim]}, the run's is {value}"
    return ""
