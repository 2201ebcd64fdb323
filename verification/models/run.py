"""The results of a run, from which its verdict is computed, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.machine import OperatingSystem
from verification.models.results import CellResult, ItemResult, PlatformResult
from verification.models.verdict import ExpectationKind, Verdict


class PlannedCell(Model):
    """A selected cell."""

    id: str
    machine: str
    installer: str
    scenario: str
    system: OperatingSystem
    expectation: ExpectationKind
    comparable: bool = True
    """True if the cell and the static inspection must agree about loading."""
    fits_declared: bool = True
    """True if a declared wheel fits the machine. Otherwise only an additional wheel may fit it."""


class WheelSummary(Model):
    """The results of the static inspection of one wheel."""

    file: str
    causes: tuple[Cause, ...] = ()
    additional: bool = False
    """True if the subject does not declare the wheel, and the release has the declared one too."""
    unread: tuple[str, ...] = ()
    """The native code that could not be read, and why."""
    libraries: frozenset[str] = frozenset()
    """The file names of its native libraries, in lower case."""
    needed: frozenset[str] = frozenset()
    """The names of the libraries that its native libraries need, in lower case."""


class SystemSummary(Model):
    """The results of the static inspection for one operating system."""

    system: OperatingSystem
    wheels: tuple[WheelSummary, ...] = ()
    causes: tuple[Cause, ...] = ()
    """The causes of the set of wheels, such as an incomplete release."""
    not_fetched: tuple[str, ...] = ()
    """The wheels of the release that could not be downloaded, and why."""


class PipelineSummary(Model):
    """The results of the release workflow."""

    causes: tuple[Cause, ...] = ()
    publisher_causes: tuple[Cause, ...] = ()
    """The causes that are about the trusted publisher."""
    identity_exchanged: bool = False
    """True if the index exchanged an identity token of the workflow for an upload token."""
    not_run: str = ""
    """Why the workflow did not run; empty if it ran."""
    event: Literal["tag", "branch", "release", "workflow_dispatch"] = "tag"
    """The event that starts it."""
    closure_not_proved: str = ""
    """Why it is not proved that the network of the jobs is closed; empty if this is proved."""
    unregistered: str = ""
    """The fields to register if the run had no registration of the publisher, else empty."""


class PublishedSummary(Model):
    """The comparison of a published release with the files that an earlier gate verified."""

    causes: tuple[Cause, ...] = ()
    """The differences."""
    not_compared: tuple[str, ...] = ()
    """What is not compared, and why."""


class FailedTest(Model):
    """A test that failed and has no cell result."""

    node: str
    item: str = ""
    """The item that the test belongs to; empty if it belongs to none."""
    error: bool = False
    """True if a fixture, the code of the test or the test runner failed."""


class RunResult(Model):
    """The results of a run, collected by the controller."""

    subject: str
    strict: bool = False
    """True if flawed causes fail the run."""
    from_source: bool = False
    """True if the run builds the wheels from a source."""
    prepared: bool = True
    """True if the testbed was ready for the first cell."""
    closure_not_proved: str = ""
    """Why it is not proved that the network of the machines is closed; empty if this is proved."""
    setup_failure: Cause | None = None
    """The failure outside the cells: of the set-up, the controller or the clean-up."""
    finished: bool = True
    """False for the report that a run writes before its set-up."""
    interrupted: bool = False
    systems: tuple[SystemSummary, ...] = ()
    """The operating systems of the selected machines."""
    platforms: tuple[PlatformResult, ...] = ()
    """Every platform of the subject, and each undeclared platform of a wheel."""
    planned: tuple[PlannedCell, ...] = ()
    """The selected cells. A cell without a result did not run."""
    cells: tuple[CellResult, ...] = ()
    release_causes: tuple[Cause, ...] = ()
    """The causes of the set of all wheels."""
    upload_refused: Cause | None = None
    pipeline: PipelineSummary | None = None
    """None if the release workflow is not part of the run."""
    published: PublishedSummary | None = None
    """None if the release is not compared with the files of an earlier gate."""
    failed_tests: tuple[FailedTest, ...] = ()


class Shard(Model):
    """One part of the cells of a run."""

    number: int
    """Its number, from 1."""
    total: int
    """The number of shards of the run."""

    def __str__(self) -> str:
        """Return the value of the option, such as ``2/3``."""
        return f"{self.number}/{self.total}"

    @property
    def has_workflow(self) -> bool:
        """True if this shard runs the release workflow."""
        return self.number == 1


class ShardRecord(Model):
    """What `./e2e merge` needs of the run of a shard."""

    shard: Shard
    results: str
    """The sha256 of ``results.json``."""
    cells: tuple[PlannedCell, ...]
    """The cells of all shards."""
    run: RunResult
    """The input of the verdict of this shard."""
    packages: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """The packages of each image (`Image.packages`), by the name of the image."""


class RunVerdict(Model):
    """The verdict on a run and on each of its parts."""

    verdict: Verdict
    items: tuple[ItemResult, ...]
    cells: tuple[CellResult, ...]
    """One result for each planned cell, in the order of the plan."""
    not_selected: tuple[str, ...] = Field(
        default=(), description="The items without a selected cell."
    )
    platforms: tuple[PlatformResult, ...] = ()
    """How far the wheels for each platform are verified."""
