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
from verification.models.limits import LimitsInForce
from verification.models.testbed import ContainerState, EgressProof, TestbedFailureRecord
from verification.models.verdict import Verdict
from verification.models.workflow import Combination, Workflow

# A workflow command in a step's log, after the mark that act adds.
_ERROR = re.compile(r"^\W*::error(?: [^:]*)?::(.*)")

JobOutcome = Literal["success", "failure", "skipped", "hung", "not run"]
RunOutcome = Literal["success", "failure", "hung", "not triggered"]


class RunEvent(Model):
    """The event of a workflow run, and the commit for which the workflow runs."""

    name: str = "push"
    """GitHub's name of the event: push, release or workflow_dispatch."""
    type: str = ""
    """The activity type: published for a release. Empty if the event has none."""
    tag: str = ""
    """The name of the tag; empty for a branch."""
    ref: str
    """The full name of the tag or branch."""
    inputs: Mapping[str, str] = {}
    """The inputs of a dispatch, with the defaults of the workflow."""
    by_workflow: bool = False
    """True if a job of another workflow run caused the event."""
    annotated: bool = False
    """True for an annotated tag."""
    sha: str
    """The commit."""
    object: str
    """The tag object of an annotated tag; the commit of a lightweight tag or of a branch."""
    source: str
    """The content of the commit: the repository's last commit, or the working files."""
    differs: tuple[str, ...] = ()
    """The files that differ from the repository's last commit."""

    @property
    def ref_name(self) -> str:
        """The short name of the tag or branch."""
        return self.tag or self.ref.removeprefix("refs/heads/")

    @property
    def title(self) -> str:
        """The event in words, for messages."""
        kind = "tag" if self.tag else "branch"
        match self.name:
            case "push":
                return f"push of the {kind} {self.ref_name}"
            case "release":
                return f"release {self.tag}"
            case name:
                return f"{name} on the {kind} {self.ref_name}"


class StepRun(Model):
    """One step of a job. It may not have run."""

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
        """The name of the GitHub action without its version; empty if the step uses none."""
        return self.uses.partition("@")[0] if self.uses else ""


class JobRun(Model):
    """One job, or one combination of its matrix."""

    id: str
    name: str
    matrix: Combination = Field(default_factory=dict)
    label: str
    """The label of its runner."""
    needs: tuple[str, ...] = ()
    result: JobOutcome
    reason: str = ""
    """Why it did not succeed, if no step shows the reason."""
    started: float | None = None
    ended: float | None = None
    container: str = ""
    """The engine's id of its container; empty if it had none."""
    address: str = ""
    """The container's address on the closed network."""
    container_state: ContainerState | None = None
    """The state of its container before act removed it; None if that is unknown."""
    permissions: Mapping[str, str] = Field(default_factory=dict)
    """The permissions of its token, from the workflow file."""
    failures: tuple[TestbedFailureRecord, ...] = ()
    """The failures of the testbed that its stand-in actions reported."""
    steps: tuple[StepRun, ...] = ()
    log: tuple[str, ...] = ()
    """The lines that belong to no step."""

    @property
    def title(self) -> str:
        """The job's name, or its id if it has none."""
        return self.name or self.id

    @property
    def failed_step(self) -> StepRun | None:
        """The first step that failed; None if none failed."""
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
    """An artifact that exists at the end of the workflow."""

    name: str
    """The name of the artifact."""
    files: Mapping[str, str] = Field(description="The sha256 of each file, by name.")


class BuiltWheel(Model):
    """A wheel that the builder built for a job."""

    name: str
    """The file name."""
    sha256: str
    """The sha256 of the content."""
    platform: str
    """The operating system: linux or windows."""
    reused: bool = Field(description="True if an earlier run built it from the same files.")
    seconds: float = Field(ge=0)
    """The duration of the build."""


class ActionUse(Model):
    """A GitHub action that the workflow names, and the real action or stand-in that ran.

    It can also be an action that a composite action uses, or an image (`docker://IMAGE`).
    """

    uses: str
    """The key `uses` of the step."""
    where: str = Field(description="The line of the workflow.")
    kind: Literal["real", "stand-in"]
    """Whether the real action or a stand-in ran."""
    version: str = Field(
        description="The version that the stand-in replaces; for a real action the tag of its "
        "commit, if it has one."
    )
    named: str = Field(
        default="",
        description="The version that the workflow names: a tag, a branch, or the version of a "
        "commit.",
    )
    confirmed: bool = Field(
        default=True,
        description="False if the suite does not know the named tag or commit. The stand-in then "
        "replaces the nearest version that it knows.",
    )
    folder: str
    """The name of the folder with its files in the container of act."""
    identity: str = Field(
        default="",
        description="What ran for a real action: `commit HASH` of a checkout without changes, else "
        "`sha256 HASH` of the files, or `image ID`.",
    )
    pinned: str = Field(
        default="",
        description="The commit that the workflow names for a real action; empty if it names a tag "
        "or branch that the checkout does not know.",
    )
    used_by: tuple[str, ...] = Field(
        default=(),
        description="The chain of actions that use it, that of the workflow first; empty for a "
        "step of the workflow.",
    )
    inputs: Mapping[str, str] = Field(
        default_factory=dict,
        description="The inputs in the workflow, with their expressions; none for an action that "
        "another action uses.",
    )
    unknown: tuple[str, ...] = Field(
        default=(),
        description="Inputs in the workflow that the action does not have. GitHub ignores them "
        "with a warning.",
    )

    @property
    def is_pinned(self) -> bool:
        """True if the commit that ran is the one that the workflow names, or if it names none."""
        return not self.pinned or self.identity == f"commit {self.pinned}"


