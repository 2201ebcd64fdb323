"""The evidence of a cell: everything that its machine, the index and the suite recorded.

It is written to ``report/evidence/CELL.json``. The keys are the names or aliases of the fields. A
step that the cell did not reach is absent: if the installation fails, there is no ``import``.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, JsonValue

from verification.models.base import DataError, Model, parse_json
from verification.models.chosen_values import ChosenValues, TableRows
from verification.models.index_log import IndexRequest
from verification.models.testbed import ImageRecord, TestbedFailureRecord

EVIDENCE_SCHEMA = 3
ValueT = TypeVar("ValueT")


class CellInfo(Model):
    """Which cell it is."""

    id: str
    machine: str
    installer: str
    scenario: str
    refuses: str = ""
    """The cause by which the installer must refuse; empty where it must install."""
    processor: str = ""
    """The emulated processor; empty if none is emulated."""


class CommandRun(Model):
    """One command and how it ended."""

    command: tuple[str, ...]
    """The words, the first as found on the user's PATH."""
    code: int
    """The exit code; negative for a signal."""
    stdout: str
    """The output, its last 20,000 characters."""
    stderr: str
    """The error output, its last 20,000 characters."""
    began: float
    """When it began, in seconds since 1970, UTC."""
    seconds: float
    timed_out: bool
    """Whether it was ended because its time was over."""
    stalled: float
    """For how many seconds of it the machine stood still."""

    @property
    def output(self) -> str:
        """The output and then the error output."""
        return self.stdout + self.stderr


class Retry(Model):
    """Why a cell ran a second time, and the installation of the first."""

    because: str
    install: CommandRun


class Changes(Model):
    """The difference between two snapshots: sorted paths, or keys of the Windows registry."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def by_kind(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of each kind of change."""
        return {"added": self.added, "removed": self.removed, "changed": self.changed}


class SecondInstall(CommandRun):
    """The same installation once more."""

    difference: Changes


class ImportRun(CommandRun):
    """``import`` of the package in a process of its own."""

    made: tuple[str, ...]
    """What it created in the current folder."""


class StepError(Model):
    """What a step raised."""

    type: str
    message: str
    number: int | None = None
    """The operating system's error number."""
    trace: str = ""


class StepResult(Model):
    """How one step of the exercise ended; of one that never did: only ``step`` and ``begun``."""

    step: str
    begun: bool = False
    ok: bool = False
    error: StepError | None = None
    seconds: float = 0.0
    line: str = ""
    """A line of the steps' file that is not JSON."""


class ExerciseStep(StepResult, Generic[ValueT]):
    """One step of the exercise, with what it returned."""

    value: ValueT | None = None


class ImportValue(Model):
    """Where the imported package came from."""

    file: str | None
    """None for a folder without code."""
    folder: str
    version: str | None = None
    """``__version__``, if it is text."""


class NativeCallValue(Model):
    """What the first native call returned."""

    version: JsonValue = None
    source: str | None = None
    """Which copy of its libraries the package says that it loaded."""
    lacking: tuple[str, ...] = ()
    """The functions that the package declares and its libraries do not export."""


class LoadedRuntime(Model):
    """A C++ run-time library of the machine."""

    path: str
    version: tuple[int, ...]


class RunTimesValue(Model):
    """The C++ run-time libraries in the process; nothing on Linux."""

    loaded: Mapping[str, LoadedRuntime] = Field(default_factory=dict)
    linked_by: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)
    """Major and minor version of the linker of each library of the package."""


class RoundTripValue(Model):
    """The values that the package returned, for comparison with the chosen values."""

    returned: Mapping[str, TableRows]
    """By table."""
    not_offered: tuple[str, ...] = ()
    """What this release cannot do yet."""


class ClosedFile(Model):
    """The database file after the package closed it."""

    handles: tuple[str, ...] = ()
    """The names of its files that the process still has open; known on Linux only."""
    remains: tuple[str, ...] = ()
    """The files of SQLite next to it that still exist. SQLite removes them when it closes."""
    refused: str = ""
    """Why the system did not rename or delete it; empty if it did."""


class FailingCall(Model):
    """One call that must fail, and what it did."""

    call: str
    expected: str
    """The class of the error that it must raise."""
    raised: str
    """The class of the error that it raised; empty if it returned."""
    as_expected: bool
    message: str = ""


class DistributionValue(Model):
    """One installed distribution."""

    version: str | None
    folder: str


class FileFault(Model):
    """What is wrong with an installed file."""

    file: str
    observed: str


class RecordValue(Model):
    """The installed files of the package against its RECORD."""

    checked: int
    """How many files RECORD has a hash for."""
    wrong: tuple[FileFault, ...]
    files: tuple[str, ...]
    unreadable: tuple[FileFault, ...] = ()
    """Modules that this Python cannot compile."""
    tags: tuple[str, ...] = ()
    """The tags in WHEEL."""


