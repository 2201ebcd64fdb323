"""What of a workflow can run for an event, and the values that are known before the run."""

from __future__ import annotations

from pydantic import JsonValue

from verification.models.workflow import Event, RunningJob, Workflow, WorkflowJob
from verification.pipeline.expressions import (
    BadExpression,
    Context,
    UnknownValue,
    event_context,
    fill,
    holds,
    uses_status,
    with_env,
)

_SYSTEMS = {"ubuntu": "Linux", "windows": "Windows", "macos": "macOS"}
"""The value of `runner.os` by the first part of a runner's label."""


def known_text(text: str, context: Context) -> str | None:
    """Return a text with the values of its expressions; None if one is not known before a run."""
    try:
        return fill(text, context)
    except (BadExpression, UnknownValue):
        return None


def for_event(workflow: Workflow, event: Event, repository: str) -> tuple[Workflow, Context]:
    """Return the part of a workflow that can run for an event, and the context of the event.

    A job that the event skips has no steps. ``repository`` is OWNER/NAME; empty if it is unknown.
    """
    context = event_context(event, workflow, repository)
    return _for_context(workflow, context), context


def _for_context(workflow: Workflow, context: Context) -> Workflow:
    skipped: set[str] = set()
    jobs: dict[str, WorkflowJob] = {}
    pending = dict(workflow.jobs)
    while pending:
        name = next(key for key, job in pending.items() if not pending.keys() & set(job.needs))
        job = pending.pop(name)
        if _may_run(job.condition, context) and not _is_skipped_with(job, skipped):
            jobs[name] = _with_steps(job, context)
        else:
            skipped.add(name)
            jobs[name] = job.model_copy(update={"steps": ()})
    called = {
        name: _without_steps(inner)
        if name in skipped
        else _for_context(inner, _of_call(context, inner))
        for name, inner in workflow.called.items()
    }
    ordered = {name: jobs[name] for name in workflow.jobs}
    return workflow.model_copy(update={"jobs": ordered, "called": called})


def _may_run(condition: str | None, context: Context) -> bool:
    """Return False if the condition of a job or step is known to be false."""
    try:
        return condition is None or holds(condition, context)
    except (BadExpression, UnknownValue):
        return True


def _is_skipped_with(job: WorkflowJob, skipped: set[str]) -> bool:
    """Return whether a job is skipped because it needs a skipped job."""
    if not skipped & set(job.needs):
        return False
    try:
        return job.condition is None or not uses_status(job.condition)
    except BadExpression:
        return False


def _of_call(context: Context, called: Workflow) -> Context:
    """Return the context of a called workflow. Its inputs are not known."""
    return with_env(context.extended(("inputs",), inputs={}), called.env)


def _with_steps(job: WorkflowJob, context: Context) -> WorkflowJob:
    contexts = _combination_contexts(job, context)
    steps = tuple(
        step for step in job.steps if any(_may_run(step.condition, known) for known in contexts)
    )
    return job.model_copy(update={"steps": steps})


def _without_steps(workflow: Workflow) -> Workflow:
    jobs = {name: job.model_copy(update={"steps": ()}) for name, job in workflow.jobs.items()}
    called = {name: _without_steps(inner) for name, inner in workflow.called.items()}
    return workflow.model_copy(update={"jobs": jobs, "called": called})


def job_contexts(running: RunningJob, context: Context) -> tuple[Context, ...]:
    """Return the context of a job for each combination of its matrix.

    ``context`` is that of the event.
    """
    known = _of_call(context, running.workflow) if running.callers else context
    return _combination_contexts(running.job, known)


def _combination_contexts(job: WorkflowJob, context: Context) -> tuple[Context, ...]:
    contexts = []
    combinations = job.combinations or ({},)
    for number, combination in enumerate(combinations):
        label = label_of(job, number)
        system = next((name for prefix, name in _SYSTEMS.items() if label.startswith(prefix)), None)
        runner: JsonValue = {"os": system} if system else {}
        # The combination of a matrix whose values an expression gives is empty.
        unknown = ("runner", *(() if combination else ("matrix",)))
        known = context.extended(unknown, matrix=dict(combination), runner=runner)
        contexts.append(with_env(known, job.env))
    return tuple(contexts)


def label_of(job: WorkflowJob, number: int) -> str:
    """Return the runner's label for a combination of the matrix; empty if there is none."""
    return job.runs_on[min(number, len(job.runs_on) - 1)] if job.runs_on else ""
