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
from verification.models.machine import OperatingSystem
from verification.models.pipeline import ActionUse, BuiltWheel, LivePublisherCheck, WorkflowArtifact
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
    source: str | None = Field(description="The folder from which the wheels were built.")
    wheels: str | None = Field(description="The folder of the wheels.")
    release: str | None = Field(description="The version of the published release.")
    machines: tuple[str, ...]
    narrowed: tuple[str, ...] = Field(
        description="The options that select a part of the profile; empty for the whole profile."
    )
    strict: bool = Field(description="True if flawed causes fail the run.")
    pipeline: bool = Field(description="True if the run executes the release workflow.")
    actions_from: str | None = Field(description="The folder of the workflow's real actions.")
    profile: str = Field(description="The name of the profile in profiles.toml.")
    history: Literal["none", "all"] = Field(
        description="The earlier releases on the index: none or all."
    )
    tests: str | None = Field(
        description="The folder of the package's own tests; null if they are not run."
    )


class OutOfScope(Model):
    """An item, cell, machine or file that the run does not verify."""

    id: str
    reason: str = Field(min_length=1)


class MachineRecord(Model):
    """A clean machine, as machines.toml describes it."""

    title: str
    os: OperatingSystem
    python: str = Field(description="The version of its CPython.")
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


class StandInLimits(Model):
    """How a stand-in differs from what it replaces: a row of docs/explanation/stand-ins.md."""

    stand_in: str
    real: str
    same: str
    differs: str


class EngineRecord(Model):
    """The container engine."""

    version: str
    os: str


class FileRecord(Model):
    """A file, with the hash of its content."""

    name: str
    sha256: Sha256
    size: Size


class ReplayInputs(Model):
    """The inputs of the cells, with hashes. `./e2e replay` runs the cells again with them."""

    subject: str
    origin: Literal["source", "wheels", "release"]
    wheels: tuple[FileRecord, ...]
    dependencies: tuple[FileRecord, ...]
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
    seed: int = Field(default=0, description="The seed of the smoke test's values.")


class KeptMachine(Model):
    """A machine that --keep-failed kept."""

    cell: str
    container: str
    enter: str = Field(description="The command that opens a shell in it.")
    installed_again: bool = Field(
        description="True if the package was installed again after the cell removed it."
    )
    until: Timestamp


class ReproductionMachine(Model):
    """The machine, Python, installer and release that a reproduction used."""

    machine: str
    title: str
    image: str
    python: str
    libc: str
    installer: str
    scenario: str
    version: str


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


class Claim(Model):
    """One claim about the release workflow, with its verdict."""

    title: str = ""
    verdict: Verdict
    evidence: str = ""


class ArtifactClaim(Model):
    """A row of VERIFICATION.md: a source file that the release needs, and its verdict."""

    artifact: str = Field(description="The path in the repository.")
    expected: str = ""
    verdict: Verdict
    evidence: str = ""


class LinkClaim(Model):
    """A connection that the release needs, with its verdict."""

    source: str
    target: str
    via: str = ""
    verdict: Verdict
    evidence: str = ""


class JobRecord(Model):
    """One job of the release workflow."""

    id: str
    name: str = ""
    label: str = Field(default="", description="The label of its runner.")
    needs: tuple[str, ...] = ()
    result: str
    reason: str = ""
    start: float | None = Field(default=None, description="In seconds since 1970.")
    end: float | None = Field(default=None, description="In seconds since 1970.")
    failing_step: str | None = None
    log: tuple[str, ...] = Field(default=(), description="The end of the failing step's log.")


class ReleaseAsset(Model):
    """A file of a release on the forge."""

    name: str
    size: Size
    sha256: Sha256


class ReleasePage(Model):
    """A release that the workflow created on the forge."""

    tag: str
    prerelease: bool
    draft: bool
    assets: tuple[ReleaseAsset, ...]


class PipelinePart(Model):
    """The run of the release workflow."""

    tag: str = ""
    annotated: bool = True
    commit: str = ""
    source: str = Field(
        default="",
        description="The content of the commit: the repository's last commit, or the working "
        "files.",
    )
    result: str = ""
    seconds: Seconds = 0.0
    truths: Mapping[str, Claim] = Field(
        default_factory=dict, description="The claims about the workflow, by their numbers."
    )
    artifacts: tuple[ArtifactClaim, ...] = ()
    links: tuple[LinkClaim, ...] = ()
    proved: tuple[str, ...] = Field(default=(), description="What the run proved.")
    not_provable: tuple[str, ...] = Field(default=(), description="What no run can prove.")
    jobs: tuple[JobRecord, ...] = ()
    side_by_side: bool = Field(
        default=False,
        description="True if the jobs that release and publish ran at the same time.",
    )
    wheels: tuple[BuiltWheel, ...] = ()
    merged: tuple[WorkflowArtifact, ...] = ()
    releases: tuple[ReleasePage, ...] = ()
    index: Mapping[str, str] = Field(
        default_factory=dict, description="The sha256 of each file on the index, by name."
    )
    actions: tuple[ActionUse, ...] = ()
    stand_ins: tuple[str, ...] = Field(
        default=(), description="How the environment of the jobs differs from GitHub's."
    )
    act: str = Field(default="", description="The version of act.")


class PublisherPart(Model):
    """The registered trusted publisher."""

    registered: str = Field(default="", description="The file with the registration.")
    proved: tuple[str, ...] = Field(default=(), description="What the run proved.")
    refused: tuple[str, ...] = Field(
        default=(), description="The token exchanges that the index refused."
    )
    live: LivePublisherCheck | None = None
    not_provable: tuple[str, ...] = Field(default=(), description="What no run can prove.")


class Report(Model):
    """The verdict of one run, and all data of the report.

    The schema version rises if a key is removed or changes its meaning.
    """

    model_config = pydantic.ConfigDict(serialize_by_alias=True)

    schema_version: Literal[3] = Field(
        default=RESULTS_SCHEMA, alias="schema", description="The version of this schema."
    )
    verdict: Verdict
    items: tuple[ItemResult, ...]
    cells: tuple[CellResult, ...]
    started: Timestamp
    seconds: Seconds = Field(description="Wall time of the run.")
    selection: RunSelection
    finished: bool = Field(
        default=True,
        description="False if the run was killed or still runs. Each run first writes false.",
    )
    interrupted: bool = False
    out_of_scope: tuple[OutOfScope, ...] = ()
    version: str = Field(default="", description="The release's version.")
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
    static: ReleaseInspection = ReleaseInspection()
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
    images: Mapping[str, ImageRecord] = Field(
        default_factory=dict, description="The images that the run used, by name."
    )
    engine: EngineRecord | None = None
    egress: EgressProof | None = Field(
        default=None, description="The proof that the machines have no egress."
    )
    inputs: ReplayInputs | None = None
    kept: tuple[KeptMachine, ...] = Field(
        default=(), description="The machines that --keep-failed kept."
    )
    reproduction: Reproduction | None = None
    pipeline: PipelinePart | None = None
    publisher: PublisherPart | None = None

    def cell(self, ident: str) -> CellResult | None:
        """Return the result of a cell by its id; None if the run has no such cell."""
        return next((cell for cell in self.cells if cell.id == ident), None)

    def cells_of(self, item: str) -> tuple[CellResult, ...]:
        """Return the cells that belong to an item, such as ``linux-install``."""
        system = item.removesuffix("-install")
        return tuple(
            cell
            for cell in self.cells
            if (machine := self.machines.get(cell.machine)) and machine.os == system
        )
