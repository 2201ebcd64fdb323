"""A GitHub workflow: its triggers and its jobs.

Expressions are not evaluated (`verification.pipeline.expressions`), except that the values of a
matrix are inserted into `runs-on`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import JsonValue

from verification.models.base import Model
from verification.models.errors import WrongUse

Task = Literal["build", "merge", "check-version", "create-release", "publish", "attest", "dispatch"]
"""What a job does for a release (`verification.pipeline.tasks`)."""

Combination: TypeAlias = Mapping[str, JsonValue]
"""One combination of the values of a matrix, by the names of its axes."""

SCOPES = (
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "code-quality",
    "contents",
    "copilot-requests",
    "deployments",
    "discussions",
    "drives",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
    "vulnerability-alerts",
)
"""The permissions of a job's token (GitHub's documentation, "Permissions for the GITHUB_TOKEN", and
the published schema of workflow files in actions/languageservices)."""


class BadWorkflow(WrongUse):
    """GitHub would not run the workflow file, or this reader does not support it.

    The message is one line. It begins with the path of the file, and the number of the line if it
    is known.
    """


class Pattern(Model):
    """One pattern of a filter."""

    text: str
    line: int


class WorkflowInput(Model):
    """One input of `on.workflow_dispatch` or `on.workflow_call`."""

    type: str = "string"
    """One of string, boolean, number, choice and environment."""
    default: str | None = None
    required: bool = False
    options: tuple[str, ...] = ()
    """The values that a choice allows."""

    @property
    def default_text(self) -> str:
        """The value if the event does not give one."""
        if self.default is not None:
            return self.default
        return "false" if self.type == "boolean" else ""


class Trigger(Model):
    """One event that starts the workflow, with its filters."""

    event: str
    filters: Mapping[str, tuple[Pattern, ...]]
    inputs: Mapping[str, WorkflowInput] = {}
    """The inputs of `workflow_dispatch` or `workflow_call`, by their names."""
    schedules: tuple[str, ...] = ()
    """The times of `schedule`, in the syntax of cron."""
    line: int


class Concurrency(Model):
    """The setting that lets only one run or job of a group run at a time."""

    group: str
    cancel_in_progress: str
    """Whether a new run cancels the earlier one: true, false or an expression."""
    queue: str = "single"
    """How many runs can wait: `single` or `max`."""
    line: int


class WorkflowStep(Model):
    """One step of a job. A step that only waits for others has neither `uses` nor `run`."""

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
    steps: tuple[WorkflowStep, ...] = ()
    """The steps of the composite action of this repository that it uses; empty for other steps."""
    comment: str = ""
    """The comment after `uses`. It usually names the version of a commit hash."""

    @property
    def action(self) -> str | None:
        """The action's name without its version: `owner/repository[/path]`."""
        return self.uses.partition("@")[0] if self.uses else None


class WorkflowJob(Model):
    """One job, with its effective settings."""

    id: str
    name: str
    needs: tuple[str, ...]
    permissions: Mapping[str, str]
    """The permissions of its token: those of the job, else of the workflow, else the default."""
    permissions_from: Literal["job", "workflow", "default"]
    environment: str | None
    runs_on: tuple[str, ...]
    """The labels of the runner, one text for each combination of the matrix."""
    combinations: tuple[Combination, ...]
    """The combinations of the matrix; one empty combination without a matrix."""
    matrix: JsonValue
    """The matrix of the file if one of its parts is an expression, else None. Its combinations are
    not known without a context. `combinations` then has one empty combination."""
    condition: str | None
    continue_on_error: str | None
    concurrency: Concurrency | None
    outputs: Mapping[str, str]
    env: Mapping[str, str]
    defaults: Mapping[str, str]
    """The default `shell` and `working-directory` of its scripts."""
    containers: tuple[str, ...]
    """The images of its container and of its services."""
    uses: str | None
    with_: Mapping[str, str]
    """The inputs for the workflow that it calls."""
    secrets: Mapping[str, str] | None = {}
    """The secrets for the workflow that it calls; None if it gets all (`inherit`)."""
    steps: tuple[WorkflowStep, ...]
    line: int

    def steps_with(self, action: str) -> tuple[WorkflowStep, ...]:
        """Return the steps that use an action, which is named without a version."""
        return tuple(step for step in self.steps if step.action == action)