class ReplacedStep(Model):
    """A step that builds and that did not run, because existing files replaced it."""

    where: str = Field(description="The line of the workflow.")
    command: str = Field(description="The first line of its command, or its action.")
    output: str = Field(description="The folder for the files, relative to the step's folder.")


class PipelineRun(Model):
    """One run of a workflow."""

    workflow: str = ""
    """The workflow's file, relative to the repository."""
    event: RunEvent
    run_id: int
    attempt: int
    triggered: bool
    decision: str
    """Why the event starts the workflow, or does not start it."""
    result: RunOutcome
    jobs: tuple[JobRun, ...]
    artifacts: tuple[WorkflowArtifact, ...]
    wheels: tuple[BuiltWheel, ...]
    sdists: tuple[BuiltWheel, ...] = ()
    """The existing source distributions that replaced those of the jobs."""
    actions: tuple[ActionUse, ...]
    unsupported: tuple[str, ...]
    """What the workflow uses and a stand-in does not support. If there is any, this run verifies
    nothing."""
    replaced: tuple[ReplacedStep, ...] = ()
    """The steps that existing files replaced."""
    stand_ins: tuple[str, ...]
    """How the environment of the jobs differs from GitHub's."""
    seconds: float
    act: str
    """The version of act."""
    log: tuple[str, ...] = ()
    """The lines of act's log that belong to no job."""
    failures: tuple[TestbedFailureRecord, ...] = ()
    """The failures of the testbed during the run that belong to no single job."""
    limits: tuple[LimitsInForce, ...] = ()
    """The limits that are in force, for the conductor and each distinct job."""

    def job_runs(self, id: str) -> tuple[JobRun, ...]:  # noqa: A002  (the workflow's key)
        """Return the runs of one job, one for each combination of its matrix."""
        return tuple(run for run in self.jobs if run.id == id)


ServerName = Literal["forge", "index"]


class FailedRequest(Model):
    """A request that a server of the testbed did not answer, or answered with a server error."""

    client: str
    """The address of the client."""
    observed: str


class Server(Model):
    """A server of the testbed at the end of the run."""

    name: ServerName
    state: ContainerState
    failed_requests: tuple[FailedRequest, ...] = ()
    """The failed requests in its log."""
    limits: LimitsInForce | None = None
    """The limits of its container that are in force; None if it did not start."""


class IndexRecord(Model):
    """The files on the index at the end of the run, and the requests that uploaded them."""

    files: Mapping[str, str]
    """The sha256 of each file of the project, by name."""
    uploads: tuple[IndexRequest, ...]
    exchanges: tuple[IndexRequest, ...]
    """The requests to exchange an identity token for an upload token."""

    @property
    def upload_logs(self) -> tuple[UploadLog, ...]:
        """The log entry of each upload."""
        return tuple(line.upload for line in self.uploads if line.upload)

    @property
    def exchange_logs(self) -> tuple[ExchangeLog, ...]:
        """The log entry of each exchange."""
        return tuple(line.oidc for line in self.exchanges if line.oidc)


class PipelineEvidence(Model):
    """Everything that a run of the workflow recorded."""

    run: PipelineRun
    """The run that the event started."""
    dispatched: tuple[PipelineRun, ...] = ()
    """The runs that jobs of these runs dispatched, in order."""
    repository: str
    """Owner and name."""
    workflow: str
    """The workflow's file, relative to the repository."""
    releases: tuple[ForgeRelease, ...]
    tokens: tuple[ForgeRequest, ...]
    """The requests for identity tokens, and all requests that the forge refused."""
    index: IndexRecord
    servers: tuple[Server, ...] = ()
    egress: EgressProof | None = None
    """The proof that the jobs have no egress; null if it is not recorded."""

    @property
    def runs(self) -> tuple[PipelineRun, ...]:
        """All runs of the release, the first one first."""
        return (self.run, *self.dispatched)


class LivePublisherCheck(Model):
    """The comparison of the registered publisher with the last release on the live index."""

    verdict: Verdict
    """Whether the registration matches."""
    reason: str = Field(
        default="", description="Why it is unverified, or what the comparison leaves out."
    )
    version: str = ""
    """The version of the last release on the live index."""
    publishers: Mapping[str, str] = Field(
        default={}, description="The publisher in the provenance of each file, by file name."
    )
    causes: tuple[Cause, ...] = ()
    """The differences."""


class LinterRecord(Model):
    """A linter that checks the files of the release workflow."""

    name: str
    """The name of the program."""
    version: str = Field(default="", description="Its version; empty if it did not run.")
    files: tuple[str, ...] = ()
    """The files that it checked."""
    ignored: int | None = Field(
        default=None,
        description="The findings that comments or the configuration of the repository ignore; "
        "null if the linter does not report them.",
    )


class PipelineResult(Model):
    """The result of the release workflow: the evidence of its run, and all causes."""

    static: tuple[Cause, ...]
    """The causes of the workflow file and of the project."""
    evidence: PipelineEvidence
    dynamic: tuple[Cause, ...]
    """The causes of the run."""
    live: LivePublisherCheck
    linters: tuple[LinterRecord, ...] = ()
    """The linters whose causes are in `static`."""
    workflow: Workflow | None = None
    """The workflow; None if its file is missing or invalid."""

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All causes. The causes of the files come first."""
        return (*self.static, *self.dynamic, *self.live.causes)


class PipelineFailure(Model):
    """The release workflow has no result: the testbed failed, or the file cannot run."""

    static: tuple[Cause, ...]
    """The causes of the workflow file and of the project."""
    testbed: TestbedFailureRecord | None = None
    """The failure of the testbed; None if GitHub would not run the file either."""


PipelineOutcome = PipelineResult | PipelineFailure
