"""Check the actions of a workflow: allowed actions, pinned commits, installations, runners."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from verification.models.cause import Cause
from verification.models.workflow import RunningJob, Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.workflow_causes import cause, possible_cause, step_location

_COMMIT = re.compile(r"[0-9a-f]{40}")
_INSTALL = re.compile(
    r"\b(?:pip3?|pipx|uv(?:\s+(?:pip|tool))?|npm|yarn|gem|cargo|conda|apt(?:-get)?|choco|brew)"
    r"\s+(?:-\S+\s+)*(?:install|add|ci|run|i)\b"
    r"|\b(?:uvx|npx)\s|\b(?:curl|wget)\b"
)
_MAY_CALL = "publish"
"""The job that may call a workflow of the repository. The rules then check the called jobs."""
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


def check_pins(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each action without a pin, or with a commit of another version."""
    for job in workflow.jobs.values():
        for step in job.steps:
            if step.uses and not step.uses.startswith("./"):
                yield from _pin_causes(step_location(workflow, job, step), step, plan)


def _pin_causes(where: str, step: WorkflowStep, plan: Plan) -> Iterator[Cause]:
    action, _, ref = (step.uses or "").partition("@")
    if not _COMMIT.fullmatch(ref):
        version = f"@{ref}, which can change" if ref else " without a version"
        message = f"uses {action}{version}; only a full commit hash is fixed"
        yield cause("unpinned-action", where, message, action=action, ref=ref)
        return
    pin = plan.pin(action)
    if pin is None:
        return  # check_actions reports an action that is not planned
    version = step.comment.partition(" ")[0]
    facts = {"action": action, "ref": ref, "version": version}
    if ref != pin.commit:
        message = f"uses {action}@{ref}, but {pin.version} is the commit {pin.commit}"
        yield cause("pin-mismatch", where, message, **facts)
    elif version != pin.version:
        comment = f"the comment {version}" if version else "no version comment"
        message = f"has {comment}, but the commit of {action} is {pin.version}"
        yield cause("pin-mismatch", where, message, **facts)


def check_installs(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each unpinned installation, and each script with an identity token."""
    for job in workflow.jobs.values():
        trusted = job.permissions.get("id-token") == "write"
        for step in job.steps:
            if step.run is None:
                continue
            where = step_location(workflow, job, step)
            unlocked = [
                line.strip()
                for line in step.run.splitlines()
                if _INSTALL.search(line) and not _LOCKED.search(line)
            ]
            if unlocked:
                message = f"installs the newest version: {unlocked[0]}"
                yield (cause if trusted else possible_cause)("unpinned-install", where, message)
            elif trusted:
                message = "runs a script in a job that can request the identity token"
                yield cause("unpinned-install", where, message)


def check_runners(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each job that does not run on a fresh runner of GitHub."""
    for job in workflow.jobs.values():
        for label in job.runs_on:
            if not any(label.startswith(f"{system}-") for system in plan.runners):
                known = ", ".join(f"{system}-*" for system in plan.runners)
                message = f"runs on {label}, but only {known} are allowed"
                yield cause("unknown-runner", step_location(workflow, job), message, label=label)
