"""The report of one run: the content of ``results.json``."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.inspection import ReleaseInspection
from verification.models.limits import LimitOptions, LimitsInForce
from verification.models.machine import OperatingSystem, RunsOn
from verification.models.pipeline import (
    ActionUse,
    BuiltWheel,
    LinterRecord,
    LivePublisherCheck,
    WorkflowArtifact,
)
from verification.models.report_template import ReportTemplate
from verification.models.results import CellResult, ItemResult, PlatformResult
from verification.models.testbed import EgressProof, ImageRecord
from verification.models.verdict import Verdict

RESULTS_SCHEMA: Literal[3] = 3
"""The schema version of ``results.json``. It rises if a key is removed or changes its meaning."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Timestamp = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="In UTC.")
]
Size = Annotated[int, Field(ge=0, description="In bytes.")]
Seconds = Annotated[float, Field(ge=0)]


class RunSelection(Model):
    """The options of the run. Exactly one of source, wheels and release is set."""

    subject: str = Field(description="The package under test.")
    subject_file: str | None = Field(
        default=None, description="The file of --subject; null for the default package."
    )
    source: str | None = Field(description="The folder from which the wheels were built.")
    wheels: str | None = Field(description="The folder of the wheels.")
    release: str | None = Field(description="The version of the published release.")
    machines: tuple[str, ...]
    """The names of the selected machines."""
    narrowed: tuple[str, ...] = Field(
        description="The options that select a part of the profile; empty for the whole profile."
    )
    strict: bool = Field(description="True if flawed causes fail the run.")
    shard: str | None = Field(
        default=None, description="The part of the cells, such as 2/3; null for all cells."
    )
    registry: str | None = Field(
        default=None, description="The registry of the images; null if they are built."
    )
    limits: LimitOptions | None = Field(
        default=None, description="The limits of machines and jobs; null for the default ones."
    )
    pipeline: bool = Field(description="True if the run executes the release workflow.")
    actions_from: str | None = Field(description="The folder of the workflow's real actions.")
    published_by: str | None = Field(
        default=None, description="The folder of the report whose files the release must have."
    )
    profile: str = Field(description="The name of the profile in profiles.toml.")
    history: Literal["none", "all"] = Field(
        description="The earlier releases on the index: none or all."
    )
    tests: str | None = Field(
        description="The folder of the package's own tests; null if they are not run."
    )
    repository: str | None = Field(
        default=None, description="The checkout of --repository; null for that of the suite."
    )
    workflow: str | None = Field(default=None, description="The release workflow of this checkout.")
    event: str | None = Field(
        default=None,
        description="The event that started it: tag, branch, release or workflow_dispatch.",
    )


class OutOfScope(Model):
    """An item, cell, machine or file that the run does not verify."""

    id: str
    """The name of the item, cell, machine or file."""
    reason: str = Field(min_length=1)
    """Why the run does not verify it."""


class MachineRecord(Model):
    """A clean machine, as machines.toml describes it."""

    title: str
    """The title for reports."""
    os: OperatingSystem
    """The operating system."""
    runs_on: RunsOn | None = None
    """The system that runs its programs; null if it is not recorded."""
    image: str = Field(default="", description="The name of its image, a key of `images`.")
    python: str = Field(description="The version of its CPython.")
    musl: str = Field(default="", description="The version of musl; empty without musl.")
    additional_software: tuple[str, ...] = Field(
        default=(), description="The software that a clean machine does not have."
    )
    missing_software: tuple[str, ...] = Field(
        default=(),
        description="The software that its platform promises and that it does not have.",
    )
    processor: str = Field(
        default="", description="The emulated processor; empty if none is emulated."
    )
    profiles: tuple[str, ...] = ()
    """The names of the profiles with this machine."""


class StandInLimits(Model):
    """How a stand-in differs from what it replaces: a row of docs/explanation/stand-ins.md."""

    stand_in: str
    """The stand-in, or the machines that are stand-ins."""
    real: str
    """What it replaces."""
    same: str
    """What is the same."""
    differs: str
    """What is different."""


NOT_COVERED = "not covered"
"""The name of the part that has what no machine of the run covers."""


class BasisEntry(Model):
    """One part of what a verdict is based on: a stand-in, the origin, or what is not covered."""

    name: str
    """What the part is, such as source or origin, Windows, GitHub, index, use or not covered."""
    value: str
    """What the run used, such as "Wine 10.0" or "act 0.2.89 with 10 stand-in actions"."""


