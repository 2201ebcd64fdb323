"""What each job is given: permissions, the environment, tokens, credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Job, Step, Workflow
from verification.pipeline.plan import Plan
from verification.rules.catalogue import catalogue

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


def permissions(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every permission that a job has without need, or lacks."""
    if workflow.permissions:
        granted = _told(workflow.permissions)
        yield catalogue().cause(
            "permissions-widened",
            where=workflow.at(workflow.lines["permissions"]),
            seen=f"grants {granted} to every job of the workflow",
        )
    for job in workflow.jobs.values():
        planned = plan.jobs.get(job.id)
        wanted = planned.permissions if planned else {}
        where = f"{workflow.at(job.line)} ({job.id})"
        if job.permissions_from == "default":
            seen = "declares no permissions, and so gets what the repository gives to every job"
            yield catalogue().cause("permissions-widened", where=where, seen=seen)
            continue
        if job.permissions_from == "workflow" and planned and wanted != job.permissions:
            seen = "declares no permissions of its own, and so gets those of the workflow"
            yield catalogue().cause("permissions-widened", where=where, seen=seen)
        elif more := _beyond(job.permissions, wanted):
            seen = f"has {_told(more)}, and its work needs {_told(wanted)}"
            yield catalogue().cause("permissions-widened", where=where, seen=seen)
        if lacking := _beyond(wanted, job.permissions):
            seen = f"lacks {_told(lacking)}"
            yield catalogue().cause("permission-missing", where=where, seen=seen)


def publisher(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield what makes the index refuse the workflow's identity: its file, its environment."""
    if workflow.path.name != plan.workflow:
        seen = f"is not {plan.workflow}, the workflow that is registered"
        yield catalogue().cause("publisher-mismatch", where=workflow.path.name, seen=seen)
    for job in workflow.jobs.values():
        where = f"{workflow.at(job.line)} ({job.id})"
        # The index compares environments without regard to case.
        if job.id == "publish" and (job.environment or "").lower() != plan.environment:
            told = f"the environment {job.environment}" if job.environment else "no environment"
            seen = f"runs in {told}, and {plan.environment} is registered"
            yield catalogue().cause("publisher-mismatch", where=where, seen=seen)
        for step in job.steps:
            url = step.with_.get("repository-url", step.with_.get("repository_url"))
            if url is not None:
                seen = f"uploads to {url}, and the publisher is registered on the default index"
                where = workflow.at(step.line)
                yield catalogue().cause("publisher-mismatch", where=where, seen=seen)


def tokens(workflow: Workflow) -> Iterator[Cause]:
    """Yield every place where the workflow takes or holds a token or a password."""
    yield from _variables(workflow, workflow.env, 1)
    for job in workflow.jobs.values():
        yield from _variables(workflow, job.env, job.line)
        yield from _texts(workflow, (*job.outputs.values(), job.condition or ""), job.line)
        for step in job.steps:
            yield from _step_tokens(workflow, step)


def credentials(workflow: Workflow) -> Iterator[Cause]:
    """Yield every checkout that leaves the job's token behind for later steps."""
    for job in workflow.jobs.values():
        for step in _checkouts(job):
            if step.with_.get("persist-credentials") != "false":
                yield catalogue().cause(
                    "credentials-persisted",
                    where=f"{workflow.at(step.line)} ({job.id})",
                    seen="checks out without `persist-credentials: false`",
                )


def _step_tokens(workflow: Workflow, step: Step) -> Iterator[Cause]:
    yield from _variables(workflow, step.env, step.line)
    yield from _texts(workflow, (*step.with_.values(), step.run or ""), step.line)
    if step.action and "pypi-publish" in step.action:
        for name in sorted(_CREDENTIAL_INPUTS & step.with_.keys()):
            yield catalogue().cause(
                "token-in-workflow",
                where=workflow.at(step.line),
                seen=f"publishes with the argument `{name}`",
            )


def _variables(workflow: Workflow, env: dict[str, str], line: int) -> Iterator[Cause]:
    yield from _texts(workflow, tuple(env.values()), line)
    for name in env:
        if _CREDENTIAL_NAMES.fullmatch(name.upper()):
            yield catalogue().cause(
                "token-in-workflow", where=workflow.at(line), seen=f"sets the variable {name}"
            )


def _texts(workflow: Workflow, texts: tuple[str, ...], line: int) -> Iterator[Cause]:
    for text in texts:
        if any(_STORED_SECRET.search(expression) for expression in _EXPRESSION.findall(text)):
            seen = "takes a stored secret"
            yield catalogue().cause("token-in-workflow", where=workflow.at(line), seen=seen)
        if _TOKEN.search(text):
            seen = "holds a token in plain text"
            yield catalogue().cause("token-in-workflow", where=workflow.at(line), seen=seen)


def _checkouts(job: Job) -> Iterator[Step]:
    return (step for step in job.steps if step.action == "actions/checkout")


def _beyond(have: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    return {
        scope: level
        for scope, level in have.items()
        if _LEVELS.index(level) > _LEVELS.index(wanted.get(scope, "none"))
    }


def _told(permissions: dict[str, str]) -> str:
    return ", ".join(f"{scope}: {level}" for scope, level in permissions.items()) or "none"
