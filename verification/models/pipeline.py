"""The results of a run of the release workflow, and the causes that follow from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.forge import ForgeRelease, ForgeRequest
from verification.models.index_log import ExchangeLog, IndexRequest, UploadLog
from verification.models.testbed import ContainerState, TestbedFailureRecord
from verification.models.verdict import Verdict
from verification.models.workflow import Combination

# A workflow command of a step, after act's own mark for it.
_ERROR = re.compile(r"^\W*::error(?: [^:]*)?::(.*)")

JobOutcome = Literal["success", "failure", "skipped", "hung", "not run"]
RunOutcome = Literal["success", "failure", "hung", "not triggered"]


class Push(Model):
    """The event: a tag that was pushed."""

    tag: str
    ref: str
    """The full name of the tag."""
    annotated: bool
    sha: str
    """The commit."""
    object: str
    """The tag object of an annotated tag; the commit of another tag."""
    source: str
    """What the commit holds: the repository's own commit, or one with the working files."""
    differs: tuple[str, ...] = ()
    """The files in which it differs from the repository's own commit."""


class StepRun(Model):
    """One step of a job, whether it ran or not."""

    name: str
    uses: str | None = None
    line: int
    result: JobOutcome
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    """The exit code of the command that failed; None if none failed."""
    log: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """The action's name without its version; empty if the step uses none."""
        return self.uses.partition("@")[0] if self.uses else ""


class JobRun(Model):
    """One job, or one combination of its matrix."""

    id: str
    name: str
    matrix: Combination = Field(default_factory=dict)
    label: str
    """What it runs on."""
    needs: tuple[str, ...] = ()
    result: JobOutcome
    reason: str = ""
    """Why, if it is not a success and no step shows it."""
    started: float | None = None
    ended: float | None = None
    container: str = ""
    """The engine's id of its container; empty if it had none."""
    address: str = ""
    """The container's address on the closed network."""
    container_state: ContainerState | None = None
    """The state of its container when act was about to remove it; None if that is unknown."""
    permissions: Mapping[str, str] = Field(default_factory=dict)
    """The permissions of its token, from the workflow file."""
    failures: tuple[TestbedFailureRecord, ...] = ()
    """The failures of the testbed that its stand-in actions reported."""
    steps: tuple[StepRun, ...] = ()
    log: tuple[str, ...] = ()
    """The lines of no step."""

    @property
    def title(self) -> str:
        """The job's name, or its id if it has none."""
        return self.name or self.id

    @property
    def failing(self) -> StepRun | None:
        """The step at which it failed."""
        return next((step for step in self.steps if step.result == "failure"), None)

    @property
    def errors(self) -> tuple[str, ...]:
        """The error messages of its steps."""
        matches = (_ERROR.search(line) for step in self.steps for line in step.log)
        return tuple(
            match[1].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
            for match in matches
            if match
        )


class WorkflowArtifact(Model):
    """An artifact that the workflow has at its end."""

    name: str
    files: Mapping[str, str] = Field(description="The sha256 of each file, by name.")


class BuiltWheel(Model):
    """A wheel that the builder built for a job."""

    name: str
    sha256: str
    platform: str
    reused: bool = Field(description="Whether an earlier run built it from the same files.")
    seconds: float = Field(ge=0)


class ActionUse(Model):
    """An action that the workflow names, and what ran in its place."""

    uses: str
    where: str = Field(description="The line of the workflow.")
    kind: Literal["real", "stand-in"]
    version: str = Field(description="The version that ran, or that the stand-in stands for.")
    folder: str
    unknown: tuple[str, ...] = Field(
        default=(),
        description="Inputs that the workflow gives and the action does not have. GitHub warns of "
        "them and goes on.",
    )


class PipelineRun(Model):
    """One run of the workflow."""

    push: Push
    run_id: int
    attempt: int
    triggered: bool
    decision: str
    """Why the event starts the workflow, or does not."""
    result: RunOutcome
    jobs: tuple[JobRun, ...]
    artifacts: tuple[WorkflowArtifact, ...]
    wheels: tuple[BuiltWheel, ...]
    actions: tuple[ActionUse, ...]
    unsupported: tuple[str, ...]
    """What a stand-in cannot do: nothing is verified by this run if there is any."""
    stand_ins: tuple[str, ...]
    """How the surroundings of the jobs differ from GitHub's."""
    seconds: float
    act: str
    """The version of act."""
    log: tuple[str, ...] = ()
    """The lines of act that are of no job."""
    failures: tuple[TestbedFailureRecord, ...] = ()
    """The failures of the testbed during the run that belong to no single job."""

    def job(self, id: str) -> tuple[JobRun, ...]:  # noqa: A002  (the workflow's own word)
        """Return the runs of one job: as many as its matrix has combinations."""
        return tuple(run for run in self.jobs if run.id == id)


ServerName = Literal["forge", "index"]


class FailedRequest(Model):
    """A request that a server of the testbed did not answer, or answered with its own error."""

    client: str
    """The address that it came from."""
    observed: str


class Server(Model):
    """A server of the testbed at the end of the run."""

    name: ServerName
    state: ContainerState
    failed_requests: tuple[FailedRequest, ...] = ()
    """From its own log."""


class IndexRecord(Model):
    """What the index has at the end of the run, and how it came there."""

    files: Mapping[str, str]
    """The sha256 of each file of the project, by name."""
    uploads: tuple[IndexRequest, ...]
    exchanges: tuple[IndexRequest, ...]
    """The requests to exchange an identity token for an upload token."""

    @property
    def upload_logs(self) -> tuple[UploadLog, ...]:
        """What the index noted about each upload."""
        return tuple(line.upload for line in self.uploads if line.upload)

    @property
    def exchange_logs(self) -> tuple[ExchangeLog, ...]:
        """What the index noted about each exchange."""
        return tuple(line.oidc for line in self.exchanges if line.oidc)


class PipelineEvidence(Model):
    """Everything that a run of the workflow left behind."""

    run: PipelineRun
    repository: str
    """Owner and name."""
    workflow: str
    """The workflow's file, relative to the repository."""
    releases: tuple[ForgeRelease, ...]
    tokens: tuple[ForgeRequest, ...]
    """The requests for identity tokens, and those that the forge refused."""
    index: IndexRecord
    servers: tuple[Server, ...] = ()


class LivePublisherCheck(Model):
    """The publisher that the live index reports for the last release."""

    verdict: Verdict
    reason: str = Field(
        default="", description="Why it is unverified, or what the comparison leaves out."
    )
    version: str = ""
    publishers: Mapping[str, str] = Field(
        default={}, description="The publisher that each file's provenance names, by the file."
    )
    causes: tuple[Cause, ...] = ()


class PipelineResult(Model):
    """What the release workflow showed: the evidence of its run, and all causes."""

    static: tuple[Cause, ...]
    """The causes of the workflow file and of the project."""
    evidence: PipelineEvidence
    dynamic: tuple[Cause, ...]
    """The causes of the run."""
    live: LivePublisherCheck

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All causes, those of the files first."""
        return (*self.static, *self.dynamic, *self.live.causes)


class PipelineFailure(Model):
    """The testbed failed before the release workflow showed anything."""

    static: tuple[Cause, ...]
    """The causes of the workflow file and of the project."""
    testbed: TestbedFailureRecord


PipelineOutcome = PipelineResult | PipelineFailure