class FileCoverage(enum.StrEnum):
    """How far a run verifies one file of the release."""

    VERIFIED = "verified"
    """A machine of the run installed the file and verified it, and none failed with it."""
    FAILED = "failed"
    """A cell with the file failed."""
    INSPECTED = "inspected-only"
    """The inspection read the file, and no machine verified it."""
    NOT_READ = "not-read"
    """The run did not read the file."""


class FileResult(Model):
    """One file of the release, and how far the run verifies it."""

    name: str
    """The file name."""
    coverage: FileCoverage
    """How far the run verifies it."""
    machines: tuple[str, ...] = ()
    """The names of the machines to which the index served it."""
    checks: tuple[str, ...] = ()
    """The names of the checks of the inspection; empty if it did not read the file."""
    reason: str = ""
    """Why no machine verified it, or why it was not read; empty if a machine verified it."""


class RunChanges(Model):
    """The differences from the last run of the same kind."""

    base: str
    """The title of the earlier run: its number, start, package and version."""
    differences: tuple[str, ...]
    """One line for each difference, the regressions first; empty if nothing changed."""


class EngineRecord(Model):
    """The container engine."""

    name: str = Field(
        default="", description="The Docker context that selected it; empty without --engine."
    )
    version: str
    """The version that the engine reports."""
    os: str
    """The system of its containers: linux or windows."""
    is_lost: bool = Field(default=False, description="True if it ended while cells ran on it.")


class OtherEngine(EngineRecord):
    """Another engine of the run."""

    egress: EgressProof | None = Field(
        default=None, description="The proof that its machines have no egress."
    )


class FileRecord(Model):
    """A file, with the hash of its content."""

    name: str
    """The file name."""
    sha256: Sha256
    """The sha256 of the content."""
    size: Size


class ReplayInputs(Model):
    """The inputs of the cells, with hashes. `./e2e replay` runs the cells again with them."""

    subject: str
    """The name of the package under test."""
    origin: Literal["source", "wheels", "release"]
    """Whether the wheels were built from a source, came from a folder, or were published."""
    wheels: tuple[FileRecord, ...]
    """The wheels of the release."""
    dependencies: tuple[FileRecord, ...]
    """The files of dependencies on the index."""
    earlier: tuple[FileRecord, ...] = Field(description="The files of earlier releases.")
    tools: tuple[FileRecord, ...] = Field(
        description="The files of pytest, which runs the package's own tests."
    )
    yanked: Mapping[str, str] = Field(
        description="The earlier files that are yanked: the reason by file name."
    )
    unpublished: tuple[str, ...] = Field(
        default=(), description="The declared dependencies that no index has."
    )
    suite: str = Field(description="The hash of the code that runs and judges cells.")
    description: str = Field(
        default="", description="The hash of the subject's files; empty if it is not recorded."
    )
    seed: int = Field(default=0, description="The seed of the smoke test's values.")


class KeptMachine(Model):
    """A machine that --keep-failed kept."""

    cell: str
    """The id of the cell."""
    container: str
    """The name of the container."""
    enter: str = Field(description="The command that opens a shell in it.")
    installed_again: bool = Field(
        description="True if the package was installed again after the cell removed it."
    )
    until: Timestamp
    """When it is removed."""


class ReproductionMachine(Model):
    """The machine, Python, installer and release that a reproduction used."""

    machine: str
    """The name of the machine."""
    title: str
    """Its title for reports."""
    image: str
    """The tag of its image."""
    python: str
    """The version of its Python."""
    libc: str
    """The name and the version of its C library; one space if unknown."""
    installer: str
    """The name of the installer."""
    scenario: str
    """The name of the scenario."""
    version: str
    """The version of the release."""


class AnswerKind(enum.StrEnum):
    """The basis of the answer of a reproduction."""

    EXECUTED = "executed"
    """A machine that matches the options ran the release."""
    FILES = "files"
    """The files of the release. No machine ran it."""
    SIMILAR_MACHINE = "similar-machine"
    """A machine ran the release, but differs in a way that can change the result."""
    NOT_RUN = "not-run"
    """There is no answer, because the cell did not run to its end."""


class Conclusion(enum.StrEnum):
    """Whether the failure of a pasted bug report happens again."""

    REPRODUCED = "reproduced"
    """The release fails on a machine in the way that the bug report describes."""
    NOT_REPRODUCED = "not reproduced on the nearest machine"
    """The release works there, or fails in another way."""
    ANSWERED_FROM_FILES = "answered from the files"
    """No machine ran the release, or its files show that it does not work there."""
    NOT_JUDGED = "not judged"
    """The testbed failed, or the cell did not run to its end."""


ReportedName = Literal[
    "python", "os", "arch", "glibc", "pip", "uv", "installer", "scenario", "release", "error"
]
"""The option with a value of a pasted bug report, or `error`."""


