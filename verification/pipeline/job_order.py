"""Check the order of the jobs."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import (
    RunningJob,
    Task,
    Workflow,
)
from verification.pipeline.tasks import all_steps, ends_before, job_key, jobs_with, step_tasks
from verification.pipeline.workflow_causes import cause, possible_cause, step_location


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
