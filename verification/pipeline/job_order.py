"""Check the order of the jobs."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.workflow import Workflow, WorkflowJob
from verification.pipeline.plan import Plan, PlannedJob
from verification.pipeline.workflow_causes import cause, step_location


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