class ReportedFact(Model):
    """One value that a pasted bug report contains."""

    name: ReportedName
    """The option with this value, or `error`."""
    value: str
    """The value in the form of the option."""
    line: int = Field(description="The number of the line in the text, from 1.")
    text: str = Field(description="The line, without secrets, at most 200 characters.")


class Reproduction(Model):
    """The options of `./e2e reproduce`, the machine that it used, and the answer."""

    asked: Mapping[str, str] = Field(description="The values of the options, by name.")
    used: ReproductionMachine | None = Field(
        default=None, description="Null if no machine ran the release."
    )
    differs: tuple[str, ...] = Field(
        description="The differences between the options and the machine."
    )
    kind: AnswerKind = Field(description="The basis of the answer.")
    answer: str = Field(description="Whether the release works on such a machine, and why.")
    reported: tuple[ReportedFact, ...] = Field(
        default=(), description="What the pasted bug report contains; empty if there is none."
    )
    conclusion: Conclusion | None = Field(
        default=None,
        description="Whether the reported failure happens again; null without a pasted bug report.",
    )
    workarounds: tuple[str, ...] = Field(
        default=(), description="What the user can do until the package is corrected."
    )


class Claim(Model):
    """One claim about the release workflow, with its verdict."""

    title: str = ""
    """The statement."""
    verdict: Verdict
    """Whether the run shows the statement."""
    evidence: str = ""
    """The causes that refute it, or what the run recorded about it."""


class ArtifactClaim(Model):
    """A row of VERIFICATION.md: a source file that the release needs, and its verdict."""

    artifact: str = Field(description="The path in the repository.")
    expected: str = ""
    """What the file must contain; empty if only `verification.toml` of the package says it."""
    verdict: Verdict
    """The verdict of the claim about the file."""
    evidence: str = ""
    """The causes that refute the claim, or what the run recorded about it."""


class LinkClaim(Model):
    """A connection that the release needs, with its verdict."""

    source: str
    """The beginning of the connection."""
    target: str
    """The end of the connection."""
    via: str = ""
    """What connects the two."""
    verdict: Verdict
    """The verdict of the claim about the connection."""
    evidence: str = ""
    """The causes that refute the claim, or what the run recorded about it."""


class JobRecord(Model):
    """One job of the release workflow."""

    id: str
    """The job's key in the workflow file."""
    name: str = ""
    """The job's name; empty if it has none."""
    label: str = Field(default="", description="The label of its runner.")
    needs: tuple[str, ...] = ()
    """The ids of the jobs that must end before it."""
    result: str
    """How it ended: success, failure, skipped, hung or not run."""
    reason: str = ""
    """Why it did not succeed, if no step shows the reason."""
    start: float | None = Field(default=None, description="In seconds since 1970.")
    end: float | None = Field(default=None, description="In seconds since 1970.")
    failing_step: str | None = None
    """The name of the first step that failed; null if none failed."""
    log: tuple[str, ...] = Field(default=(), description="The end of the failing step's log.")


class ReleaseAsset(Model):
    """A file of a release page on the forge."""

    name: str
    """The file name."""
    size: Size
    sha256: Sha256
    """The sha256 of the content."""


class ReleasePage(Model):
    """A release page that the workflow created on the forge."""

    tag: str
    """The tag of the release page."""
    prerelease: bool
    """True if it is marked as a pre-release."""
    draft: bool
    """True if it is not published."""
    assets: tuple[ReleaseAsset, ...]
    """The files of the release page."""


class NotRehearsed(enum.StrEnum):
    """Why a run did not rehearse the signing of a release."""

    MISSING_PERMISSION = "missing-permission"
    """The job that publishes has no permission `id-token: write`."""
    NO_UPLOAD = "no-upload"
    """The workflow uploaded no file."""
    NO_IDENTITY = "no-identity"
    """A stored token uploaded a file. The index accepts attestations only with an identity."""
    ATTESTATIONS_OFF = "attestations-off"
    """The publish action signs nothing: `attestations` is off or off by default."""
    OTHER_CLIENT = "other-client"
    """Another client than the publish action uploaded a file, without attestations."""


class SigningRecord(Model):
    """Whether the run rehearsed the signing of the release (PEP 740)."""

    rehearsed: bool
    """True if the index verified attestations of each uploaded file."""
    reason: NotRehearsed | None = None
    """Why the signing is not rehearsed; null if it is."""
    signed: tuple[str, ...] = ()
    """The uploaded files whose attestations the index verified."""
    unsigned: tuple[str, ...] = ()
    """The uploaded files without attestations."""