class EntryPointFault(Model):
    """An entry point that cannot be loaded."""

    name: str
    value: str
    observed: str


class EndValue(Model):
    """The interpreter at the end of the exercise."""

    python: str
    path: tuple[str, ...]


class Steps(Model):
    """The steps of the exercise by name. What is not named here is a use that a scenario tries."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
    __pydantic_extra__: dict[str, ExerciseStep[JsonValue]] = Field(init=False)

    prelude: ExerciseStep[None] | None = None
    import_package: ExerciseStep[ImportValue] | None = Field(default=None, alias="import")
    native_call: ExerciseStep[NativeCallValue] | None = Field(default=None, alias="native-call")
    run_times: ExerciseStep[RunTimesValue] | None = Field(default=None, alias="run-times")
    round_trip: ExerciseStep[RoundTripValue] | None = Field(default=None, alias="round-trip")
    closed_file: ExerciseStep[ClosedFile] | None = Field(default=None, alias="closed-file")
    failing_calls: ExerciseStep[tuple[FailingCall, ...]] | None = Field(
        default=None, alias="failing-calls"
    )
    process_state: ExerciseStep[Mapping[str, tuple[str, str]]] | None = Field(
        default=None, alias="process-state"
    )
    mapped: ExerciseStep[tuple[str, ...]] | None = None
    distributions: ExerciseStep[Mapping[str, DistributionValue]] | None = None
    record: ExerciseStep[RecordValue] | None = None
    entry_points: ExerciseStep[tuple[EntryPointFault, ...]] | None = Field(
        default=None, alias="entry-points"
    )
    end: ExerciseStep[EndValue] | None = None
    garbled: ExerciseStep[None] | None = None

    @property
    def uses(self) -> Mapping[str, ExerciseStep[JsonValue]]:
        """The uses that the scenario tries, by name."""
        return self.__pydantic_extra__

    def by_name(self) -> Mapping[str, StepResult]:
        """Return every step by its name."""
        known = (
            *(self.prelude, self.import_package, self.native_call, self.run_times, self.round_trip),
            *(self.closed_file, self.failing_calls),
            *(self.process_state, self.mapped, self.distributions, self.record, self.entry_points),
            *(self.end, self.garbled),
        )
        return {step.step: step for step in (*known, *self.uses.values()) if step}


class Exercise(CommandRun):
    """The use of the package."""

    trace: str
    """The stacks of a crash or a hang (faulthandler)."""
    steps: Steps


class TestOutcome(enum.StrEnum):
    """What happened to one of the package's own tests.

    Of several outcomes of one test, such as of its teardown, the first here counts.
    """

    __test__ = False  # the name begins like a test class; pytest must not collect it

    FAILED = "failed"
    ERROR = "error"
    UNCOLLECTED = "uncollected"
    PASSED = "passed"
    XPASSED = "xpassed"
    XFAILED = "xfailed"
    SKIPPED = "skipped"
    DESELECTED = "deselected"


class OwnTestFailure(Model):
    """One of the package's own tests that failed or could not be collected."""

    node: str
    outcome: TestOutcome
    text: str
    """The last lines that pytest printed about it."""


class OwnTestLeftOut(Model):
    """One of the package's own tests that was left out or expected to fail."""

    node: str
    outcome: TestOutcome
    reason: str


class OwnTestsEnd(Model):
    """The end of pytest's session."""

    code: int
    file: str | None
    """The file of the package that was tested."""
    imported: bool
    """Whether a test imported the package."""


class OwnTestsRecord(Model):
    """What the plugin recorded of a run of the package's own tests."""

    pytest: str
    """The version of pytest."""
    collected: int | None
    """How many tests there are to run; None if pytest did not collect them."""
    internal: str
    """The failure of pytest itself."""
    end: OwnTestsEnd | None
    counts: Mapping[TestOutcome, int]
    """How many tests had each outcome, every outcome included."""
    begun: int
    """How many tests began."""
    within: str
    """The test that began and did not end."""
    failures: tuple[OwnTestFailure, ...]
    left_out: tuple[OwnTestLeftOut, ...]


class OwnTests(OwnTestsRecord):
    """The package's own tests. Without pytest there is only ``tool`` and no count above zero."""

    tool: CommandRun
    """The installation of pytest."""
    command: tuple[str, ...] = ()
    code: int = 0
    stdout: str = ""
    stderr: str = ""
    began: float = 0.0
    seconds: float = 0.0
    timed_out: bool = False
    stalled: float = 0.0
    trace: str
    sha256: str
    """Of all files of the tests, by name and content."""


