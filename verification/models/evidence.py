"""The evidence of a cell: everything that its machine, the index and the suite recorded.

The file is ``report/evidence/SHA256.json``. The keys are the names or aliases of the fields. A step
that the cell did not reach has no key: if the installation fails, there is no ``import``.
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
from verification.models.limits import LimitRecord
from verification.models.testbed import ImageRecord, TestbedFailureRecord

EVIDENCE_SCHEMA = 3
ValueT = TypeVar("ValueT")


class CellInfo(Model):
    """The names of the cell and of its parts."""

    id: str
    """Machine, installer and scenario, joined by dashes."""
    machine: str
    """The name of the machine."""
    installer: str
    """The name of the installer."""
    scenario: str
    """The name of the scenario."""
    refuses: str = ""
    """The name of the cause with which the installer must refuse; empty if it must install."""
    processor: str = ""
    """The emulated processor; empty if none is emulated."""


class CommandRun(Model):
    """One command and its result."""

    command: tuple[str, ...]
    """The words of the command. The first one is its path on the user's PATH."""
    code: int
    """The exit code; negative for a signal."""
    stdout: str
    """The last 20,000 characters of the output."""
    stderr: str
    """The last 20,000 characters of the error output."""
    began: float
    """The start, in seconds since 1970, UTC."""
    seconds: float
    """The duration in seconds."""
    timed_out: bool
    """True if the suite ended it after its time limit."""
    stalled: float
    """For how many seconds of its duration the machine did not run."""

    @property
    def output(self) -> str:
        """The output, followed by the error output."""
        return self.stdout + self.stderr


class Retry(Model):
    """The first run of a cell that ran twice."""

    because: str
    """The command that crashed: `install`, or `tool` for the installation of pytest."""
    command: CommandRun
    """The crashed command and its result."""


class Changes(Model):
    """The difference between two snapshots: sorted paths, or keys of the Windows registry."""

    added: tuple[str, ...] = ()
    """The new ones."""
    removed: tuple[str, ...] = ()
    """Those that no longer exist."""
    changed: tuple[str, ...] = ()
    """Those with another mode, size, modification time or registry value."""

    def by_kind(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of each kind of change."""
        return {"added": self.added, "removed": self.removed, "changed": self.changed}


class SecondInstall(CommandRun):
    """A second run of the same installation."""

    difference: Changes
    """What the second run changed."""


class ImportRun(CommandRun):
    """``import`` of the package in a separate process."""

    made: tuple[str, ...]
    """The files that it created in the current folder."""
    sent: Mapping[str, int] | None = None
    """The growth of the machine's counters of connections and packets (Linux, proc(5)), by counter.
    Counters that have not grown are left out; null if not recorded."""


class StepError(Model):
    """The exception of a step."""

    type: str
    """The name of the exception's class."""
    message: str
    """The text of the exception."""
    number: int | None = None
    """The operating system's error number."""
    trace: str = ""
    """The last 4,000 characters of the traceback."""


class StepResult(Model):
    """The result of one step of the exercise.

    A step that did not end has only `step` and `begun`.
    """

    step: str
    """The name of the step."""
    begun: bool = False
    """True if the step began and did not end."""
    ok: bool = False
    """True if it ended without an exception."""
    error: StepError | None = None
    """Its exception; null if there is none."""
    seconds: float = 0.0
    """The duration in seconds."""
    cpu_seconds: float | None = None
    """The processor time of the process during the step, in seconds; null if not recorded."""
    waited: float | None = None
    """For how many seconds its thread was ready and waited for a processor. Null if not recorded.
    Only Linux records it."""
    line: str = ""
    """A line of the file with the steps that is not JSON."""


class ExerciseStep(StepResult, Generic[ValueT]):
    """One step of the exercise, with its return value."""

    value: ValueT | None = None
    """What the step returned; null if it returned nothing. `Steps` has the type of each step."""


class ImportValue(Model):
    """Where the imported package came from."""

    file: str | None
    """The path of the module; None for a folder without code."""
    folder: str
    """The folder of the imported package."""
    version: str | None = None
    """``__version__``, if it is text."""
    extension_modules: Mapping[str, bool] = Field(default_factory=dict)
    """The files of the extension modules that Python began to load until the end of the import, and
    whether the loader accepted them."""


class NativeCallValue(Model):
    """The result of the first native call."""

    version: JsonValue = None
    """The version that the package reports."""
    source: str | None = None
    """The copy of its libraries that the package reports to have loaded."""
    lacking: tuple[str, ...] = ()
    """The functions that the package declares and its libraries do not export."""


class LoadedRuntime(Model):
    """A C++ run-time library of the machine."""

    path: str
    """The path of the file."""
    version: tuple[int, ...]
    """The numbers of the file's version; empty if it has none."""


class RunTimesValue(Model):
    """The C++ run-time libraries in the process; empty on Linux."""

    loaded: Mapping[str, LoadedRuntime] = Field(default_factory=dict)
    """The loaded libraries by file name."""
    linked_by: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)
    """The linker's major and minor version, by library of the package."""


