"""The results of cells, items and platforms."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.evidence import Isolation
from verification.models.limits import LimitRecord
from verification.models.verdict import ExpectationKind, Outcome, Verdict

StepName = Literal["install", "import", "exercise", "tests", "uninstall"]


class CommandSummary(Model):
    """One command of a cell, as the user types it."""

    name: StepName
    """The part of the cell that runs it."""
    command: str
    """The command line with the quoting of the machine's shell."""
    code: int | None
    """The exit code; negative for a signal; null if the command did not start."""
    seconds: float | None
    """The duration in seconds; null if the command did not start."""
    timed_out: bool
    """True if the suite ended it after its time limit."""


class TestsSummary(Model):
    """The package's own tests, if the cell ran them."""

    __test__ = False  # pytest must not collect it, although its name starts with Test

    counts: Mapping[str, int]
    """The number of tests by outcome."""
    failures: tuple[str, ...] = Field(description="The node ids of the failed tests.")
    left_out: tuple[str, ...] = Field(
        description="Each reason to skip, deselect or expect a failure, with its number of tests."
    )
    sha256: str = Field(description="The hash of the names and contents of all test files.")


class NativeSummary(Model):
    """The result of the first native call."""

    version: str | None = None
    """The version that the package reports."""
    source: str | None = None
    """The copy of its libraries that the package reports to have loaded."""


class UseEvidence(enum.StrEnum):
    """What the result of the use is judged by."""

    OUTSIDE = "outside"
    """The host read the values that it chose from a file that the package wrote."""
    INSIDE = "inside"
    """Only the process that the package controls reports the use."""


class CellSummary(Model):
    """A summary of the evidence of a cell. A file in ``evidence/`` has all of it."""

    commands: tuple[CommandSummary, ...]
    """The commands that the cell reached."""
    steps: Mapping[str, bool]
    """Whether each step of the exercise passed, by name."""
    errors: Mapping[str, str] = Field(
        default_factory=dict,
        description="What the user sees of each failure: for a step of the exercise the exception, "
        "for a command the end of its output. The keys are names of steps and commands.",
    )
    python: str = ""
    """The version of the Python that runs the probe."""
    implementation: str = ""
    """The implementation of the probe's Python."""
    system: str = ""
    """Name, version and build of the system."""
    wine: str = ""
    """The version of Wine; empty if the machine does not use it."""
    deviation: str = ""
    """How the command differs from the literal command; empty if it does not."""
    started: str = ""
    """The start of the cell, in UTC (ISO 8601)."""
    native: NativeSummary | None = None
    """The first native call; null if it did not succeed."""
    use: UseEvidence | None = None
    """What the result of the use is judged by; null if the cell did not reach it."""
    isolation: Isolation | None = None
    """How the probe is isolated from the user's processes; null if not recorded."""
    image: str = ""
    """The tag of the machine's image."""
    served: Mapping[str, str | None] = Field(
        default_factory=dict, description="The sha256 of each wheel that the index served, by name."
    )
    tests: TestsSummary | None = None
    """The package's own tests; null if the cell did not run them."""
    testbed: str = Field(default="", description="The failure of the testbed.")
    limits: LimitRecord | None = None
    """The limits of the machine and what it used; null if they were not read."""


class CellResult(Model):
    """The result of one cell."""

    id: str
    """Machine, installer and scenario, joined by dashes."""
    machine: str
    """The name of the machine."""
    installer: str
    """The name of the installer."""
    scenario: str
    """The name of the scenario."""
    expectation: ExpectationKind
    """What the cell must show."""
    outcome: Outcome
    """What happened."""
    verdict: Verdict
    """The verdict of the cell."""
    causes: tuple[Cause, ...]
    """The causes, the heaviest first."""
    seconds: float = Field(
        ge=0, description="Wall time, including the start and end of the machine."
    )
    reason: str = Field(default="", description="Why it is unverified.")
    wheel: str = Field(
        default="",
        description="The release's wheel that the index served to the machine; empty if none.",
    )
    mapped: tuple[str, ...] = Field(
        default=(),
        description="The installed files that the process mapped; `/` separates the folders.",
    )
    evidence: str = Field(default="", description="The sha256 of the file with its evidence.")
    summary: CellSummary | None = None
    """A summary of the evidence; null if the cell did not run."""
    engine: str = Field(
        default="", description="The engine that ran the cell; empty if the run has only one."
    )
    engine_retries: int = Field(
        default=0,
        ge=0,
        description="How often the cell retried an engine request because a connection broke.",
    )


class ItemResult(Model):
    """The result of one item of the verification."""

    id: str
    """The name of the item, such as linux-install."""
    title: str
    """The statement that is verified."""
    verdict: Verdict
    """The verdict of the item."""
    causes: tuple[Cause, ...]
    """The causes that decide it, the heaviest first."""
    reason: str = Field(default="", description="Why it is unverified.")


class Coverage(enum.StrEnum):
    """How far a run verifies the wheels for a platform."""

    MACHINES = "machines"
    """Machines of the run install them."""
    INSPECTED_ONLY = "inspected-only"
    """No machine runs them, and the subject says `execute = false`."""
    UNVERIFIED = "unverified"
    """No machine runs them, and the subject requires one."""
    NOT_SELECTED = "not-selected"
    """Machines of the profile run them, and the user selected others."""
    UNDECLARED = "undeclared"
    """The subject does not declare the platform."""


class PlatformResult(Model):
    """The results of the inspection for the wheels of one platform."""

    tag: str = Field(description="The platform tag.")
    coverage: Coverage
    """How far the wheels are verified."""
    wheels: tuple[str, ...] = Field(default=(), description="The file names.")
    causes: tuple[Cause, ...] = Field(
        default=(),
        description="The causes; empty if machines run the wheels, because the items have them.",
    )
    not_fetched: tuple[str, ...] = Field(
        default=(), description="The wheels that could not be downloaded, and why."
    )
    unread: tuple[str, ...] = Field(
        default=(), description="The native code that could not be read, and why."
    )

    @property
    def counts(self) -> bool:
        """True if the causes count for the verdict although no machine runs the wheels."""
        return self.coverage in (Coverage.INSPECTED_ONLY, Coverage.UNVERIFIED)
