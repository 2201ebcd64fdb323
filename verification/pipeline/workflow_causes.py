"""Make the causes of the rules for the release workflow, and the locations of jobs and steps."""

from __future__ import annotations

from verification.models.cause import Cause, FactValue
from verification.models.workflow import Workflow, WorkflowJob, WorkflowStep
from verification.rules.catalogue import catalogue


def cause(name: str, where: str, message: str, **facts: FactValue) -> Cause:
    """Return a cause of the catalogue; ``facts`` are the values in ``message``."""
    return catalogue().cause(name, where, message, risk=False, **facts)


def possible_cause(name: str, where: str, message: str, **facts: FactValue) -> Cause:
    """Return a cause for a possible fault; it has the lower severity of the catalogue entry."""
    return catalogue().cause(name, where, message, risk=True, **facts)


def step_location(workflow: Workflow, job: WorkflowJob, step: WorkflowStep | None = None) -> str:
    """Return the start of a job or of one of its steps as `file:line (job)`."""
    return f"{workflow.location(step.line if step else job.line)} ({job.id})"


def not_evaluated(where: str, reason: str) -> Cause:
    """Return the cause for something that only a run can show. ``reason`` completes "the job"."""
    return cause("not-evaluated", where, reason)
