"""Check the steps of a workflow: allowed actions, and programs that a step installs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from verification.models.cause import Cause
from verification.models.workflow import RunningJob, Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.workflow_causes import cause, possible_cause, step_location

_INSTALL = re.compile(
    r"\b(?:pip3?|pipx|uv(?:\s+(?:pip|tool))?|npm|yarn|gem|cargo|conda|apt(?:-get)?|choco|brew)"
    r"\s+(?:-\S+\s+)*(?:install|add|ci|run|i)\b"
    r"|\b(?:uvx|npx)\s|\b(?:curl|wget)\b"
)
_MAY_CALL = "publish"
"""The job that may call a workflow of the repository. The rules then check the called jobs."""
_BUILD = "pypa/cibuildwheel"
_LOCKED = re.compile(r"--require-hashes|--locked|\bnpm\s+ci\b|==[\w.]+")


def check_actions(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each unplanned job, action, script or image, and each missing step."""
    for job in workflow.jobs.values():
        where = step_location(workflow, job)
        planned = plan.jobs.get(job.id)
        if planned is None:
            message = f"is not a planned job; the planned jobs are {', '.join(plan.jobs)}"
            yield cause("unknown-job", where, message, job=job.id)
        if job.uses and (job.id != _MAY_CALL or job.id not in workflow.called):
            message = f"calls the workflow {job.uses}, which is not allowed"
            yield cause("unknown-action", where, message, workflow=job.uses)
        running_jobs = workflow.running_jobs_of(job.id)
        for running in running_jobs:
            yield from _images(running)
            if planned:
                yield from _unplanned_steps(running.workflow, running.job, planned)
        steps = [step for running in running_jobs for step in running.job.steps]
        if planned and not any(running.job.uses for running in running_jobs):
            yield from _missing_step(where, steps, planned)


def _images(running: RunningJob) -> Iterator[Cause]:
    for image in running.job.containers:
        message = f"uses the container image {image}"
        where = step_location(running.workflow, running.job)
        yield cause("unknown-action", where, message, image=image)


def _unplanned_steps(workflow: Workflow, job: WorkflowJob, planned: PlannedJob) -> Iterator[Cause]:
    for step in job.steps:
        where = step_location(workflow, job, step)
        if step.action and step.action not in planned.all_actions:
            allowed = ", ".join(sorted(planned.all_actions))
            message = f"uses {step.action}, but the plan allows only {allowed}"
            yield cause("unknown-action", where, message, action=step.action)
        if planned.action and step.run is not None:
            message = "runs a script, but this job must use only actions"
            yield cause("unknown-action", where, message)


def _missing_step(
    where: str, steps: Iterable[WorkflowStep], planned: PlannedJob
) -> Iterator[Cause]:
    if planned.action and all(step.action != planned.action for step in steps):
        message = f"has no step that uses {planned.action}"
        yield cause("step-missing", where, message, action=planned.action)
    elif not planned.action and all(step.run is None for step in steps):
        yield cause("step-missing", where, "has no step with a command")


def check_installs(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each unpinned installation, and for code in the job that can publish.

    The linters know neither installations with pip nor which job needs the identity token.
    """
    for job in workflow.jobs.values():
        trusted = job.permissions.get("id-token") == "write"
        for step in job.steps:
            where = step_location(workflow, job, step)
            unlocked = [
                line.strip()
                for line in (step.run or "").splitlines()
                if _INSTALL.search(line) and not _LOCKED.search(line)
            ]
            if unlocked:
                message = f"installs the newest version: {unlocked[0]}"
                yield (cause if trusted else possible_cause)("unpinned-install", where, message)
            elif trusted and step.action == _BUILD:
                message = "builds the package in a job that can request the identity token"
                yield cause("identity-exposed", where, message)
            elif trusted and step.run is not None:
                message = "runs a script in a job that can request the identity token"
                yield possible_cause("identity-exposed", where, message)