class RoundTripValue(Model):
    """The values that the package returned. A rule compares them with the chosen values."""

    returned: Mapping[str, TableRows]
    """The rows by table."""
    not_offered: tuple[str, ...] = ()
    """The features that this release does not have yet."""


class ClosedFile(Model):
    """The state of the database file after the package closed it."""

    handles: tuple[str, ...] = ()
    """The names of the database files that the process still has open; recorded on Linux only."""
    remains: tuple[str, ...] = ()
    """The files of SQLite next to it that still exist. SQLite removes them when it closes."""
    refused: str = ""
    """Why the system did not rename or delete the file; empty if it did."""


class FailingCall(Model):
    """One call that must fail, and its result."""

    call: str
    """The name that the subject gives the call."""
    expected: str
    """The exception class that it must raise."""
    raised: str
    """The exception class that it raised; empty if it returned."""
    as_expected: bool
    """True if it raised this class or a subclass."""
    message: str = ""
    """The text of the exception, or what the call returned; at most 300 characters."""


class DistributionValue(Model):
    """One installed distribution."""

    version: str | None
    """The version; null if its metadata has none."""
    folder: str
    """The folder that contains it."""


class FileFault(Model):
    """A fault of an installed file."""

    file: str
    """The path of the file."""
    observed: str
    """What is wrong with it."""


class CompilerWarning(Model):
    """A SyntaxWarning about a module of the package."""

    file: str
    """The path of the module."""
    line: int
    """The number of the line."""
    message: str
    """The text of the warning."""
    imported: bool
    """True if the process had imported the module."""


class RecordValue(Model):
    """The comparison of the package's installed files with its RECORD."""

    checked: int
    """The number of files that have a hash in RECORD."""
    wrong: tuple[FileFault, ...]
    """The files that are missing or differ."""
    files: tuple[str, ...]
    """The files that RECORD lists."""
    unreadable: tuple[FileFault, ...] = ()
    """The modules that this Python cannot compile."""
    warned: tuple[CompilerWarning, ...] = ()
    """The warnings of the compiler about its modules."""
    scripts: tuple[FileFault, ...] = ()
    """The commands whose first line names a program that the machine does not have (Linux)."""
    startup: tuple[FileFault, ...] = ()
    """The code of its files that each start of Python executes."""
    tags: tuple[str, ...] = ()
    """The tags in the file WHEEL."""


class EntryPointFault(Model):
    """An entry point that cannot be loaded."""

    name: str
    """The name of the entry point."""
    group: str = ""
    """Its group, such as `console_scripts`; empty if it is not recorded."""
    value: str
    """The object that it names, such as `package.module:function`."""
    observed: str
    """Why it cannot be loaded."""


class ProcessChange(Model):
    """One change of the process."""

    kind: str
    """The kind of state, such as `process` or `environment variable`."""
    name: str
    """The name of the value, such as `recursion limit` or `TZ`."""
    old: str | None
    """The old value; null if it did not exist."""
    new: str | None
    """The new value; null if it does not exist any more."""


class EffectsValue(Model):
    """The changes of one step of the observation."""

    changes: tuple[ProcessChange, ...]
    """The changes of the process."""


class Contact(Model):
    """A contact of Python code with another host, or the lookup of one."""

    step: str
    """The step during which it happened."""
    how: Literal["lookup", "connection", "datagram"]
    """The kind of contact."""
    host: str
    """The name or address of the host."""
    port: str
    """The number or name of the port; empty if there is none."""


class EndValue(Model):
    """The interpreter at the end of the exercise."""

    python: str
    """The version of the interpreter."""
    path: tuple[str, ...]
    """The value of ``sys.path``."""
    start_seconds: float | None = None
    """The processor time of the process before its first step, in seconds; null if not recorded."""


