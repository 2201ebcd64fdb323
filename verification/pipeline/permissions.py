"""Check the permissions, environments and tokens of each job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from verification.models.cause import Cause
from verification.models.workflow import RunningJob, Workflow, WorkflowJob, WorkflowStep
from verification.models.workflow_call import excess_permissions
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.workflow_causes import cause, step_location

# GITHUB_TOKEN is not a stored secret. It is valid only for its job.
_STORED_SECRET = re.compile(r"\bsecrets\b(?!\s*\.\s*GITHUB_TOKEN\b)")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r"\bpypi-[A-Za-z0-9_-]{16,}|\bgh[opsur]_[A-Za-z0-9]{16,}")
_CREDENTIAL_NAMES = re.compile(
    r"(?:TWINE|UV_PUBLISH|FLIT|HATCH_INDEX|POETRY_PYPI_TOKEN|PDM_PUBLISH|PYPI)_?\w*"
    r"(?:TOKEN|PASSWORD|USERNAME|USER|AUTH|PYPI)|PYPI_TOKEN"
)
_PUBLISH = "pypa/gh-action-pypi-publish"
_CREDENTIAL_INPUTS = ("password", "user")


def check_permissions(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each job with fewer permissions than it needs."""
    for job in workflow.jobs.values():
        planned = plan.jobs.get(job.id)
        needed = planned.permissions if planned else {}
        if missing := excess_permissions(needed, job.permissions):
            message = f"does not have {_listed(missing)}"
            where = step_location(workflow, job)
            yield cause("permission-missing", where, message, job=job.id, missing=_listed(missing))
        yield from _missing_in_call(workflow, job, planned)


def _missing_in_call(
    workflow: Workflow, job: WorkflowJob, planned: PlannedJob | None
) -> Iterator[Cause]:
    """Yield a cause for each required permission that no job of a called workflow has."""
    if planned is None or job.id not in workflow.called:
        return
    granted: dict[str, str] = {}
    for running in workflow.running_jobs_of(job.id):
        granted |= excess_permissions(running.job.permissions, granted)
    missing = excess_permissions(
        excess_permissions(planned.permissions, granted),
        excess_permissions(planned.permissions, job.permissions),
    )
    if missing:
        message = f"calls {job.uses}, but no job of it has {_listed(missing)}"
        where = step_location(workflow, job)
        yield cause("permission-missing", where, message, job=job.id, missing=_listed(missing))


def check_publisher(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield the reasons why the index refuses the identity of the workflow.

    The index finds the publisher by the claim `job_workflow_ref`. This is the file that contains
    the job, not the file that calls it.
    """
    publishing = [running for running in workflow.running_jobs_of("publish") if _publishes(running)]
    if not publishing and workflow.path.name != plan.publisher:
        message = f"is not the registered workflow, {plan.publisher}"
        yield cause("publisher-mismatch", workflow.path.name, message, registered=plan.publisher)
    for running in publishing:
        yield from _publisher_causes(running, plan)
    for file in workflow.files:
        for job in file.jobs.values():
            for step in job.steps:
                yield from _index_fault(file, step)


def _publishes(running: RunningJob) -> bool:
    """Return whether a job can publish. In a called workflow, only a job with `id-token` can."""
    return not running.callers or running.job.permissions.get("id-token") == "write"


def _publisher_causes(running: RunningJob, plan: Plan) -> Iterator[Cause]:
    job, file = running.job, running.workflow
    where = step_location(file, job)
    if other := job.uses or file.origin:
        message = f"is a job of {other}, but the index accepts only workflows of the repository"
        yield cause("publisher-mismatch", where, message, workflow=other)
        return
    if file.path.name != plan.publisher:
        message = f"is a job of {file.path.name}, but the registered workflow is {plan.publisher}"
        facts = {"workflow": file.path.name, "registered": plan.publisher}
        yield cause("publisher-mismatch", where, message, **facts)
    # The index compares environments without regard to case.
    if (job.environment or "").lower() != plan.environment:
        environment = job.environment or ""
        has = f"the environment {environment}" if environment else "no environment"
        message = f"has {has}, but the registered environment is {plan.environment}"
        yield cause("publisher-mismatch", where, message, environment=environment)
    for step in job.steps_with(_PUBLISH) if running.callers else ():
        if inputs_of(step).switch("attestations") != "false":
            message = "publishes attestations without `attestations: false`; their certificates"
            message += f" have the workflow that started, so the index refuses {file.path.name}"
            where = step_location(file, job, step)
            facts = {"workflow": file.path.name, "input": "attestations"}
            yield cause("publisher-mismatch", where, message, **facts)


def _index_fault(workflow: Workflow, step: WorkflowStep) -> Iterator[Cause]:
    inputs = inputs_of(step)
    if inputs.is_set("repository-url"):
        url = inputs.get("repository-url")
        message = f"uploads to {url}, but the publisher is registered on the default index"
        yield cause("publisher-mismatch", workflow.location(step.line), message, url=url)


def check_tokens(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each use of a stored token or password, and each token in the text."""
    yield from _variables(workflow.location(1), workflow.env)
    for job in workflow.jobs.values():
        where = workflow.location(job.line)
        yield from _variables(where, job.env)
        yield from _texts(where, (*job.outputs.values(), job.condition or ""))
        for step in job.steps:
            yield from _step_tokens(workflow.location(step.line), step)


def _step_tokens(where: str, step: WorkflowStep) -> Iterator[Cause]:
    yield from _variables(where, step.env)
    yield from _texts(where, (*step.with_.values(), step.run or ""))
    if step.action and "pypi-publish" in step.action:
        inputs = inputs_of(step)
        for name in _CREDENTIAL_INPUTS:
            if inputs.is_set(name):
                message = f"publishes with the input `{name}`"
                yield cause("token-in-workflow", where, message, input=name)


def _variables(where: str, env: Mapping[str, str]) -> Iterator[Cause]:
    yield from _texts(where, env.values())
    for name in env:
        if _CREDENTIAL_NAMES.fullmatch(name.upper()):
            message = f"sets the variable {name}, which is for credentials"
            yield cause("token-in-workflow", where, message, variable=name)


def _texts(where: str, texts: Iterable[str]) -> Iterator[Cause]:
    for text in texts:
        if any(_STORED_SECRET.search(expression) for expression in _EXPRESSION.findall(text)):
            yield cause("token-in-workflow", where, "uses a stored secret")
        if _TOKEN.search(text):
            yield cause("token-in-workflow", where, "contains a token in plain text")


def _listed(permissions: Mapping[str, str]) -> str:
    return ", ".join(f"{scope}: {level}" for scope, level in permissions.items())
