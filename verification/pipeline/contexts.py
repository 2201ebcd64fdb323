"""Find the jobs and steps that can run for an event, and the values that are known before it."""

from __future__ import annotations

from typing import TypeAlias

from verification.models.workflow import Event, RunningJob, Workflow, WorkflowJob
from verification.pipeline.evaluated_jobs import EvaluatedJob, evaluate_jobs, runner_labels
from verification.pipeline.expressions import BadExpression, Context, UnknownValue, fill
from verification.pipeline.tasks import job_key

Runs: TypeAlias = tuple[EvaluatedJob, ...]
"""The jobs of a run, with what is known of their values."""


def known_text(text: str, context: Context) -> str | None:
    """Return a text with the values of its expressions; None if one is not known before a run."""
    try:
        return fill(text, context)
    except (BadExpression, UnknownValue):
        return None


def for_event(workflow: Workflow, event: Event, repository: str) -> tuple[Workflow, Runs]:
    """Return the part of a workflow that can run for an event, and its jobs with their values.

    A job that the event skips has no steps. ``repository`` is OWNER/NAME; empty if it is unknown.

    Raises:
        BadWorkflow: a condition fails when it is evaluated.
    """
    runs = evaluate_jobs(workflow, event, repository)
    return _that_can_run(workflow, runs, ()), runs


def _that_can_run(workflow: Workflow, runs: Runs, callers: tuple[str, ...]) -> Workflow:
    jobs = {
        name: _job_that_can_run(job, [run for run in runs if run.key == (*callers, name)])
        for name, job in workflow.jobs.items()
    }
    called = {
        name: _that_can_run(inner, runs, (*callers, name))
        for name, inner in workflow.called.items()
    }
    return workflow.model_copy(update={"jobs": jobs, "called": called})


def _job_that_can_run(job: WorkflowJob, runs: list[EvaluatedJob]) -> WorkflowJob:
    """Return a job with the steps that can run in one of its runs."""
    can_run = {
        number
        for run in runs
        if run.decided.runs is not False
        for number, (_, decided) in enumerate(run.steps())
        if decided.runs is not False
    }
    steps = tuple(step for number, step in enumerate(job.steps) if number in can_run)
    return job.model_copy(update={"steps": steps})


def job_contexts(running: RunningJob, runs: Runs) -> tuple[Context, ...]:
    """Return the contexts of a job: one for each combination of its matrix, or an empty one."""
    contexts = [context for _, context in job_combinations(running, runs)]
    return tuple(contexts) or (Context(),)


def job_combinations(running: RunningJob, runs: Runs) -> tuple[tuple[str, Context], ...]:
    """Return the label of the runner and the context for each combination of a job's matrix.

    The label is empty if it is not known. A matrix that is not known counts as two combinations.
    """
    combinations: list[tuple[str, Context]] = []
    for run in runs:
        if run.key == job_key(running) and run.decided.runs is not False:
            contexts = run.combination_contexts()
            combinations += [
                (known_label(run.job, n, context), context) for n, context in enumerate(contexts)
            ]
            if run.job.matrix is not None and len(contexts) == 1:
                combinations.append(combinations[-1])
    return tuple(combinations)


def known_label(job: WorkflowJob, number: int, context: Context) -> str:
    """Return the label of the runner for a combination of the matrix; empty if it is not known."""
    try:
        return runner_labels(job, number, context)
    except (BadExpression, UnknownValue):
        return ""