class Steps(Model):
    """The steps of the exercise by name. All other keys are the uses that a scenario tries."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
    __pydantic_extra__: dict[str, ExerciseStep[JsonValue]] = Field(init=False)

    prelude: ExerciseStep[None] | None = None
    """The scenario's code that runs before the import."""
    import_package: ExerciseStep[ImportValue] | None = Field(default=None, alias="import")
    """The import of the package."""
    native_call: ExerciseStep[NativeCallValue] | None = Field(default=None, alias="native-call")
    """The first call of native code."""
    run_times: ExerciseStep[RunTimesValue] | None = Field(default=None, alias="run-times")
    """The C++ run-time libraries in the process."""
    round_trip: ExerciseStep[RoundTripValue] | None = Field(default=None, alias="round-trip")
    """Writing and reading the chosen values."""
    closed_file: ExerciseStep[ClosedFile] | None = Field(default=None, alias="closed-file")
    """Renaming and deleting the closed database."""
    failing_calls: ExerciseStep[tuple[FailingCall, ...]] | None = Field(
        default=None, alias="failing-calls"
    )
    """The calls that must fail."""
    process_state: ExerciseStep[Mapping[str, tuple[str, str]]] | None = Field(
        default=None, alias="process-state"
    )
    """What the package and others changed in its process: the old and the new value, by name.
    In the observation, what only the others changed."""
    mapped: ExerciseStep[tuple[str, ...]] | None = None
    """The full paths of the libraries in the process."""
    distributions: ExerciseStep[Mapping[str, DistributionValue]] | None = None
    """The installed distributions, by name."""
    record: ExerciseStep[RecordValue] | None = None
    """The comparison with RECORD."""
    entry_points: ExerciseStep[tuple[EntryPointFault, ...]] | None = Field(
        default=None, alias="entry-points"
    )
    """The entry points that cannot be loaded."""
    written_files: ExerciseStep[tuple[str, ...]] | None = Field(default=None, alias="written-files")
    """The full paths of the files and folders that the smoke test itself made."""
    contacts: ExerciseStep[tuple[Contact, ...]] | None = None
    """The other hosts that Python code looked up or contacted, at most 100."""
    import_effects: ExerciseStep[EffectsValue] | None = Field(default=None, alias="import-effects")
    """What the import changed; recorded in the observation only."""
    call_effects: ExerciseStep[EffectsValue] | None = Field(default=None, alias="call-effects")
    """What the first native call changed; recorded in the observation only."""
    end: ExerciseStep[EndValue] | None = None
    """The interpreter at the end."""
    exit: ExerciseStep[None] | None = None
    """The end of the last function that Python runs at its exit."""
    garbled: ExerciseStep[None] | None = None
    """A line of the file with the steps that is not JSON."""

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
            *(self.written_files, self.contacts, self.import_effects, self.call_effects),
            *(self.end, self.exit, self.garbled),
        )
        return {step.step: step for step in (*known, *self.uses.values()) if step}


class LibraryReading(Model):
    """The reading of a process by the probe, while all processes of the user are stopped."""

    libraries: tuple[str, ...] | None = None
    """The full paths of the libraries that the process has mapped; null after an error."""
    error: str = ""
    """Why the probe could not read them."""


class Exercise(CommandRun):
    """The process that uses the package."""

    trace: str
    """The stacks of a crash or a hang (faulthandler)."""
    loaded: tuple[str, ...] = ()
    """The libraries that Python began to load, in order: extension modules, and those of ctypes."""
    steps: Steps
    """The steps that began. The package controls the process that writes them."""
    sent: Mapping[str, int] | None = None
    """As for the import; recorded in the observation only."""
    maps: LibraryReading | None = None
    """The reading of its libraries by the probe; null if the process did not ask for it, or if not
    recorded. Windows has none."""

    @property
    def mapped(self) -> tuple[str, ...] | None:
        """The full paths of the libraries in the process; None if unknown.

        If the probe did not read them, they are those that the process reports.
        """
        if self.maps:
            return self.maps.libraries
        return self.steps.mapped.value if self.steps.mapped else None


class TestOutcome(enum.StrEnum):
    """The outcome of one of the package's own tests.

    If a test has several outcomes, for example one of its teardown, the first in this list counts.
    """

    __test__ = False  # pytest must not collect it, although its name starts with Test

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
    """The node id of the test."""
    outcome: TestOutcome
    """How it failed."""
    text: str
    """The last lines of pytest's report about it."""