class PipelinePart(Model):
    """The run of the release workflow."""

    tag: str = ""
    """The pushed tag."""
    annotated: bool = True
    """True for an annotated tag, false for a lightweight one."""
    commit: str = ""
    """The hash of the tagged commit."""
    source: str = Field(
        default="",
        description="The content of the commit: the repository's last commit, or the working "
        "files.",
    )
    result: str = ""
    """How the workflow ended: success, failure, hung or not triggered."""
    seconds: Seconds = 0.0
    """Wall time of the workflow."""
    truths: Mapping[str, Claim] = Field(
        default_factory=dict, description="The claims about the workflow, by their numbers."
    )
    artifacts: tuple[ArtifactClaim, ...] = ()
    """The source files that the release needs."""
    links: tuple[LinkClaim, ...] = ()
    """The connections that the release needs."""
    proved: tuple[str, ...] = Field(default=(), description="What the run proved.")
    not_provable: tuple[str, ...] = Field(default=(), description="What no run can prove.")
    jobs: tuple[JobRecord, ...] = ()
    """The jobs, one for each combination of a matrix."""
    side_by_side: bool = Field(
        default=False,
        description="True if the jobs that release and publish ran at the same time.",
    )
    wheels: tuple[BuiltWheel, ...] = ()
    """The wheels that jobs built."""
    merged: tuple[WorkflowArtifact, ...] = ()
    """The artifacts at the end of the workflow."""
    releases: tuple[ReleasePage, ...] = ()
    """The release pages on the forge at the end."""
    index: Mapping[str, str] = Field(
        default_factory=dict, description="The sha256 of each file on the index, by name."
    )
    signing: SigningRecord
    """Whether the workflow signed the files that it published."""
    actions: tuple[ActionUse, ...] = ()
    """The actions that the workflow names."""
    stand_ins: tuple[str, ...] = Field(
        default=(), description="How the environment of the jobs differs from GitHub's."
    )
    act: str = Field(default="", description="The version of act.")
    linters: tuple[LinterRecord, ...] = ()
    """The linters that checked the files of the workflow."""
    egress: EgressProof | None = Field(
        default=None, description="The proof that the jobs have no egress."
    )


class PublisherScope(enum.StrEnum):
    """What the verdict on the registered publisher compares the workflow with."""

    REGISTRATION_FILE = "against the registration file"
    """The registration in the checkout."""
    LIVE_INDEX = "against the live index"
    """The provenance of the last release on the live index."""


class PublisherPart(Model):
    """The registered trusted publisher."""

    registered: str = Field(default="", description="The file with the registration.")
    scope: PublisherScope = PublisherScope.REGISTRATION_FILE
    """What the verdict compares the workflow with."""
    fields: Mapping[str, str] = Field(
        default_factory=dict,
        description="The registration: project, owner, repository, workflow and environment.",
    )
    proved: tuple[str, ...] = Field(default=(), description="What the run proved.")
    refused: tuple[str, ...] = Field(
        default=(), description="The token exchanges that the index refused."
    )
    live: LivePublisherCheck | None = None
    """The comparison with the live index; null if there was none."""
    not_provable: tuple[str, ...] = Field(default=(), description="What no run can prove.")


class PublishedPart(Model):
    """The published release, compared with the files that an earlier gate verified."""

    report: str = Field(description="The folder of the report of the earlier gate.")
    files: Mapping[str, str] = Field(
        default_factory=dict, description="The sha256 of each file of the release on the index."
    )
    live: LivePublisherCheck | None = Field(
        default=None,
        description="The comparison of the provenance with the registration; null if there was "
        "none.",
    )


