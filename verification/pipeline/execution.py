"""Diagnose the run of the release workflow from its evidence.

A job that failed itself gets a cause. Failures that only follow from it get none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from verification.models.cause import Cause, sorted_causes
from verification.models.index_log import IndexRequest
from verification.models.pipeline import PipelineEvidence, PipelineRun
from verification.models.workflow import Task, Workflow
from verification.pipeline.action_inputs import check_real_inputs
from verification.pipeline.failures import (
    cause,
    failures_of_testbed,
    is_failed,
    is_tag_of,
    job_failure,
    refused_uploads,
)
from verification.pipeline.plan import Plan
from verification.pipeline.tasks import jobs_with, steps_with, tasks_by_job
from verification.pipeline.workflow_causes import possible_cause

_RECORDED = "pypa/cibuildwheel"


def diagnose_pipeline(
    evidence: PipelineEvidence,
    workflows: Mapping[str, Workflow | None],
    plan: Plan,
    *,
    version: str,
) -> tuple[Cause, ...]:
    """Return the causes of all runs; an empty tuple if they released ``version``.

    The runs are the run that the event starts, and the runs that its jobs dispatch. ``workflows``
    has the workflow of each run, by the path of its file in the repository. Without its workflow,
    only the files of a run are compared.
    """
    publishing = [run for run in evidence.runs if _publishes(workflows.get(run.workflow))]
    causes: dict[Cause, None] = {}
    for run in evidence.runs:
        causes |= dict.fromkeys(
            _causes(
                _evidence_of_run(evidence, run),
                workflows.get(run.workflow),
                plan,
                version,
                publishes=run in publishing or not publishing,
            )
        )
    return sorted_causes(causes)


def _publishes(workflow: Workflow | None) -> bool:
    return workflow is not None and bool(jobs_with(workflow, "publish"))


def _evidence_of_run(evidence: PipelineEvidence, run: PipelineRun) -> PipelineEvidence:
    """Return the evidence of one run. It has the uploads whose identity names no other run."""
    others = {str(other.run_id) for other in evidence.runs if other is not run}
    uploads = tuple(line for line in evidence.index.uploads if _run_id(line) not in others)
    index = evidence.index.model_copy(update={"uploads": uploads})
    return evidence.model_copy(update={"run": run, "dispatched": (), "index": index})


def _run_id(upload: IndexRequest) -> str:
    """Return the id of the run in the identity of an upload, or ""."""
    identity = upload.upload.identity if upload.upload else None
    return str((identity or {}).get("run_id", ""))


def _causes(
    evidence: PipelineEvidence,
    workflow: Workflow | None,
    plan: Plan,
    version: str,
    *,
    publishes: bool,
) -> Iterator[Cause]:
    """Yield the causes of a run. ``publishes`` is false if another run publishes the files."""
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
    failed = [job_failure(job, evidence, version, workflow) for job in run.jobs if is_failed(job)]
    yield from failed or _not_run(run, workflow)
    yield from _order(run, workflow)
    if failed:
        return
    yield from _versions(run, plan, version)
    yield from _compare_artifacts(evidence, workflow)
    yield from _compare_release(evidence, workflow, version)
    if publishes:
        yield from _compare_index(evidence, workflow)


def _not_run(run: PipelineRun, workflow: Workflow | None) -> Iterator[Cause]:
    """Yield a cause for each job of the release that did not run.

    A job can have a condition that is false for this event. That is no fault if another job does
    the same, or if the job only makes the release page or checks the version.
    """
    tasks = tasks_by_job(workflow)
    done: set[Task] = set()
    for job in run.jobs:
        if job.result == "success":
            done |= tasks.get(job.id, frozenset())
    for job in run.jobs:
        if job.result not in ("skipped", "not run"):
            continue
        missing = tasks.get(job.id, frozenset()) - {"attest", "dispatch"}
        if _has_condition(workflow, job.id):
            missing &= {"build", "publish"} - done
        if missing or workflow is None:
            reason = f": {job.reason}" if job.reason else ""
            message = f"it was {job.result}{reason}"
            yield cause("job-skipped", f"job {job.title}", message, job=job.id)


def _has_condition(workflow: Workflow | None, job: str) -> bool:
    """Return whether a job, a job that it needs, or the job of its called workflow has an `if`."""
    if workflow is None or job not in workflow.jobs:
        return False
    names = {job, *workflow.jobs_before(job)}
    inner = (running.job for running in workflow.running_jobs if running.id in names)
    return any(
        candidate.condition is not None
        for candidate in (*inner, *(workflow.jobs[name] for name in names))
    )


def _order(run: PipelineRun, workflow: Workflow | None) -> Iterator[Cause]:
    """Yield a cause for each job that started too early.

    It started before a job that it needs had ended, or it publishes and started before all builds
    had ended.
    """
    spans = _spans(run)
    tasks = tasks_by_job(workflow)
    builds = tuple(name for name in spans if "build" in tasks.get(name, ()))
    publishing = [name for name in spans if "publish" in tasks.get(name, ())]
    for name in publishing if builds else ():
        is_early = all(spans[name][0] < spans[build][1] for build in builds)
        if name not in builds and is_early:
            message = f"it started before {', '.join(builds)} ended"
            yield cause("job-order", f"job {name}", message, job=name, other=builds)
    for name in workflow.jobs if workflow else ():
        assert workflow is not None
        for required in sorted(workflow.jobs_before(name)):
            if name in spans and required in spans and spans[name][0] < spans[required][1]:
                early = spans[required][1] - spans[name][0]
                message = f"it started {early:.1f} s before {required} ended"
                yield cause("job-order", f"job {name}", message, job=name, other=required)


def _spans(run: PipelineRun) -> dict[str, tuple[float, float]]:
    """Return start and end of each executed job in seconds, by its id. A matrix is one job."""
    spans: dict[str, tuple[float, float]] = {}
    for job in run.jobs:
        if job.started is None or job.ended is None:
            continue
        start, end = spans.get(job.id, (job.started, job.ended))
        spans[job.id] = (min(start, job.started), max(end, job.ended))
    return spans


def ran_side_by_side(run: PipelineRun, first: Iterable[str], second: Iterable[str]) -> bool:
    """Return whether the recorded times of two of these jobs, named by their ids, overlap."""
    spans = _spans(run)
    return any(
        spans[one][0] < spans[other][1] and spans[other][0] < spans[one][1]
        for one in first
        for other in second
        if one != other and one in spans and other in spans
    )


def _versions(run: PipelineRun, plan: Plan, version: str) -> Iterator[Cause]:
    tag = run.event.tag
    if tag and not is_tag_of(tag, version):
        message = f"the run passed, but {plan.package_dir} has the version {version}"
        yield cause("version-mismatch", f"tag {tag}", message, tag=tag, version=version)
    for wheel in run.wheels:
        if parse_wheel_filename(wheel.name)[1] != Version(version):
            message = f"its version is not the version of the release, {version}"
            yield cause("version-mismatch", wheel.name, message, tag=tag)


def _built(run: PipelineRun) -> dict[str, str]:
    return {file.name: file.sha256 for file in (*run.wheels, *run.sdists)}


def _builds_only_recorded_wheels(workflow: Workflow | None) -> bool:
    """Return whether the run recorded every wheel that the workflow built.

    It records the wheels of cibuildwheel. It does not notice files that a command builds.
    """
    return workflow is not None and all(
        step.action == _RECORDED
        for running in jobs_with(workflow, "build")
        for step in steps_with(running.job, "build")
    )


def _compare_artifacts(evidence: PipelineEvidence, workflow: Workflow | None) -> Iterator[Cause]:
    """Yield the differences between the built wheels and the artifacts.

    A built wheel that no artifact has is lost, unless it was published.
    """
    built, is_complete = _built(evidence.run), _builds_only_recorded_wheels(workflow)
    kept = {name for artifact in evidence.run.artifacts for name in artifact.files}
    lost = tuple(sorted(built.keys() - kept - evidence.index.files.keys()))
    if lost:
        names = ", ".join(artifact.name for artifact in evidence.run.artifacts) or "none"
        message = f"no artifact contains {', '.join(lost)}; artifacts: {names}"
        yield cause("artifact-lost", "artifacts", message, files=lost)
    for artifact in evidence.run.artifacts:
        where = f"artifact {artifact.name}"
        yield from _changed(where, artifact.files, built, is_complete=is_complete)


def _changed(
    where: str, files: Mapping[str, str], built: Mapping[str, str], *, is_complete: bool
) -> Iterator[Cause]:
    """Yield a cause for each file that differs from the built file of its name.

    ``files`` and ``built`` are the sha256 by name. If ``is_complete`` is true, ``built`` has each
    wheel that the workflow built.
    """
    for name in sorted(files):
        if name in built and files[name] != built[name]:
            message = f"its sha256 is {files[name][:16]}..., but {built[name][:16]}... was built"
            facts = {"file": name, "sha256": files[name], "built": built[name]}
            yield cause("hash-mismatch", f"{where}: {name}", message, **facts)
        elif is_complete and built and name.endswith(".whl") and name not in built:
            message = "no job built this file"
            yield cause("hash-mismatch", f"{where}: {name}", message, file=name, sha256=files[name])


def _compare_release(
    evidence: PipelineEvidence, workflow: Workflow | None, version: str
) -> Iterator[Cause]:
    """Yield the causes of the release page, if a job of the workflow creates it."""
    run = evidence.run
    tasks, tag = tasks_by_job(workflow), evidence.run.event.tag
    makers = [job for job in run.jobs if "create-release" in tasks.get(job.id, ())]
    if not makers:
        return
    releases = [release for release in evidence.releases if tag in ("", release.tag)]
    where = f"release {tag}"
    if len(releases) != 1:
        tags = ", ".join(release.tag for release in evidence.releases) or "none"
        message = f"{len(releases)} releases have this tag; tags of all releases: {tags}"
        # If no such job ran, the package reaches its users without a release page.
        ran = any(job.result == "success" for job in makers)
        report = cause if ran else possible_cause
        yield report("release-missing", where, message, releases=len(releases))
        return
    (release,) = releases
    if release.draft:
        yield possible_cause("release-missing", where, "it is a draft; only maintainers can see it")
    if release.prerelease != Version(version).is_prerelease:
        message = f"`prerelease` is {str(release.prerelease).lower()} for the version {version}"
        yield possible_cause("release-missing", where, message, prerelease=release.prerelease)
    if not (release.body or "").strip():
        yield possible_cause("release-missing", where, "it has no notes")
    assets = {asset.name: asset.sha256 for asset in release.assets}
    published = {**evidence.index.files, **_built(run)}
    yield from _changed(
        where, assets, published, is_complete=_builds_only_recorded_wheels(workflow)
    )
    wheels = {name for name in _built(run) or published if name.endswith(".whl")}
    if not assets and wheels:
        yield cause("release-without-files", where, "it has no files")
    elif any(name.endswith(".whl") for name in assets):
        for name in sorted(wheels - assets.keys()):
            yield possible_cause("release-missing", where, f"{name} is missing", file=name)


def _compare_index(evidence: PipelineEvidence, workflow: Workflow | None) -> Iterator[Cause]:
    run, index = evidence.run, evidence.index
    built = _built(run)
    for name in sorted(built.keys() - index.files.keys()):
        yield cause("incomplete-release", "index", f"{name} is missing", file=name)
    if not built and not index.files:
        yield cause("incomplete-release", "index", "the run published no file")
    is_complete = _builds_only_recorded_wheels(workflow)
    yield from _changed("index", index.files, built, is_complete=is_complete)
    yield from refused_uploads(index)
    for log in index.upload_logs:
        where = f"upload of {log.file or 'a file'}"
        if log.refused:
            continue
        if log.identity is None:
            message = "the upload did not use an identity of the workflow"
            yield cause("publisher-unused", where, message, file=log.file)
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