class OwnTestLeftOut(Model):
    """One of the package's own tests that did not run or was expected to fail."""

    node: str
    """The node id of the test."""
    outcome: TestOutcome
    """How it was left out."""
    reason: str
    """The reason that the test gives; empty if it gives none."""


class OwnTestsEnd(Model):
    """The end of pytest's session."""

    code: int
    """The exit code of pytest."""
    file: str | None
    """The path of the imported package."""
    imported: bool
    """True if a test imported the package."""


class OwnTestsRecord(Model):
    """The record that the plugin makes of a run of the package's own tests."""

    pytest: str
    """The version of pytest."""
    collected: int | None
    """The number of collected tests; None if pytest did not collect them."""
    internal: str
    """The internal error of pytest; empty if there is none."""
    end: OwnTestsEnd | None
    """The end of pytest's session; null if it did not end."""
    counts: Mapping[TestOutcome, int]
    """The number of tests for each outcome, including outcomes without a test."""
    begun: int
    """The number of tests that began."""
    within: str
    """The test that began and did not end; empty if all ended."""
    failures: tuple[OwnTestFailure, ...]
    """The tests that failed or could not be collected."""
    left_out: tuple[OwnTestLeftOut, ...]
    """The tests that did not run or were expected to fail."""


class OwnTests(OwnTestsRecord):
    """The run of the package's own tests.

    If ``tool``, the installation of pytest, fails, no test runs.
    """

    tool: CommandRun
    """The installation of pytest."""
    command: tuple[str, ...] = ()
    """The words of the command; empty if no test ran."""
    code: int = 0
    """The exit code; negative for a signal."""
    stdout: str = ""
    """The last 20,000 characters of the output."""
    stderr: str = ""
    """The last 20,000 characters of the error output."""
    began: float = 0.0
    """The start, in seconds since 1970, UTC."""
    seconds: float = 0.0
    """The duration in seconds."""
    timed_out: bool = False
    """True if the suite ended it after its time limit."""
    stalled: float = 0.0
    """For how many seconds of its duration the machine did not run."""
    trace: str
    """The stacks of a crash or a hang (faulthandler)."""
    sha256: str
    """The hash of the names and contents of all test files."""


class DatabaseFile(Model):
    """The file data.db in the project's folder. The suite reads it with a separate SQLite."""

    read_by: str
    """The word SQLite and the version."""
    tables: Mapping[str, TableRows] = Field(default_factory=dict)
    """The rows of each table, by name."""
    error: str = ""
    """Why the file could not be read; empty if it could."""


class Isolation(Model):
    """How the probe is isolated from the processes of the user.

    If both have the same account, a process of the user can change what the probe records.
    """

    separate: bool
    """True if the commands of the user have another account than the probe."""
    because: Literal["", "root", "windows"] = ""
    """Why both have the same account: the user is root, or the system is Windows or Wine."""


class NetworkInfo(Model):
    """The machine's network."""

    default_routes: tuple[tuple[str, ...], ...] = ()
    """The default routes of the machine. Their gateway does not answer on a closed network."""