class Report(Model):
    """The verdict of one run, and all data of the report.

    The schema version rises if a key is removed or changes its meaning.
    """

    model_config = pydantic.ConfigDict(serialize_by_alias=True)

    schema_version: Literal[3] = Field(
        default=RESULTS_SCHEMA, alias="schema", description="The version of this schema."
    )
    verdict: Verdict
    """The verdict of the run."""
    items: tuple[ItemResult, ...]
    """The verified statements, each with its verdict."""
    cells: tuple[CellResult, ...]
    """The results of the selected cells."""
    started: Timestamp
    seconds: Seconds = Field(description="Wall time of the run.")
    selection: RunSelection
    """The options that select what runs."""
    finished: bool = Field(
        default=True,
        description="False if the run was killed or still runs. Each run first writes false.",
    )
    interrupted: bool = False
    """True if a signal ended the run."""
    out_of_scope: tuple[OutOfScope, ...] = ()
    """What the options leave out."""
    version: str = Field(default="", description="The release's version.")
    command: str = Field(default="", description="The command line of the run, as typed.")
    checkout: str = Field(
        default="",
        description="A hash of the folder and the repository of the checkout of quiverdb-e2e; in "
        "GitHub Actions of the repository only.",
    )
    template: ReportTemplate | None = None
    """The texts of VERIFICATION.md that do not come from the run; null for generic texts."""
    basis: tuple[BasisEntry, ...] = Field(
        default=(), description="What the verdict is based on. Each format shows it."
    )
    files: tuple[FileResult, ...] = Field(
        default=(), description="Each file of the release, and how far the run verifies it."
    )
    changes: RunChanges | None = Field(
        default=None,
        description="The differences from the last run of the same kind; null if there is none.",
    )
    suite_version: str = Field(default="", description="The version of quiverdb-e2e.")
    suite_commit: str = Field(
        default="",
        description="The commit of quiverdb-e2e, with `+changes` if files differ from it; "
        "`no commit` outside a repository.",
    )
    wheels: Mapping[str, Sha256] = Field(
        default_factory=dict, description="The sha256 of each wheel of the release, by name."
    )
    locked: Mapping[str, str] = Field(
        default_factory=dict,
        description="The version of each dependency on the index, by normalised name.",
    )
    earlier: tuple[str, ...] = Field(
        default=(), description="The files of earlier releases on the index."
    )
    no_history: str = Field(
        default="", description="Why the index does not have the earlier releases."
    )
    notes: tuple[Cause, ...] = ()
    """The causes of severity `note`. They do not count."""
    static: ReleaseInspection = ReleaseInspection()
    """The inspections of the wheels."""
    platforms: tuple[PlatformResult, ...] = Field(
        default=(), description="How far the wheels for each platform are verified."
    )
    own_tests_not_run: str = Field(
        default="", description="Why the package's own tests did not run; empty if they ran."
    )
    not_installed: tuple[str, ...] = Field(
        default=(), description="The inspected wheels that no machine downloaded."
    )
    machines: Mapping[str, MachineRecord] = Field(
        default_factory=dict, description="The machines of the run, by name."
    )
    stand_ins: tuple[StandInLimits, ...] = ()
    """The rows of docs/explanation/stand-ins.md."""
    images: Mapping[str, ImageRecord] = Field(
        default_factory=dict, description="The images that the run used, by name."
    )
    engine: EngineRecord | None = None
    """The engine that ran the containers, or the first one; null if the set-up failed before it."""
    other_engines: tuple[OtherEngine, ...] = Field(
        default=(), description="The other engines of a run with several."
    )
    limits: tuple[LimitsInForce, ...] = Field(
        default=(), description="The limits that were in force, for each kind of container."
    )
    engine_retries: int = Field(
        default=0,
        ge=0,
        description="How often the run retried an engine request because a connection broke.",
    )
    egress: EgressProof | None = Field(
        default=None, description="The proof that the machines have no egress."
    )
    inputs: ReplayInputs | None = None
    """What `./e2e replay` needs to run the cells again; null if the set-up failed."""
    kept: tuple[KeptMachine, ...] = Field(
        default=(), description="The machines that --keep-failed kept."
    )
    reproduction: Reproduction | None = None
    """The answer of `./e2e reproduce`; null for other commands."""
    pipeline: PipelinePart | None = None
    """The release workflow; null if it did not run to a result."""
    publisher: PublisherPart | None = None
    """The trusted publisher; null if the release workflow did not run to a result."""
    published: PublishedPart | None = None
    """The comparison of --published-by; null without this option."""

    @property
    def engines(self) -> tuple[EngineRecord, ...]:
        """The engines of the run; empty if the set-up failed before them."""
        return (self.engine, *self.other_engines) if self.engine else ()

    @property
    def lost_engines(self) -> tuple[str, ...]:
        """The names of the engines that ended while they ran cells."""
        return tuple(engine.name for engine in self.engines if engine.is_lost)

    @property
    def reachable(self) -> tuple[str, ...]:
        """The addresses of the engine's host that machines or jobs reach."""
        others = (engine.egress for engine in self.other_engines)
        proofs = (self.egress, *others, self.pipeline.egress if self.pipeline else None)
        return tuple(sorted({name for proof in proofs if proof for name in proof.reachable}))

    def cells_of(self, item: str) -> tuple[CellResult, ...]:
        """Return the cells that belong to an item, such as ``linux-install``."""
        system = item.removesuffix("-install")
        return tuple(
            cell
            for cell in self.cells
            if (machine := self.machines.get(cell.machine)) and machine.os == system
        )
