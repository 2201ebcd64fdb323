"""Check the triggers of the workflow, the order of its jobs, conditions, and interruptions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import (
    Event,
    RunningJob,
    Task,
    Workflow,
    WorkflowJob,
    WorkflowStep,
)
from verification.pipeline.tasks import all_steps, ends_before, job_key, jobs_with, step_tasks
from verification.pipeline.triggers import decide
from verification.pipeline.workflow_causes import cause, possible_cause, step_location

# Conditions that are always true if a tag started the workflow and all earlier jobs passed.
_HARMLESS = {
    "success()",
    "true",
    "github.event_name=='push'",
    "github.ref_type=='tag'",
    "startsWith(github.ref,'refs/tags/')",
    "startsWith(github.ref,'refs/tags/v')",
}
_REGARDLESS = re.compile(r"\b(?:always|failure|cancelled)\s*\(")
_GROUP_OF_RUN = re.compile(r"github\.(?:ref|ref_name|run_id|sha)\b")


def check_triggers(workflow: Workflow, event: Event) -> Iterator[Cause]:
    """Yield a cause if the event of the release starts no run.

    Raises:
        BadWorkflow: a filter is not a valid pattern of GitHub.
    """
    where = workflow.location(workflow.lines["on"])
    if not (decision := decide(workflow, event)):
        message = f"{event.name} of {event.ref} does not start the workflow: {decision.reason}"
        yield cause("workflow-not-triggered", where, message, ref=event.ref)


def check_order(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each job that publishes or makes the release page too early.

    The order of the steps decides in a job that also builds. The rules for the transfer of files
    (`verification.pipeline.wheel_transfer`) check which artifacts a job waits for.
    """
    builds, checks = jobs_with(workflow, "build"), jobs_with(workflow, "check-version")
    for running in jobs_with(workflow, "publish"):
        yield from _too_early(workflow, running, builds, "publish")
    for running in jobs_with(workflow, "merge"):
        if not any(ends_before(workflow, build, running) for build in builds) and builds:
            yield _early(running, "does not wait for a job that builds", builds)
    late = (*jobs_with(workflow, "publish"), *jobs_with(workflow, "create-release"))
    for running in {job_key(running): running for running in late}.values():
        if checks and not any(
            check == running or ends_before(workflow, check, running) for check in checks
        ):
            names = ", ".join(check.id for check in checks)
            where = step_location(running.workflow, running.job)
            message = f"does not wait for the check of the version ({names})"
            yield possible_cause("job-order", where, message, job=running.id)


def _too_early(
    workflow: Workflow, running: RunningJob, builds: tuple[RunningJob, ...], task: Task
) -> Iterator[Cause]:
    if not builds or any(ends_before(workflow, build, running) for build in builds):
        return
    if running not in builds:
        yield _early(running, "does not wait for a job that builds", builds)
        return
    steps = list(all_steps(running.job.steps))
    first = next(n for n, step in enumerate(steps) if "build" in step_tasks(step))
    last = max(n for n, step in enumerate(steps) if task in step_tasks(step))
    if last < first:
        yield _early(running, "publishes before it builds", builds)


def _early(running: RunningJob, message: str, others: tuple[RunningJob, ...]) -> Cause:
    where = step_location(running.workflow, running.job)
    names = tuple(dict.fromkeys(other.id for other in others))
    return cause("job-order", where, message, job=running.id, other=names)


def check_conditions(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each job or step that may be skipped, run after a failure, or fail."""
    for job in workflow.jobs.values():
        yield from _condition_causes(step_location(workflow, job), "the job", job)
        for step in job.steps:
            yield from _condition_causes(step_location(workflow, job, step), "a step", step)


def _condition_causes(where: str, what: str, part: WorkflowJob | WorkflowStep) -> Iterator[Cause]:
    """Yield the causes of a job or step; ``what`` is its kind for the message."""
    condition, lenient = part.condition, part.continue_on_error
    if condition is not None and not _harmless(condition):
        if _REGARDLESS.search(condition):
            name, effect = "job-order", "may run after a failure"
        else:
            name, effect = "job-skipped", "may be skipped"
        yield cause(name, where, f"{what} {effect}: `if: {condition}`", condition=condition)
    if lenient not in (None, "false"):
        message = f"{what} may fail without a failed run: `continue-on-error: {lenient}`"
        yield cause("failure-ignored", where, message)


def check_interruption(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each concurrency group in which a run ends an earlier or waiting one."""
    groups = [workflow.concurrency, *(job.concurrency for job in workflow.jobs.values())]
    for group in filter(None, groups):
        where, cancels = workflow.location(group.line), group.cancel_in_progress
        if cancels != "false":
            message = f"has `cancel-in-progress: {cancels}`, so a later run may end this one"
            yield cause("release-interrupted", where, message, group=group.group)
        elif not _GROUP_OF_RUN.search(group.group):
            message = f"has one group for all tags ({group.group}), and GitHub keeps only one"
            message += " waiting run of a group"
            yield cause("release-interrupted", where, message, group=group.group)


def _harmless(condition: str) -> bool:
    inner = condition.strip()
    if inner.startswith("${{") and inner.endswith("}}"):
        inner = inner[3:-2]
    return re.sub(r"\s+", "", inner) in _HARMLESS
