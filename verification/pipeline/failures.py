"""Name the failures of a run: the testbed's, the package's and the workflow's.

A failure is the package's or the workflow's only if the evidence shows it: a refusal in the index's
log, twine's check of a file, or the exit code of a step's command. It counts only if the job's
container still ran and every server answered. Otherwise the failure is the testbed's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from verification.models.cause import Cause, FactValue
from verification.models.index_log import IndexRequest
from verification.models.pipeline import (
    IndexRecord,
    JobRun,
    PipelineEvidence,
    ServerName,
    StepRun,
)
from verification.pipeline import workflow_causes
from verification.rules import upload

_PUBLISH = "pypa/gh-action-pypi-publish"
_ACTIONS = {
    "actions/download-artifact": "artifact-lost",
    "actions/upload-artifact": "artifact-lost",
    "actions/upload-artifact/merge": "artifact-lost",
    "pypa/cibuildwheel": "build-failed",
    "softprops/action-gh-release": "release-missing",
}
"""The cause of a failed step that uses an action, if no more is known."""
_UNREACHABLE: dict[ServerName, str] = {"forge": "forge-unreachable", "index": "index-unreachable"}
_KILLED = 137
"""The exit code of a command that was ended by SIGKILL, for example because memory ran out."""
_SHOWN = 400


def cause(name: str, where: str, observed: str, **facts: FactValue) -> Cause:
    """Return a cause, with the observed text shortened."""
    return workflow_causes.cause(name, where, " ".join(observed.split())[:_SHOWN], **facts)


def failures_of_testbed(evidence: PipelineEvidence) -> Iterator[Cause]:
    """Yield the failures of the testbed after which nothing else of the run can be judged."""
    for failure in evidence.run.failures:
        yield cause(failure.cause, failure.where, failure.observed)
    for server in evidence.servers:
        if server.state.failure:
            yield cause(_UNREACHABLE[server.name], server.name, server.state.failure)


def refused_uploads(index: IndexRecord) -> Iterator[Cause]:
    """Yield the uploads that the index refused, from its own log."""
    for log in index.upload_logs:
        if log.refused:
            where = f"upload of {log.file or 'a file'}"
            yield cause("upload-refused", where, log.refused, file=log.file)


def is_failed(job: JobRun) -> bool:
    """Return whether a job failed by itself, and not because an earlier job failed."""
    lost = job.container_state is not None and job.container_state.failure
    return job.result in ("failure", "hung") or bool(lost)


def job_failure(job: JobRun, evidence: PipelineEvidence, version: str) -> Cause:
    """Return the cause of a job that failed by itself."""
    step = job.failing
    where = f"job {job.title}" + (f": step {step.name} (line {step.line})" if step else "")
    name, observed, facts = _fault(job, evidence, version)
    return cause(name, where, observed, job=job.id, **facts)


class _Fault(NamedTuple):
    """What failed: the name of the cause, what was observed, and the facts in it."""

    name: str
    observed: str
    facts: dict[str, FactValue] = {}  # noqa: RUF012  (never changed)


def _fault(job: JobRun, evidence: PipelineEvidence, version: str) -> _Fault:
    if lost := next(_testbed_faults(job, evidence), None):
        return lost
    if job.result == "hung":
        return _Fault("hang", job.reason or "it was ended: it took too long")
    step = job.failing
    assert step is not None  # a job that fails without a step is the testbed's
    if refused := _refusal(job, step, evidence.index):
        return refused
    action = step.action
    if action == _PUBLISH:
        return _publish_fault(job, step)
    name = _ACTIONS.get(action, "job-failed")
    if not action and evidence.run.push.tag != f"v{version}":
        name = "version-mismatch"
    return _Fault(name, _why(step, job))


# ---- the testbed ----


def _testbed_faults(job: JobRun, evidence: PipelineEvidence) -> Iterator[_Fault]:
    """Yield the evidence that the testbed ended the job, or may have ended it."""
    if job.container_state and job.container_state.failure:
        yield _Fault("machine-lost", job.container_state.failure)
    for failure in job.failures:
        yield _Fault(failure.cause, failure.observed)
    limits = [text for text in evidence.run.unsupported if text.startswith(f"{job.id}: ")]
    if limits:
        yield _Fault("stand-in-limited", "; ".join(limits))
    for server in evidence.servers:
        for request in server.failed_requests:
            if request.client == job.address:
                yield _Fault(_UNREACHABLE[server.name], request.observed)
    if job.result == "failure":
        yield from _unexplained_end(job)


def _unexplained_end(job: JobRun) -> Iterator[_Fault]:
    """Yield a fault if no command of a step ended by itself."""
    step = job.failing
    if step is None:
        yield _Fault("machine-lost", f"no step of it failed: {_why(None, job)}")
    elif step.exit_code is None:
        yield _Fault("machine-lost", f"no command of the step ended: {_why(step, job)}")
    elif step.exit_code == _KILLED:
        yield _Fault("machine-lost", f"a command of the step was killed: {_why(step, job)}")


# ---- the package and the workflow ----


def _refusal(job: JobRun, step: StepRun, index: IndexRecord) -> _Fault | None:
    """Return what the index or twine refused of this job; None if they refused nothing."""

    def of_job(requests: tuple[IndexRequest, ...]) -> Iterator[IndexRequest]:
        return (line for line in requests if line.client == job.address)

    for line in of_job(index.exchanges):
        if line.oidc and line.oidc.code:
            observed = f"the index refused the identity: {line.oidc.code}: {line.oidc.description}"
            return _Fault("publisher-mismatch", observed)
    # The index's own reasons; the step's log has what twine printed of them.
    logs = (line.upload for line in of_job(index.uploads))
    if refused := tuple(log.refused for log in logs if log and log.refused):
        return _Fault("upload-refused", _why(step, job), {"refused": refused})
    if reason := upload.twine_refusal("\n".join(step.log)):
        return _Fault("upload-refused", reason)
    return None


def _publish_fault(job: JobRun, step: StepRun) -> _Fault:
    """Return why the publish action failed, where neither the index nor twine refused a file."""
    commands = [line.split() for line in step.log if line.startswith("[command]twine ")]
    match commands[-1][1] if commands else "":
        case "check":
            return _Fault("upload-refused", _why(step, job))
        case "upload":
            observed = f"the upload failed, and the index refused nothing: {_why(step, job)}"
            return _Fault("index-unreachable", observed)
    name = "job-failed" if job.permissions.get("id-token") == "write" else "permission-missing"
    return _Fault(name, _why(step, job))


def _why(step: StepRun | None, job: JobRun) -> str:
    lines = [line for line in (step or job).log if line.strip()]
    errors = [line for line in lines if "::error" in line or line.lower().startswith("error")]
    text = " | ".join(errors[:3] or lines[-3:]) or job.reason or "it gave no reason"
    return f"it failed: {text}"
