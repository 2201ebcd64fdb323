"""A GitHub workflow: its triggers and its jobs.

Expressions are not evaluated. Only the combinations of a matrix are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import JsonValue

from verification.models.base import Model
from verification.models.errors import WrongUse

Combination: TypeAlias = Mapping[str, JsonValue]
"""One combination of the values of a matrix, by the names of its axes."""

SCOPES = (
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "contents",
    "deployments",
    "discussions",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
)
"""What a job's token can be given ("Permissions for the GITHUB_TOKEN")."""


class BadWorkflow(WrongUse):
    """The file is no workflow that GitHub would run, or has what is not understood here.

    The message is one line and begins with the file and the line in it.
    """


class Pattern(Model):
    """One line of a filter."""

    text: str
    line: int


class Trigger(Model):
    """One event that starts the workflow, with the filters that it takes."""

    event: str
    filters: Mapping[str, tuple[Pattern, ...]]
    line: int


class Concurrency(Model):
    """Which runs, or jobs, exclude one another; and whether a new one ends the old."""

    group: str
    cancel_in_progress: str  # true, false or an expression
    line: int


class WorkflowStep(Model):
    """One step of a job."""

    id: str | None
    name: str | None
    uses: str | None
    with_: Mapping[str, str]
    run: str | None
    shell: str | None
    env: Mapping[str, str]
    condition: str | None
    continue_on_error: str | None
    working_directory: str | None
    line: int
    comment: str = ""  # what stands behind `uses`, by custom the version that the hash is of

    @property
    def action(self) -> str | None:
        """The action's name without its version: `owner/repository[/path]`."""
        return self.uses.partition("@")[0] if self.uses else None


class WorkflowJob(Model):
    """One job, with what it is really given."""

    id: str
    name: str
    needs: tuple[str, ...]
    permissions: Mapping[str, str]
    """What its token can do: the job's own block, else the workflow's, else the default."""
    permissions_from: Literal["job", "workflow", "default"]
    environment: str | None
    runs_on: tuple[str, ...]
    """The label of each runner, one for each combination of the matrix."""
    combinations: tuple[Combination, ...]
    condition: str | None
    continue_on_error: str | None
    concurrency: Concurrency | None
    outputs: Mapping[str, str]
    env: Mapping[str, str]
    defaults: Mapping[str, str]
    """What its scripts have where they say nothing: `shell`, `working-directory`."""
    containers: tuple[str, ...]
    """The image it runs in, and those of its services."""
    uses: str | None
    steps: tuple[WorkflowStep, ...]
    line: int

    def steps_with(self, action: str) -> tuple[WorkflowStep, ...]:
        """Return the steps that use an action, named as `Step.action`."""
        return tuple(step for step in self.steps if step.action == action)


class Workflow(Model):
    """A workflow file."""

    path: Path
    name: str
    on: Mapping[str, Trigger]
    permissions: Mapping[str, str] | None
    """The workflow-level grants; None where the file has no such block."""
    concurrency: Concurrency | None
    env: Mapping[str, str]
    jobs: Mapping[str, WorkflowJob]
    lines: Mapping[str, int]
    """Where each key of the workflow stands."""
    origin: str = ""
    """The origin of a workflow of another repository: OWNER/NAME/.github/workflows/FILE@REF, with
    the full ref. Empty for a workflow of the repository itself."""
    called: Mapping[str, Workflow] = {}
    """The workflow that each job with `uses` calls, if it could be read
    (`verification.models.workflow_call`)."""

    def before(self, job: str) -> frozenset[str]:
        """Return the jobs that have passed when this one starts."""
        before: set[str] = set()
        pending = list(self.jobs[job].needs)
        while pending:
            if (name := pending.pop()) not in before:
                before.add(name)
                pending += self.jobs[name].needs
        return frozenset(before)

    @property
    def running_jobs(self) -> tuple[RunningJob, ...]:
        """The jobs that a run executes, in order. The jobs of a called workflow replace the call.

        A call whose workflow could not be read is listed as the job itself, with its `uses`.
        """
        jobs: list[RunningJob] = []
        for job in self.jobs.values():
            called = self.called.get(job.id)
            if called is None:
                jobs.append(RunningJob(job=job, workflow=self))
                continue
            jobs += (
                inner.model_copy(update={"callers": (job, *inner.callers)})
                for inner in called.running_jobs
            )
        return tuple(jobs)

    def running(self, id: str) -> tuple[RunningJob, ...]:  # noqa: A002  (the workflow's own word)
        """Return what a run executes for one job of this file."""
        return tuple(running for running in self.running_jobs if running.id == id)

    @property
    def files(self) -> tuple[Workflow, ...]:
        """This workflow and every workflow of the repository that it calls."""
        called = (file for workflow in self.called.values() for file in workflow.files)
        local = (file for file in called if not file.origin)
        return (self, *{file.path: file for file in local}.values())

    def at(self, line: int) -> str:
        """Return a place in this file, as file:line."""
        return f"{self.path.name}:{line}"


class RunningJob(Model):
    """A job that a run executes, of the started file or of a workflow that it calls."""

    job: WorkflowJob
    workflow: Workflow
    """The file that defines it."""
    callers: tuple[WorkflowJob, ...] = ()
    """The jobs that call the workflow, the job of the started file first."""

    @property
    def id(self) -> str:
        """The id of its job in the file that was started."""
        return self.callers[0].id if self.callers else self.job.id


class Event(Model):
    """Something that happened to the repository."""

    name: str = "push"
    ref: str = ""
    """What was pushed, in full: refs/tags/v1.2.3, refs/heads/main."""
    base: str = ""
    """The branch that a pull request is to be merged into, or that a workflow run was on."""
    changed: tuple[str, ...] = ()
    """The files changed: by the push, or by the pull request."""
    type: str = ""
    """The activity, for an event that has several: opened, published, completed."""
    message: str = ""
    """The message of the newest commit."""
    tags: int = 1
    """How many tags the one push brought."""
    by_workflow: bool = False
    """Whether a job did it with its own GITHUB_TOKEN: such events start no workflow."""


class Decision(Model):
    """Whether the workflow starts, and why."""

    triggered: bool
    reason: str

    def __bool__(self) -> bool:
        return self.triggered