class DatabaseFile(Model):
    """The file data.db in the project's folder, as the suite's own SQLite reads it."""

    read_by: str
    tables: Mapping[str, TableRows] = Field(default_factory=dict)
    error: str = ""


class NetworkInfo(Model):
    """The machine's network."""

    default_routes: tuple[tuple[str, ...], ...] = ()
    """None, if the network is closed."""


class CellEvidence(Model):
    """The evidence of one cell."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[3] = Field(alias="schema", description="The number of this form.")
    cell: CellInfo
    image: ImageRecord
    started: str = Field(description="When the cell began, in UTC (ISO 8601).")
    wall_seconds: float = Field(description="How long it took, its machine included.")
    testbed: TestbedFailureRecord | None = None
    """The failure of the testbed that ended the cell."""
    retried: Retry | None = None
    """Under Wine: why the cell ran a second time."""

    python: str = Field(default="", description="The version of the Python that runs the probe.")
    abiflags: str = Field(default="", description="`t` for a free-threaded Python, else empty.")
    implementation: str = ""
    """The implementation of that Python."""
    libc: tuple[str, str] = Field(default=("", ""), description="Name and version; both may be ''.")
    machine: str = Field(default="", description="The kind of processor.")
    processor: str = Field(
        default="", description="The processor's name; the host's where another is emulated."
    )
    system: str = Field(default="", description="Name, version and build of the system.")
    os: Literal["linux", "windows"] = "linux"
    """The machine's operating system."""
    env: Mapping[str, str] = Field(
        default_factory=dict, description="The environment of the user's commands."
    )
    network: NetworkInfo = NetworkInfo()
    """The machine's network."""
    processes_before: tuple[str, ...] = ()
    """The user's processes before the installation."""
    seconds: Mapping[str, float] = Field(
        default_factory=dict,
        description="When the first snapshot and the whole ended, from the beginning of the probe.",
    )

    setup: tuple[CommandRun, ...] = ()
    """The commands of scenario and installer before the first snapshot."""
    first: tuple[CommandRun, ...] = ()
    """The commands before the installation that is judged."""
    install: CommandRun | None = None
    """The installation."""
    installed: Changes = Changes()
    """The changes of the file system by the installation."""
    again: SecondInstall | None = None
    """A second installation."""
    after_install: tuple[CommandRun, ...] = ()
    """The commands of the scenario after the installation."""
    import_run: ImportRun | None = Field(default=None, alias="import")
    """The import of the package."""
    exercise: Exercise | None = None
    """The use of the package."""
    chosen: ChosenValues | None = None
    """The values that the host chose for the smoke test, if the machine was reached."""
    on_disk: DatabaseFile | None = None
    """The database file that the package wrote."""
    free_bytes: int | None = Field(default=None, description="Free space on the disk after use.")
    processes: tuple[str, ...] = Field(
        default=(), description="What the package left running, two seconds later."
    )
    tests: OwnTests | None = None
    """The package's own tests."""
    before_uninstall: tuple[CommandRun, ...] = ()
    """The commands of the scenario before the removal."""
    uninstall: CommandRun | None = None
    """The removal."""
    left: Changes = Field(
        default=Changes(), description="The file system at the end against the beginning."
    )
    since_installed: Changes = Field(
        default=Changes(), description="The file system at the end against the installation."
    )
    registry: Changes = Field(
        default=Changes(), description="The Windows registry at the end against the beginning."
    )

    deviation: str = Field(default="", description="How the command differs from the literal one.")
    loader: tuple[str, ...] = Field(
        default=(), description="What Wine's loader reported of missing libraries and symbols."
    )
    requests: tuple[IndexRequest, ...] = ()
    """The requests of the machine to the index."""

    @property
    def steps(self) -> Steps:
        """The steps of the exercise; none if it was not reached."""
        return self.exercise.steps if self.exercise else Steps()

    def to_json(self) -> str:
        """Return the evidence as JSON; what the cell did not reach is left out."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)


def parse_evidence(text: str | bytes, origin: str) -> CellEvidence:
    """Return the evidence that ``text`` holds as JSON; ``origin`` names the text in an error.

    Paths and messages of a machine may hold bytes that are no UTF-8. Python writes them as lone
    surrogates, which JSON of other programs does not have; each becomes a question mark.

    Raises:
        DataError: the text is not JSON or not the evidence of a cell; it names the field.
    """
    try:
        plain = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError as error:
        raise DataError(f"{origin}: it is not JSON: {error}") from None
    return parse_json(CellEvidence, plain.encode("utf-8", "replace"), origin)


def read_evidence(path: Path) -> CellEvidence:
    """Return the evidence in a file.

    Raises:
        DataError: the file cannot be read, or does not hold the evidence of a cell.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror or error}") from None
    return parse_evidence(text, path.name)
