"""Check the triggers of the workflow, the order of its jobs, conditions, and interruptions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Event, Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.triggers import decide
from verification.pipeline.workflow_causes import cause, step_location

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


def check_triggers(workflow: Workflow, plan: Plan, tag: str) -> Iterator[Cause]:
    """Yield a cause for each version tag that starts no run, and other event that starts one.

    Raises:
        BadWorkflow: a filter is not a valid pattern of GitHub.
    """
    where = workflow.location(workflow.lines["on"])
    for ref in dict.fromkeys([f"refs/tags/{tag}", *plan.starting_refs]):
        if not (decision := decide(workflow, Event(ref=ref))):
            message = f"a push of {ref} does not start the workflow: {decision.reason}"
            yield cause("workflow-not-triggered", where, message, ref=ref)
    for ref in plan.other_refs:
        if decision := decide(workflow, Event(ref=ref, changed=("README.md",))):
            message = f"a push of {ref} starts the workflow: {decision.reason}"
            yield cause("untrusted-trigger", where, message, ref=ref)
    for event, trigger in workflow.on.items():
        if event != "push":
            message = f"the event {event} also starts the workflow"
            yield cause("untrusted-trigger", workflow.location(trigger.line), message, event=event)
    for file in workflow.files[1:]:
        for event, trigger in file.on.items():
            if event != "workflow_call":
                message = f"the event {event} also starts the called workflow"
                yield cause("untrusted-trigger", file.location(trigger.line), message, event=event)


def check_order(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each job that is missing, or that waits for too few or too many jobs."""
    for name, planned in plan.jobs.items():
        if job := workflow.jobs.get(name):
            yield from _order_causes(workflow, job, planned, plan)
        else:
            message = f"has no job {name!r}; its jobs are {', '.join(workflow.jobs)}"
            yield cause("job-missing", workflow.path.name, message, job=name)


def _order_causes(
    workflow: Workflow, job: WorkflowJob, planned: PlannedJob, plan: Plan
) -> Iterator[Cause]:
    before = workflow.jobs_before(job.id)
    where = step_location(workflow, job)
    allowed = {*planned.after, *(before - plan.jobs.keys())}
    independent = set(planned.independent_of)
    if missing := [name for name in planned.after if name in workflow.jobs.keys() - before]:
        message = f"does not wait for {', '.join(missing)}"
        yield cause("job-order", where, message, job=job.id, other=tuple(missing))
    if later := sorted(before - allowed - independent):
        message = f"waits for {', '.join(later)}, but must run first"
        yield cause("job-order", where, message, job=job.id, other=tuple(later))
    if dependent := sorted(before & independent):
        message = f"waits for {', '.join(dependent)}, but must run independently"
        yield cause("job-order", where, message, job=job.id, other=tuple(dependent))


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
