"""Assign each failure of a run to the testbed, the package or the workflow.

The package or the workflow failed only if the evidence shows it: a refusal in the log of the
index, a refusal by twine, or the exit code of a step's command. In addition, the container of the
job must still run, and all servers must answer. Otherwise the testbed failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from verification.models.cause import Cause, FactValue
from verification.models.hosted_runners import hosted_runner
from verification.models.index_log import IndexRequest
from verification.models.pipeline import (
    IndexRecord,
    JobRun,
    PipelineEvidence,
    ServerName,
    StepRun,
)
from verification.models.workflow import Task, Workflow
from verification.pipeline import workflow_causes
from verification.pipeline.publishing import PUBLISH_ACTION
from verification.pipeline.tasks import action_tasks, step_tasks
from verification.rules import upload

_ACTIONS = {
    "actions/download-artifact": "artifact-lost",
    "actions/upload-artifact": "artifact-lost",
}
_TASKS: dict[Task, str] = {
    "build": "build-failed",
    "merge": "artifact-lost",
    "create-release": "release-missing",
}
"""The cause of a failed step by its GitHub action or task, if the evidence shows no other one."""
_UNREACHABLE: dict[ServerName, str] = {"forge": "forge-unreachable", "index": "index-unreachable"}
_KILLED = 137
"""The exit code of a command that SIGKILL ended, for example because memory ran out."""
_NOT_FOUND = 127
"""The exit code of a shell that does not find a program."""
_MISSING_PROGRAM = re.compile(
    r"(?:^|[\s:])([\w.+-]+): (?:command )?not found$"  # bash and dash
    r"|^env: .?([\w.+-]+?)['\u2019]?: No such file",
    re.MULTILINE,
)
_WINDOWS_SHELLS = ("pwsh", "powershell", "cmd")
"""The shells that the runner does not have."""
_UNRESOLVED = re.compile(
    r"getaddrinfo (?:EAI_AGAIN|ENOTFOUND) (\S+)"  # node
    r"|Could not resolve host: ([^\s;]+)"  # curl and git
    r"|Failed to resolve '([^']+)'"  # urllib3
    r"|unable to resolve host address .(\S+?)['\u2019]"  # wget
    r"|Temporary failure in name resolution|Name or service not known"
)
"""The messages of programs for a host name without an address. The network of the run has only the
names of the forge and the index."""
_FOREIGN_SIGNATURE = re.compile(
    r"included attestation: Verification failed: "
    r"(?:failed to build|failed to verify SCT|invalid log entry|invalid signing cert|DSSE: invalid)"
)
"""The refusal of an attestation that the signing servers of the run did not make. The index of the
run trusts only these servers."""
_MAX_OBSERVED = 400  # characters


def cause(name: str, where: str, message: str, **facts: FactValue) -> Cause:
    """Return a cause, with the message text shortened."""
    return workflow_causes.cause(name, where, " ".join(message.split())[:_MAX_OBSERVED], **facts)


def failures_of_testbed(evidence: PipelineEvidence) -> Iterator[Cause]:
    """Yield a cause for each failure of the testbed. After one, the rest of a run is not judged."""
    for failure in evidence.run.failures:
        yield cause(failure.cause, failure.where, failure.observed)
    for server in evidence.servers:
        if server.state.failure:
            name = server.state.cause(_UNREACHABLE[server.name])
            yield cause(name, server.name, server.state.failure)


def refused_uploads(index: IndexRecord) -> Iterator[Cause]:
    """Yield a cause for each upload that the index refused, from the log of the index."""
    for log in index.upload_logs:
        if log.refused:
            where = f"upload of {log.file or 'a file'}"
            yield cause(_refusal_name(log.refused), where, log.refused, file=log.file)


def _refusal_name(reason: str) -> str:
    """Return the name of the cause for an upload that the index refused."""
    return "stand-in-limited" if _FOREIGN_SIGNATURE.search(reason) else "upload-refused"


def is_failed(job: JobRun) -> bool:
    """Return whether a job itself failed. A job that did not run after a failure is not failed."""
    lost = job.container_state is not None and job.container_state.failure
    return job.result in ("failure", "hung") or bool(lost)


def job_failure(
    job: JobRun, evidence: PipelineEvidence, version: str, workflow: Workflow | None = None
) -> Cause:
    """Return the cause of a failed job. ``workflow`` has the commands of its steps."""
    step = job.failed_step
    where = f"job {job.title}" + (f": step {step.name} (line {step.line})" if step else "")
    name, message, facts = _fault(job, evidence, version, workflow)
    return cause(name, where, message, job=job.id, **facts)


class _Fault(NamedTuple):
    """The name of a cause, its message, and the facts in it."""

    name: str
    message: str
    facts: dict[str, FactValue] = {}  # noqa: RUF012  (never changed)


def _fault(
    job: JobRun, evidence: PipelineEvidence, version: str, workflow: Workflow | None
) -> _Fault:
    script = next(_scripts(job, workflow), None)
    if testbed_fault := next(_testbed_faults(job, evidence, script), None):
        return testbed_fault
    if job.result == "hung":
        return _Fault("hang", job.reason or "it reached the time limit")
    step = job.failed_step
    assert step is not None  # a job that fails without a step is a testbed failure
    if refused := _refusal(job, step, evidence.index):
        return refused
    if script and not script.shell and _is_on_windows(job):
        message = (
            f"on Windows, PowerShell runs this script; here, bash ran it: {_reason(step, job)}"
        )
        return _Fault("stand-in-limited", message)
    if step.action == PUBLISH_ACTION:
        return _publish_fault(job, step)
    tasks = script.tasks if script else action_tasks(step.action)
    tasks -= {"attest"}  # its failure has no cause
    name = _ACTIONS.get(step.action) or "job-failed"
    if len(tasks) == 1:
        name = _TASKS.get(next(iter(tasks)), name)
    # A script can check the version although no task was inferred.
    is_check = tasks <= {"check-version"} and not step.action
    if is_check and not is_tag_of(evidence.run.event.tag, version):
        name = "version-mismatch"
    return _Fault(name, f"it failed: {_reason(step, job)}")


class _Script(NamedTuple):
    """The script of a failed step."""

    shell: str
    """The shell of the step or the default of its job; empty for that of the runner."""
    tasks: frozenset[Task]


def _scripts(job: JobRun, workflow: Workflow | None) -> Iterator[_Script]:
    """Yield the script of the failed step; none if the step uses an action."""
    step = job.failed_step
    if step is None or step.action or workflow is None:
        return
    for running in workflow.running_jobs:
        env = {**running.workflow.env, **running.job.env}
        for candidate in running.job.steps if running.id == job.id else ():
            if candidate.run is not None and candidate.line == step.line:
                shell = candidate.shell or running.job.defaults.get("shell", "")
                yield _Script(shell, step_tasks(candidate, env))


def _is_on_windows(job: JobRun) -> bool:
    runner = hosted_runner(job.label)
    return runner is not None and runner.system == "windows"


def is_tag_of(tag: str, version: str) -> bool:
    """Return whether a tag names a version: `v1.2.0`, `1.2.0` or `name-1.2.0` for 1.2.0."""
    prefix = tag.removesuffix(version)
    return prefix != tag and not re.search(r"[\d.]$", prefix)


# ---- the testbed ----


def _testbed_faults(
    job: JobRun, evidence: PipelineEvidence, script: _Script | None
) -> Iterator[_Fault]:
    """Yield the testbed failures that ended the job or may have ended it."""
    if job.container_state and job.container_state.failure:
        name = job.container_state.cause("machine-lost")
        yield _Fault(name, job.container_state.failure)
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
        if match := _UNRESOLVED.search("\n".join(job.failed_step.log if job.failed_step else ())):
            host = next(filter(None, match.groups()), "a host")
            yield _Fault("stand-in-limited", f"{host} is not on the closed network: {match[0]}")
        if script and script.shell.split()[:1] and script.shell.split()[0] in _WINDOWS_SHELLS:
            message = f"the testbed's runner does not have the shell {script.shell}: "
            yield _Fault("stand-in-limited", message + _reason(job.failed_step, job))
        yield from _missing_program(job)
        yield from _lost_machine(job)


def _missing_program(job: JobRun) -> Iterator[_Fault]:
    """Yield a fault if the machine of the job lacks a program that the step starts.

    A hosted runner can have the program. If it does not, the workflow is wrong, but only a hosted
    runner shows that.
    """
    step = job.failed_step
    log = "\n".join(step.log) if step else ""
    if step and (step.exit_code == _NOT_FOUND or f"Error {_NOT_FOUND}" in log):
        match = _MISSING_PROGRAM.search(log)
        program = next(filter(None, match.groups()), "") if match else "a program"
        message = f"the testbed's runner does not have {program}: {_reason(step, job)}"
        yield _Fault("stand-in-limited", message)


def _lost_machine(job: JobRun) -> Iterator[_Fault]:
    """Yield a fault if the evidence has no exit code of a command that ended normally."""
    step = job.failed_step
    if step is None:
        yield _Fault("machine-lost", f"the job failed without a failed step: {_reason(None, job)}")
    elif step.exit_code is None:
        yield _Fault("machine-lost", f"no command of the step ended: {_reason(step, job)}")
    elif step.exit_code == _KILLED:
        yield _Fault("machine-lost", f"a command of the step was killed: {_reason(step, job)}")


# ---- the package and the workflow ----


def _refusal(job: JobRun, step: StepRun, index: IndexRecord) -> _Fault | None:
    """Return the fault if the index or twine refused a request or file of the job, else None."""

    def of_job(requests: tuple[IndexRequest, ...]) -> Iterator[IndexRequest]:
        return (request for request in requests if request.client == job.address)

    for request in of_job(index.exchanges):
        if request.oidc and request.oidc.code:
            answer = f"{request.oidc.code}: {request.oidc.description}"
            message = f"the index refused the identity: {answer}"
            return _Fault("publisher-mismatch", message, {"code": request.oidc.code})
    # The index has the complete reasons. The log of the step has only what twine printed.
    logs = (request.upload for request in of_job(index.uploads))
    if refused := tuple(log.refused for log in logs if log and log.refused):
        return _Fault(_refusal_name(refused[0]), _reason(step, job), {"refused": refused})
    if reason := upload.twine_refusal("\n".join(step.log)):
        return _Fault("upload-refused", reason)
    return None


def _publish_fault(job: JobRun, step: StepRun) -> _Fault:
    """Return the fault of the publish action if neither the index nor twine refused a file."""
    commands = [line.split()[:2] for line in step.log if line.startswith("[command]")]
    match commands[-1] if commands else ():
        case "[command]twine", "check":
            return _Fault("upload-refused", _reason(step, job))
        case "[command]twine", "upload":
            message = f"the upload failed without a refusal by the index: {_reason(step, job)}"
            return _Fault("index-unreachable", message)
    name = "job-failed" if job.permissions.get("id-token") == "write" else "permission-missing"
    return _Fault(name, _reason(step, job))


def _reason(step: StepRun | None, job: JobRun) -> str:
    """Return the first error lines of a log, else its last lines, else the reason of the job."""
    lines = [line for line in (step or job).log if line.strip()]
    errors = [line for line in lines if "::error" in line or line.lower().startswith("error")]
    return " | ".join(errors[:3] or lines[-3:]) or job.reason or "no reason in the log"
