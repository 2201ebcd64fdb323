"""Check the permissions, environments, tokens and credentials of each job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from verification.models.cause import Cause
from verification.models.workflow import Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.workflow_causes import cause, step_location

_LEVELS = ("none", "read", "write")
# A job's own token is no secret that somebody stored; it ends with the job.
_STORED_SECRET = re.compile(r"\bsecrets\b(?!\s*\.\s*GITHUB_TOKEN\b)")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r"\bpypi-[A-Za-z0-9_-]{16,}|\bgh[opsur]_[A-Za-z0-9]{16,}")
_CREDENTIAL_NAMES = re.compile(
    r"(?:TWINE|UV_PUBLISH|FLIT|HATCH_INDEX|POETRY_PYPI_TOKEN|PDM_PUBLISH|PYPI)_?\w*"
    r"(?:TOKEN|PASSWORD|USERNAME|USER|AUTH|PYPI)|PYPI_TOKEN"
)
_CREDENTIAL_INPUTS = {"user", "password"}


def check_permissions(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every permission that a job has without need, or lacks."""
    if workflow.permissions:
        granted = _listed(workflow.permissions)
        where = workflow.at(workflow.lines["permissions"])
        observed = f"grants {granted} to every job of the workflow"
        yield cause("permissions-widened", where, observed, granted=granted)
    for job in workflow.jobs.values():
        yield from _permission_faults(step_location(workflow, job), job, plan.jobs.get(job.id))


def _permission_faults(where: str, job: WorkflowJob, planned: PlannedJob | None) -> Iterator[Cause]:
    needed = planned.permissions if planned else {}
    if job.permissions_from == "default":
        observed = "declares no permissions, and so gets what the repository gives to every job"
        yield cause("permissions-widened", where, observed, job=job.id)
        return
    if job.permissions_from == "workflow" and planned and needed != job.permissions:
        observed = "declares no permissions of its own, and so gets those of the workflow"
        yield cause("permissions-widened", where, observed, job=job.id)
    elif extra := _beyond(job.permissions, needed):
        observed = f"has {_listed(extra)}, and its work needs {_listed(needed)}"
        yield cause("permissions-widened", where, observed, job=job.id, granted=_listed(extra))
    if missing := _beyond(needed, job.permissions):
        observed = f"lacks {_listed(missing)}"
        yield cause("permission-missing", where, observed, job=job.id, missing=_listed(missing))


def check_publisher(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield what makes the index refuse the workflow's identity: its file, its environment."""
    if workflow.path.name != plan.workflow:
        observed = f"is not {plan.workflow}, the workflow that is registered"
        yield cause("publisher-mismatch", workflow.path.name, observed, registered=plan.workflow)
    for job in workflow.jobs.values():
        # The index compares environments without regard to case.
        if job.id == "publish" and (job.environment or "").lower() != plan.environment:
            environment = job.environment or ""
            runs_in = f"the environment {environment}" if environment else "no environment"
            observed = f"runs in {runs_in}, and {plan.environment} is registered"
            where = step_location(workflow, job)
            yield cause("publisher-mismatch", where, observed, environment=environment)
        for step in job.steps:
            url = step.with_.get("repository-url", step.with_.get("repository_url"))
            if url is not None:
                observed = f"uploads to {url}, and the publisher is registered on the default index"
                yield cause("publisher-mismatch", workflow.at(step.line), observed, url=url)


def check_tokens(workflow: Workflow) -> Iterator[Cause]:
    """Yield every place where the workflow takes or holds a token or a password."""
    yield from _variables(workflow.at(1), workflow.env)
    for job in workflow.jobs.values():
        where = workflow.at(job.line)
        yield from _variables(where, job.env)
        yield from _texts(where, (*job.outputs.values(), job.condition or ""))
        for step in job.steps:
            yield from _step_tokens(workflow.at(step.line), step)


def check_credentials(workflow: Workflow) -> Iterator[Cause]:
    """Yield every checkout that leaves the job's token behind for later steps."""
    for job in workflow.jobs.values():
        for step in job.steps_with("actions/checkout"):
            if step.with_.get("persist-credentials") != "false":
                observed = "checks out without `persist-credentials: false`"
                yield cause("credentials-persisted", step_location(workflow, job, step), observed)


def _step_tokens(where: str, step: WorkflowStep) -> Iterator[Cause]:
    yield from _variables(where, step.env)
    yield from _texts(where, (*step.with_.values(), step.run or ""))
    if step.action and "pypi-publish" in step.action:
        for name in sorted(_CREDENTIAL_INPUTS & step.with_.keys()):
            observed = f"publishes with the argument `{name}`"
            yield cause("token-in-workflow", where, observed, input=name)


def _variables(where: str, env: Mapping[str, str]) -> Iterator[Cause]:
    yield from _texts(where, env.values())
    for name in env:
        if _CREDENTIAL_NAMES.fullmatch(name.upper()):
            yield cause("token-in-workflow", where, f"sets the variable {name}", variable=name)


def _texts(where: str, texts: Iterable[str]) -> Iterator[Cause]:
    for text in texts:
        if any(_STORED_SECRET.search(expression) for expression in _EXPRESSION.findall(text)):
            yield cause("token-in-workflow", where, "takes a stored secret")
        if _TOKEN.search(text):
            yield cause("token-in-workflow", where, "holds a token in plain text")


def _beyond(permissions: Mapping[str, str], limit: Mapping[str, str]) -> dict[str, str]:
    """Return the permissions that are above a limit."""
    return {
        scope: level
        for scope, level in permissions.items()
        if _LEVELS.index(level) > _LEVELS.index(limit.get(scope, "none"))
    }


def _listed(permissions: Mapping[str, str]) -> str:
    return ", ".join(f"{scope}: {level}" for scope, level in permissions.items()) or "none"
