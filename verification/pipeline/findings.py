"""What the rules about the release workflow share: how they make a cause and name a place."""

from __future__ import annotations

from verification.models.cause import Cause, FactValue
from verification.models.workflow import Job, Step, Workflow
from verification.rules.catalogue import catalogue


def cause(name: str, where: str, observed: str, **facts: FactValue) -> Cause:
    """Return a cause of the catalogue; ``facts`` are the values in ``observed``."""
    return catalogue().cause(name, where=where, observed=observed, risk=False, **facts)


def possible_cause(name: str, where: str, observed: str) -> Cause:
    """Return a cause of the catalogue for a fault that is possible and not proven."""
    return catalogue().cause(name, where=where, observed=observed, risk=True)


def place(workflow: Workflow, job: Job, step: Step | None = None) -> str:
    """Return where a job or one of its steps begins: file, line and job."""
    return f"{workflow.at(step.line if step else job.line)} ({job.id})"
