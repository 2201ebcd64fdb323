"""The input from which the verdict of a run is computed, and that verdict."""

from __future__ import annotations

from pydantic import Field

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.machine import OperatingSystem
from verification.models.results import CellResult, ItemResult, PlatformResult
from verification.models.verdict import ExpectationKind, Verdict


class PlannedCell(Model):
    """A cell that the run is asked for."""

    id: str
    machine: str
    installer: str
    scenario: str
    system: OperatingSystem
    expectation: ExpectationKind
    comparable: bool = True
    """Whether the cell and the static inspection answer the same question about loading."""


class WheelFacts(Model):
    """What the static inspection reports of one wheel."""

    file: str
    causes: tuple[Cause, ...] = ()
    additional: bool = False
    """Whether the subject does not declare it: it is in the release next to a declared wheel."""
    unread: tuple[str, ...] = ()
    """The native code that could not be read, and why."""
    libraries: frozenset[str] = frozenset()
    """The file names of its native libraries, in lower case."""
    needed: frozenset[str] = frozenset()
    """The names of the libraries that its native libraries need, in lower case."""


class SystemFacts(Model):
    """What is known of the release for one operating system before any machine ran."""

    system: OperatingSystem
    wheels: tuple[WheelFacts, ...] = ()
    causes: tuple[Cause, ...] = ()
    """The causes of the set of wheels, such as an incomplete release."""
    not_fetched: tuple[str, ...] = ()
    """The wheels of the release that the index did not serve, and why."""


class PipelineFacts(Model):
    """What the release workflow showed."""

    causes: tuple[Cause, ...] = ()
    publisher_causes: tuple[Cause, ...] = ()
    """Those of the causes that are about who publishes."""
    identity_exchanged: bool = False
    """Whether the index took an identity of the workflow and gave an upload token for it."""
    not_run: str = ""
    """Why the workflow did not run; empty if it ran."""


class FailedTest(Model):
    """A test that failed without the result of a cell."""

    node: str
    item: str = ""
    """The item that the test is of; empty if it is of none."""
    error: bool = False
    """Whether the test's own code failed, in a fixture or in the test runner."""


class RunResult(Model):
    """The results of a run, collected by the controller."""

    subject: str
    strict: bool = False
    """Whether flawed causes fail as well."""
    from_source: bool = False
    """Whether the run builds the wheels from a source."""
    prepared: bool = True
    """Whether the testbed was ready for the first cell."""
    setup_failure: Cause | None = None
    """What failed outside the cells: the set-up, the controller or the clean-up."""
    finished: bool = True
    """False for the report that a run writes before its set-up."""
    interrupted: bool = False
    systems: tuple[SystemFacts, ...] = ()
    """The operating systems of the selected machines."""
    platforms: tuple[PlatformResult, ...] = ()
    """Every platform of the subject, and each undeclared platform of a wheel."""
    planned: tuple[PlannedCell, ...] = ()
    """The cells that are selected; a cell without a result did not run."""
    cells: tuple[CellResult, ...] = ()
    release_causes: tuple[Cause, ...] = ()
    """The causes that the wheels of all systems show together."""
    upload_refused: Cause | None = None
    pipeline: PipelineFacts | None = None
    """None if the release workflow is not part of the run."""
    failed_tests: tuple[FailedTest, ...] = ()


class RunVerdict(Model):
    """The verdict on a run and on each of its parts."""

    verdict: Verdict
    items: tuple[ItemResult, ...]
    cells: tuple[CellResult, ...]
    """One result for each planned cell, in the order of the plan."""
    not_selected: tuple[str, ...] = Field(
        default=(), description="The items that no selected cell belongs to."
    )
    platforms: tuple[PlatformResult, ...] = ()
    """How far the wheels for each platform are verified."""