class CellEvidence(Model):
    """The evidence of one cell."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[3] = Field(alias="schema", description="The version of this schema.")
    cell: CellInfo
    """The names of the cell and of its parts."""
    image: ImageRecord
    """The image of the machine."""
    engine: str = Field(
        default="", description="The engine of the machine; empty if the run has only one."
    )
    started: str = Field(description="The start of the cell, in UTC (ISO 8601).")
    wall_seconds: float = Field(
        description="Wall time, including the start and end of the machine."
    )
    testbed: TestbedFailureRecord | None = None
    """The failure of the testbed that ended the cell."""
    limits: LimitRecord | None = None
    """The limits of the machine and what it used; None if they were not read."""
    isolation: Isolation | None = None
    """How the probe is isolated from the user's processes; null if not recorded."""
    retried: Retry | None = None
    """The first run, if the cell ran twice. This happens only under Wine."""
    engine_retries: int = Field(
        default=0,
        ge=0,
        description="How often the cell retried an engine request because a connection broke.",
    )

    python: str = Field(default="", description="The version of the Python that runs the probe.")
    abiflags: str = Field(default="", description="`t` for a free-threaded Python, else empty.")
    implementation: str = ""
    """The implementation of the probe's Python."""
    libc: tuple[str, str] = Field(
        default=("", ""), description="The C library's name and version; empty if unknown."
    )
    machine: str = Field(default="", description="The architecture, such as x86_64.")
    processor: str = Field(
        default="", description="The processor's name; the host's name if one is emulated."
    )
    system: str = Field(default="", description="Name, version and build of the system.")
    wine: str = Field(
        default="", description="The version of Wine; empty if the machine does not use it."
    )
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
        description="When the first snapshot and the probe ended, in seconds after its start.",
    )

    setup: tuple[CommandRun, ...] = ()
    """The commands of scenario and installer before the first snapshot."""
    first: tuple[CommandRun, ...] = ()
    """The commands between the first snapshot and the installation."""
    install: CommandRun | None = None
    """The installation."""
    installed: Changes = Changes()
    """What the installation changed in the file system."""
    again: SecondInstall | None = None
    """A second installation."""
    after_install: tuple[CommandRun, ...] = ()
    """The commands of the scenario after the installation."""
    import_run: ImportRun | None = Field(default=None, alias="import")
    """The import of the package."""
    exercise: Exercise | None = None
    """The use of the package."""
    observation: Exercise | None = None
    """The import and the first native call in a separate process, which records what they change.
    Its streams have only what native code prints. The character U+001E separates four parts: the
    start, the import, the call and the end. None if the exercise failed, or if not recorded."""
    chosen: ChosenValues | None = None
    """The values that the host chose for the smoke test; None if the machine was not reached."""
    on_disk: DatabaseFile | None = None
    """The database file that the package wrote."""
    free_bytes: int | None = Field(
        default=None, description="Free space on the disk after use, in bytes."
    )
    processes: tuple[str, ...] = Field(
        default=(), description="The processes that still run two seconds after use."
    )
    other_process: Literal["running", "stopped", "ended"] | None = None
    """The state after use of a process of the user that has nothing to do with the package; None if
    there was none."""
    tests: OwnTests | None = None
    """The package's own tests."""
    before_uninstall: tuple[CommandRun, ...] = ()
    """The commands of the scenario before the removal."""
    uninstall: CommandRun | None = None
    """The removal."""
    left: Changes = Field(
        default=Changes(),
        description="The changes of the file system between the first and the last snapshot.",
    )
    since_installed: Changes = Field(
        default=Changes(),
        description="The changes of the file system between the installation and the end.",
    )
    registry: Changes = Field(
        default=Changes(),
        description="The changes of the Windows registry between the beginning and the end.",
    )

    deviation: str = Field(
        default="", description="How the command differs from the literal command."
    )
    loader: tuple[str, ...] = Field(
        default=(), description="The missing libraries and symbols that Wine's loader reported."
    )
    requests: tuple[IndexRequest, ...] = ()
    """The requests of the machine to the index, also of a machine that was lost."""

    @property
    def steps(self) -> Steps:
        """The steps of the exercise; empty if the cell did not reach it."""
        return self.exercise.steps if self.exercise else Steps()

    @property
    def has_requests(self) -> bool:
        """True if the requests of the machine were recorded, even if there are none."""
        return "requests" in self.model_fields_set

    @property
    def mapped(self) -> tuple[str, ...] | None:
        """The full paths of the libraries in the process of the exercise; None if unknown."""
        return self.exercise.mapped if self.exercise else None

    @property
    def written_files(self) -> frozenset[str]:
        """The full paths of the files and folders that the smoke test itself made."""
        runs = (self.exercise, self.observation)
        written = (run.steps.written_files for run in runs if run)
        return frozenset(path for step in written for path in (step and step.value) or ())

    def to_json(self) -> str:
        """Return the evidence as JSON, without the steps that the cell did not reach."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)


def parse_evidence(text: str | bytes, origin: str) -> CellEvidence:
    """Return the evidence in a JSON text; ``origin`` names the text in an error.

    Paths and messages of a machine can contain bytes that are not UTF-8. Python's JSON has a lone
    surrogate for each. It becomes a question mark.

    Raises:
        DataError: the text is not JSON, or not the evidence of a cell.
    """
    try:
        plain = json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not JSON: {error}") from None
    return parse_json(CellEvidence, plain.encode("utf-8", "replace"), origin)


def read_evidence(path: Path) -> CellEvidence:
    """Return the evidence in a file.

    Raises:
        DataError: the file cannot be read, or is not the evidence of a cell.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse_evidence(text, path.name)
