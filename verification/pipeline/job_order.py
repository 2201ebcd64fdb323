"""Check what starts the workflow, the order of its jobs, and what could interrupt a run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Event, Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.triggers import decide
from verification.pipeline.workflow_causes import cause, step_location

# Conditions that hold in any case where a tag starts the workflow and all before has passed.
_HARMLESS = {
    "success()",
    "true",
    "github.event_name=='push'",
    "github.ref_type=='tag'",
    "startsWith(github.ref,'refs/tags/')",
    "startsWith(github.ref,'refs/tags/v')",
}
_REGARDLESS = re.compile(r"\b(?:always|failure|cancelled)\s*\(")
_OWN_GROUP = re.compile(r"github\.(?:ref|ref_name|run_id|sha)\b")


def check_triggers(workflow: Workflow, plan: Plan, tag: str) -> Iterator[Cause]:
    """Yield what keeps a version tag from starting the workflow, and what else starts it.

    Raises:
        BadWorkflow: if a filter is none that GitHub takes.
    """
    where = workflow.at(workflow.lines["on"])
    for ref in dict.fromkeys([f"refs/tags/{tag}", *plan.starting_refs]):
        if not (decision := decide(workflow, Event(ref=ref))):
            observed = f"is not started by {ref}: {decision.reason}"
            yield cause("workflow-not-triggered", where, observed, ref=ref)
    for ref in plan.other_refs:
        if decision := decide(workflow, Event(ref=ref, changed=("README.md",))):
            observed = f"is started by {ref}: {decision.reason}"
            yield cause("untrusted-trigger", where, observed, ref=ref)
    for event, trigger in workflow.on.items():
        if event != "push":
            observed = f"is started by {event} as well"
            yield cause("untrusted-trigger", workflow.at(trigger.line), observed, event=event)
    for file in workflow.files[1:]:
        for event, trigger in file.on.items():
            if event != "workflow_call":
                observed = f"is called, and is started by {event} as well"
                yield cause("untrusted-trigger", file.at(trigger.line), observed, event=event)


def check_order(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every job that is missing, or does not wait for what it must."""
    for name, planned in plan.jobs.items():
        if job := workflow.jobs.get(name):
            yield from _order_faults(workflow, job, planned, plan)
        else:
            observed = f"has no job {name!r}; its jobs are {', '.join(workflow.jobs)}"
            yield cause("job-missing", workflow.path.name, observed, job=name)


def _order_faults(
    workflow: Workflow, job: WorkflowJob, planned: PlannedJob, plan: Plan
) -> Iterator[Cause]:
    before = workflow.before(job.id)
    where = step_location(workflow, job)
    required = {*planned.after, *(before - plan.jobs.keys())}
    apart = set(planned.independent_of)
    if missing := [name for name in planned.after if name in workflow.jobs.keys() - before]:
        observed = f"does not wait for {', '.join(missing)}"
        yield cause("job-order", where, observed, job=job.id, other=tuple(missing))
    if early := sorted(before - required - apart):
        observed = f"waits for {', '.join(early)}, which comes after it"
        yield cause("job-order", where, observed, job=job.id, other=tuple(early))
    if joined := sorted(before & apart):
        observed = f"waits for {', '.join(joined)}, beside which it must run"
        yield cause("job-order", where, observed, job=job.id, other=tuple(joined))


def check_conditions(workflow: Workflow) -> Iterator[Cause]:
    """Yield every job and step that could be left out, or could run after a failure."""
    for job in workflow.jobs.values():
        yield from _condition_faults(step_location(workflow, job), "the job", job)
        for step in job.steps:
            yield from _condition_faults(step_location(workflow, job, step), "a step", step)


def _condition_faults(where: str, what: str, part: WorkflowJob | WorkflowStep) -> Iterator[Cause]:
    condition, lenient = part.condition, part.continue_on_error
    if condition is not None and not _harmless(condition):
        if _REGARDLESS.search(condition):
            name, when = "job-order", "whatever happened before"
        else:
            name, when = "job-skipped", "only on a condition"
        observed = f"lets {what} run {when}: if: {condition}"
        yield cause(name, where, observed, condition=condition)
    if lenient not in (None, "false"):
        observed = f"lets {what} fail and the run pass: continue-on-error: {lenient}"
        yield cause("failure-ignored", where, observed)


def check_interruption(workflow: Workflow) -> Iterator[Cause]:
    """Yield what lets a later run end a release that has begun, or one that waits."""
    groups = [workflow.concurrency, *(job.concurrency for job in workflow.jobs.values())]
    for group in filter(None, groups):
        where, cancels = workflow.at(group.line), group.cancel_in_progress
        if cancels != "false":
            observed = f"has `cancel-in-progress: {cancels}`"
            yield cause("release-interrupted", where, observed, group=group.group)
        elif not _OWN_GROUP.search(group.group):
            one_group = f"has one group for all tags ({group.group})"
            observed = f"{one_group}: of two that wait, one is dropped"
            yield cause("release-interrupted", where, observed, group=group.group)


def _harmless(condition: str) -> bool:
    inner = condition.strip()
    if inner.startswith("${{") and inner.endswith("}}"):
        inner = inner[3:-2]
    return re.sub(r"\s+", "", inner) in _HARMLESS