class Workflow(Model):
    """A workflow file."""

    path: Path
    name: str
    on: Mapping[str, Trigger]
    permissions: Mapping[str, str] | None
    """The permissions of the workflow; None if the file does not set them."""
    concurrency: Concurrency | None
    env: Mapping[str, str]
    jobs: Mapping[str, WorkflowJob]
    lines: Mapping[str, int]
    """The line of each key of the workflow."""
    origin: str = ""
    """For a workflow of another repository: OWNER/NAME/.github/workflows/FILE@REF, with the full
    ref. Empty for a workflow of the same repository."""
    called: Mapping[str, Workflow] = {}
    """The workflow that each job with `uses` calls, by the id of the job. A workflow that could not
    be read is missing (`verification.models.workflow_call`)."""
    others: tuple[Workflow, ...] = ()
    """The other workflow files of the repository. A file that GitHub would refuse is missing."""

    def jobs_before(self, job: str) -> frozenset[str]:
        """Return the ids of all jobs that end before a job starts."""
        earlier: set[str] = set()
        pending = list(self.jobs[job].needs)
        while pending:
            if (name := pending.pop()) not in earlier:
                earlier.add(name)
                pending += self.jobs[name].needs
        return frozenset(earlier)

    @property
    def running_jobs(self) -> tuple[RunningJob, ...]:
        """The jobs that a run executes, in order. The jobs of a called workflow replace the call.

        If the called workflow could not be read, the calling job is in the list.
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

    @property
    def files(self) -> tuple[Workflow, ...]:
        """This workflow and all workflows of the same repository that it calls."""
        called = (file for workflow in self.called.values() for file in workflow.files)
        local = (file for file in called if not file.origin)
        return (self, *{file.path: file for file in local}.values())

    def location(self, line: int) -> str:
        """Return a location in this file, as FILE:LINE."""
        return f"{self.path.name}:{line}"


class RunningJob(Model):
    """A job that a run executes. It is a job of the started file or of a called workflow."""

    job: WorkflowJob
    workflow: Workflow
    """The file that defines it."""
    callers: tuple[WorkflowJob, ...] = ()
    """The chain of calling jobs. The job of the started file comes first."""

    @property
    def id(self) -> str:
        """The id of its job in the started file."""
        return self.callers[0].id if self.callers else self.job.id


class Event(Model):
    """An event of the repository, such as a push."""

    name: str = "push"
    """The name in `on`: push, release, workflow_dispatch, repository_dispatch and so on."""
    ref: str = ""
    """The full name of the ref of the run: refs/tags/v1.2.3, refs/heads/main. A release has its
    tag."""
    sha: str = ""
    """The full hash of the commit of the run; empty if it is not known."""
    inputs: Mapping[str, str] = {}
    """The inputs of a `workflow_dispatch`. An input that is missing here has its default."""
    base: str = ""
    """The target branch of a pull request, or the branch of a workflow run."""
    changed: tuple[str, ...] = ()
    """The files that the push or the pull request changes."""
    type: str = ""
    """The activity type, for events that have one: opened, published, completed."""
    message: str = ""
    """The message of the newest commit."""
    tags: int = 1
    """The number of tags in the push."""
    by_workflow: bool = False
    """True if a job caused the event with its GITHUB_TOKEN. Of these events, only
    `workflow_dispatch` and `repository_dispatch` start workflows."""
    on_default_branch: bool = True
    """Whether the default branch has the workflow file with this event."""
    workflow: str = ""
    """The name of the workflow that ran, for `workflow_run`."""


class Decision(Model):
    """Whether the workflow starts, and why."""

    triggered: bool
    reason: str

    def __bool__(self) -> bool:
        return self.triggered
