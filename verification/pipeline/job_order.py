"""The course of a run: what starts it, in which order jobs go, and what could cut it short."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Workflow
from verification.pipeline.plan import Plan
from verification.pipeline.triggers import Event, decide
from verification.rules.catalogue import catalogue

# Conditions that say what holds anyway where a tag starts the workflow and all before has passed.
_HARMLESS = {
    "success()",
    "true",
    "github.event_name=='push'",
    "github.ref_type=='tag'",
    "startsWith(github.ref,'refs/tags/')",
    "startsWith(github.ref,'refs/tags/v')",
}
_REGARDLESS = re.compile(r"\b(?:always|failure|cancelled)\s*\(")
_RUN_S_OWN = re.compile(r"github\.(?:ref|ref_name|run_id|sha)\b")


def start(workflow: Workflow, plan: Plan, tag: str) -> Iterator[Cause]:
    """Yield what keeps a version tag from starting the workflow, and what else starts it.

    Raises:
        BadWorkflow: if a filter is none that GitHub takes.
    """
    where = workflow.at(workflow.lines["on"])
    for ref in dict.fromkeys([f"refs/tags/{tag}", *plan.starts]):
        if not (decision := decide(workflow, Event(ref=ref))):
            seen = f"is not started by {ref}: {decision.reason}"
            yield catalogue().cause("workflow-not-triggered", where=where, seen=seen)
    for ref in plan.stays:
        if decision := decide(workflow, Event(ref=ref, changed=("README.md",))):
            seen = f"is started by {ref}: {decision.reason}"
            yield catalogue().cause("untrusted-trigger", where=where, seen=seen)
    for event, trigger in workflow.on.items():
        if event != "push":
            where = workflow.at(trigger.line)
            seen = f"is started by {event} as well"
            yield catalogue().cause("untrusted-trigger", where=where, seen=seen)


def order(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield every job that is missing, or does not wait for what it must."""
    for planned in plan.jobs.values():
        if planned.id not in workflow.jobs:
            seen = f"has no job {planned.id!r}; its jobs are {', '.join(workflow.jobs)}"
            yield catalogue().cause("job-missing", where=workflow.path.name, seen=seen)
            continue
        before = workflow.before(planned.id)
        where = f"{workflow.at(workflow.jobs[planned.id].line)} ({planned.id})"
        if lacking := [job for job in planned.after if job in workflow.jobs and job not in before]:
            seen = f"does not wait for {', '.join(lacking)}"
            yield catalogue().cause("job-order", where=where, seen=seen)
        allowed = {*planned.after, *(before - plan.jobs.keys())}
        if early := sorted(before - allowed - set(planned.apart)):
            seen = f"waits for {', '.join(early)}, which comes after it"
            yield catalogue().cause("job-order", where=where, seen=seen)
        if joined := sorted(before & set(planned.apart)):
            seen = f"waits for {', '.join(joined)}, beside which it must run"
            yield catalogue().cause("job-order", where=where, seen=seen)


def conditions(workflow: Workflow) -> Iterator[Cause]:
    """Yield every job and step that could be left out, or could run after a failure."""
    for job in workflow.jobs.values():
        parts = [(job.line, "the job", job.condition, job.continue_on_error)]
        parts += [
            (step.line, "a step", step.condition, step.continue_on_error) for step in job.steps
        ]
        for line, what, condition, lenient in parts:
            where = f"{workflow.at(line)} ({job.id})"
            if condition is not None and not _harmless(condition):
                if _REGARDLESS.search(condition):
                    seen = f"lets {what} run whatever happened before: if: {condition}"
                    yield catalogue().cause("job-order", where=where, seen=seen)
                else:
                    seen = f"lets {what} run only on a condition: if: {condition}"
                    yield catalogue().cause("job-skipped", where=where, seen=seen)
            if lenient not in (None, "false"):
                seen = f"lets {what} fail and the run pass: continue-on-error: {lenient}"
                yield catalogue().cause("failure-ignored", where=where, seen=seen)


def interruption(workflow: Workflow) -> Iterator[Cause]:
    """Yield what lets a later run end a release that has begun, or one that waits."""
    places = [workflow.concurrency, *(job.concurrency for job in workflow.jobs.values())]
    for place in filter(None, places):
        where = workflow.at(place.line)
        if place.cancel_in_progress != "false":
            seen = f"has `cancel-in-progress: {place.cancel_in_progress}`"
            yield catalogue().cause("release-interrupted", where=where, seen=seen)
        elif not _RUN_S_OWN.search(place.group):
            seen = f"has one group for all tags ({place.group}): of two that wait, one is dropped"
            yield catalogue().cause("release-interrupted", where=where, seen=seen)


def _harmless(condition: str) -> bool:
    inner = condition.strip()
    if inner.startswith("${{") and inner.endswith("}}"):
        inner = inner[3:-2]
    return re.sub(r"\s+", "", inner) in _HARMLESS
