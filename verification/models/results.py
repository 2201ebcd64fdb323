"""The results of a run: of each cell and of each item."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.verdict import ExpectationKind, Outcome, Verdict

StepName = Literal["install", "import", "exercise", "tests", "uninstall"]


class CommandSummary(Model):
    """One command of a cell, as its user types it."""

    name: StepName
    command: str
    code: int | None
    seconds: float | None
    timed_out: bool


class TestsSummary(Model):
    """The package's own tests, where the cell ran them."""

    __test__ = False  # the name begins like a test class; pytest must not collect it

    counts: Mapping[str, int]
    failures: tuple[str, ...] = Field(description="Node ids.")
    left_out: tuple[str, ...] = Field(
        description="Why tests were skipped, expected to fail or deselected, with how often."
    )
    sha256: str = Field(description="Of all files of the tests, by name and content.")


class NativeSummary(Model):
    """What the first native call returned."""

    version: str | None = None
    source: str | None = None


class CellSummary(Model):
    """The evidence of a cell in short. The whole is in a file under ``evidence/``."""

    commands: tuple[CommandSummary, ...]
    steps: Mapping[str, bool]
    python: str = ""
    implementation: str = ""
    system: str = ""
    deviation: str = ""
    started: str = ""
    native: NativeSummary | None = None
    image: str = ""
    served: Mapping[str, str | None] = Field(
        default_factory=dict, description="The sha256 of each wheel that the index served, by name."
    )
    tests: TestsSummary | None = None
    testbed: str = Field(default="", description="What failed in the testbed.")


class CellResult(Model):
    """The result of one cell."""

    id: str
    machine: str
    installer: str
    scenario: str
    expectation: ExpectationKind
    outcome: Outcome
    verdict: Verdict
    causes: tuple[Cause, ...]
    seconds: float = Field(ge=0, description="Wall time, start and end of the machine included.")
    reason: str = Field(default="", description="Why it is unverified.")
    wheel: str = Field(
        default="",
        description="The release's wheel that the index served to the machine; empty if none.",
    )
    mapped: tuple[str, ...] = Field(
        default=(), description="The installed files that the process mapped, with `/` in the path."
    )
    evidence: str = Field(default="", description="The sha256 of the file with its evidence.")
    summary: CellSummary | None = None


class ItemResult(Model):
    """The result of one item of the verification."""

    id: str
    title: str
    verdict: Verdict
    causes: tuple[Cause, ...]
    reason: str = Field(default="", description="Why it is unverified.")


class Coverage(enum.StrEnum):
    """How far a run verifies the wheels for a platform."""

    MACHINES = "machines"
    """Machines of the run install them."""
    INSPECTED_ONLY = "inspected-only"
    """No machine runs them, and the subject does not ask for one."""
    UNVERIFIED = "unverified"
    """The subject asks for a machine that runs them, and there is none."""
    NOT_SELECTED = "not-selected"
    """Machines of the profile run them, and the user selected others."""
    UNDECLARED = "undeclared"
    """The subject does not declare the platform."""


class PlatformResult(Model):
    """The results of the inspection for the wheels of one platform."""

    tag: str = Field(description="The platform tag.")
    coverage: Coverage
    wheels: tuple[str, ...] = Field(default=(), description="The file names.")
    causes: tuple[Cause, ...] = Field(
        default=(), description="Empty where machines run them: the items have these causes."
    )
    not_fetched: tuple[str, ...] = Field(
        default=(), description="The wheels that the index did not serve, and why."
    )
    unread: tuple[str, ...] = Field(
        default=(), description="The native code that could not be read, and why."
    )

    @property
    def counts(self) -> bool:
        """True if the verdict depends on these causes, although no machine runs the wheels."""
        return self.coverage in (Coverage.INSPECTED_ONLY, Coverage.UNVERIFIED)
