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
"""The number of the form of ``results.json``. It rises when a key goes or changes its meaning."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Timestamp = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="In UTC.")
]
Size = Annotated[int, Field(ge=0, description="In bytes.")]
Seconds = Annotated[float, Field(ge=0)]


class RunSelection(Model):
    """What the run was asked to verify. One of source, wheels and release is set."""

    subject: str = Field(description="The package under test.")
    source: str | None = Field(description="The folder that was built.")
    wheels: str | None = Field(description="The folder of the wheels.")
    release: str | None = Field(description="The version of the published release.")
    machines: tuple[str, ...]
    narrowed: tuple[str, ...] = Field(
        description="The options that narrow the verdict; empty for all that the profile names."
    )
    strict: bool = Field(description="Whether what works with a flaw fails.")
    pipeline: bool = Field(description="Whether the release workflow is run.")
    actions_from: str | None = Field(description="The folder of the workflow's real actions.")
    profile: str = Field(description="The profile of profiles.toml.")
    history: Literal["none", "all"] = Field(description="Which earlier releases the index holds.")
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
    has: tuple[str, ...] = Field(default=(), description="What it has more than a clean one.")
    lacks: tuple[str, ...] = Field(
        default=(), description="What its platform promises and it does not have."
    )
    processor: str = Field(default="", description="The emulated processor; empty if none is.")
    profiles: tuple[str, ...] = ()


class StandInLimits(Model):
    """A stand-in and how it differs from the real thing: a row of docs/explanation/stand-ins.md."""

    stand_in: str
    real: str
    same: str
    differs: str


class EngineRecord(Model):
    """The container engine."""

    version: str
    os: str


class FileRecord(Model):
    """A file, by content."""

    name: str
    sha256: Sha256
    size: Size


class ReplayInputs(Model):
    """What the cells ran with, by content: ./e2e replay runs them again with it."""

    subject: str
    origin: Literal["source", "wheels", "release"]
    wheels: tuple[FileRecord, ...]
    dependencies: tuple[FileRecord, ...]
    earlier: tuple[FileRecord, ...] = Field(description="Of earlier releases.")
    tools: tuple[FileRecord, ...] = Field(description="What runs the package's own tests.")
    yanked: Mapping[str, str] = Field(description="The reason, by the name of an earlier file.")
    unpublished: tuple[str, ...] = Field(
        default=(), description="The declared dependencies that no index had."
    )
    suite: str = Field(description="The hash of the code that runs and judges cells.")
    seed: int = Field(default=0, description="The seed of the smoke test's values.")


class KeptMachine(Model):
    """A machine that --keep-failed left running."""

    cell: str
    container: str
    enter: str = Field(description="The command that opens a shell in it.")
    installed_again: bool = Field(
        description="Whether the package was installed again after the cell had removed it."
    )
    until: Timestamp


class ReproductionMachine(Model):
    """The machine that a reproduction used, and what it ran there."""

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
    """A machine with what was asked ran the release."""
    FILES = "files"
    """The files of the release."""
    SIMILAR_MACHINE = "similar-machine"
    """A machine with a difference that can decide whether the release works."""
    NOT_RUN = "not-run"
    """Nothing: the cell did not run to its end."""


class Reproduction(Model):
    """The question of ./e2e reproduce, what it used, how the two differ, and the answer."""

    asked: Mapping[str, str] = Field(description="The options, by name.")
    used: ReproductionMachine | None = Field(
        default=None, description="Null if no machine with what was asked ran."
    )
    differs: tuple[str, ...]
    kind: AnswerKind = Field(description="The basis of the answer.")
    answer: str = Field(description="Whether the release works on such a machine, and why.")


class Claim(Model):
    """One claim about the release workflow, with its verdict."""

    title: str = ""
    verdict: Verdict
    evidence: str = ""


class ArtifactClaim(Model):
    """A file of the repository that the release needs, with its verdict."""

    artifact: str = Field(description="Its path.")
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
    label: str = Field(default="", description="What it runs on.")
    needs: tuple[str, ...] = ()
    result: str
    reason: str = ""
    start: float | None = Field(default=None, description="In seconds since 1970.")
    end: float | None = Field(default=None, description="In seconds since 1970.")
    failing_step: str | None = None
    log: tuple[str, ...] = Field(default=(), description="The end of the failing step's log.")


class ReleaseAsset(Model):
    """A file of a release page."""

    name: str
    size: Size
    sha256: Sha256


class ReleasePage(Model):
    """A release page that the workflow made."""

    tag: str
    prerelease: bool
    draft: bool
    assets: tuple[ReleaseAsset, ...]


class PipelinePart(Model):
    """The run of the release workflow."""

    tag: str = ""
    annotated: bool = True
    commit: str = ""
    source: str = Field(default="", description="What the commit holds.")
    result: str = ""
    seconds: Seconds = 0.0
    truths: Mapping[str, Claim] = Field(default_factory=dict, description="By their numbers.")
    artifacts: tuple[ArtifactClaim, ...] = ()
    links: tuple[LinkClaim, ...] = ()
    proved: tuple[str, ...] = ()
    not_provable: tuple[str, ...] = Field(default=(), description="What no run can show.")
    jobs: tuple[JobRecord, ...] = ()
    side_by_side: bool = Field(
        default=False, description="Whether release and publish ran at the same time."
    )
    wheels: tuple[BuiltWheel, ...] = ()
    merged: tuple[WorkflowArtifact, ...] = ()
    releases: tuple[ReleasePage, ...] = ()
    index: Mapping[str, str] = Field(
        default_factory=dict, description="The sha256 of each file on the index, by name."
    )
    actions: tuple[ActionUse, ...] = ()
    stand_ins: tuple[str, ...] = Field(
        default=(), description="How the surroundings of the jobs differ from GitHub's."
    )
    act: str = Field(default="", description="The version of act.")


class PublisherPart(Model):
    """The registered trusted publisher."""

    registered: str = Field(default="", description="The file with the registration.")
    proved: tuple[str, ...] = ()
    refused: tuple[str, ...] = Field(default=(), description="The exchanges that failed.")
    live: LivePublisherCheck | None = None
    not_provable: tuple[str, ...] = Field(default=(), description="What no run can show.")


class Report(Model):
    """The verdict of one run, with all that the other forms of the report show.

    The number of the form rises when a key goes or changes its meaning.
    """

    model_config = pydantic.ConfigDict(serialize_by_alias=True)

    schema_version: Literal[3] = Field(
        default=RESULTS_SCHEMA, alias="schema", description="The number of this form."
    )
    verdict: Verdict
    items: tuple[ItemResult, ...]
    cells: tuple[CellResult, ...]
    started: Timestamp
    seconds: Seconds = Field(description="Wall time of the run.")
    selection: RunSelection
    finished: bool = Field(
        default=True,
        description="False if the run was killed or still runs: each run writes this first.",
    )
    interrupted: bool = False
    out_of_scope: tuple[OutOfScope, ...] = ()
    version: str = Field(default="", description="The release's version.")
    wheels: Mapping[str, Sha256] = Field(
        default_factory=dict, description="The sha256 of each wheel of the release, by name."
    )
    locked: Mapping[str, str] = Field(
        default_factory=dict, description="The versions of the dependencies on the index."
    )
    earlier: tuple[str, ...] = Field(
        default=(), description="The files of earlier releases on the index."
    )
    no_history: str = Field(
        default="", description="Why the index is without the earlier releases."
    )
    notes: tuple[Cause, ...] = ()
    static: ReleaseInspection = ReleaseInspection()
    platforms: tuple[PlatformResult, ...] = Field(
        default=(), description="How far the wheels for each platform are verified."
    )
    own_tests_not_run: str = Field(
        default="", description="Why none of the package's own tests ran; empty if some did."
    )
    not_installed: tuple[str, ...] = Field(
        default=(), description="Wheels that were inspected, and that no machine was served."
    )
    machines: Mapping[str, MachineRecord] = Field(default_factory=dict, description="By name.")
    stand_ins: tuple[StandInLimits, ...] = ()
    images: Mapping[str, ImageRecord] = Field(default_factory=dict, description="By name.")
    engine: EngineRecord | None = None
    egress: EgressProof | None = Field(
        default=None, description="The proof that the machines have no way to the outside."
    )
    inputs: ReplayInputs | None = None
    kept: tuple[KeptMachine, ...] = Field(
        default=(), description="The machines that --keep-failed left running."
    )
    reproduction: Reproduction | None = None
    pipeline: PipelinePart | None = None
    publisher: PublisherPart | None = None

    def cell(self, ident: str) -> CellResult | None:
        """Return the cell of this id, or None if the run has no such cell."""
        return next((cell for cell in self.cells if cell.id == ident), None)

    def cells_of(self, item: str) -> tuple[CellResult, ...]:
        """Return the cells that an item such as ``linux-install`` is judged by."""
        system = item.removesuffix("-install")
        return tuple(
            cell
            for cell in self.cells
            if (machine := self.machines.get(cell.machine)) and machine.os == system
        )
