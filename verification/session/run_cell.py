"""Run a cell on a new machine and collect its evidence."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue, TypeAdapter

from containers.commands import CommandResult
from containers.engine_client import count_retries, failing_as
from containers.machine import Machine, MachineSetup
from containers.progress import print_line
from verification.models.base import DataError, Model
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.evidence import (
    EVIDENCE_SCHEMA,
    CellEvidence,
    Isolation,
    parse_evidence,
)
from verification.models.index_log import IndexRequest
from verification.models.limits import LimitRecord
from verification.models.machine import PLAN, PLUGIN, PROBE, SCRIPTS
from verification.models.subject import Subject
from verification.models.testbed import Image, TestbedFailureRecord
from verification.scenarios import installers
from verification.scenarios.instructions import (
    TIME_LIMITS,
    ProbeInstructions,
    instructions,
    own_tests_instructions,
    root_commands,
)
from verification.session import own_tests, project_files
from verification.session.own_tests import OwnTestFiles
from verification.session.prepare import PreparedRun
from verification.subjects import chosen_values, database

_PROBE = Path(__file__).parents[1] / "probe"
_LOADER_LINE = re.compile(r":err:module:|:module:import_dll |: Call from .* unimplemented function")
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ](?:/|$)')
"""A path that a Windows machine cannot have. Test files with such a path are left out there."""
_SPARE_SECONDS = 60
_DATABASE_BYTES = 4_000_000
"""More than the exercise can write."""
_ISOLATED = ("-I", "-B")
"""The options with which Python reads nothing of the user and writes no bytecode."""
_REFUSED = "evidence-refused"
_HOST_FIELDS = ("schema", "cell", "image", "engine", "started", "wall_seconds")
RawEvidence = dict[str, JsonValue]
"""Evidence in the form that the probe prints, before it is validated."""
_RAW: TypeAdapter[RawEvidence] = TypeAdapter(RawEvidence)


class PlantedFault(Model):
    """The changes that a fault test makes to a machine before the user's first command."""

    environment: Mapping[str, str] = {}
    files: Mapping[str, bytes] = {}
    """The contents of files, by absolute path."""
    command: tuple[str, ...] = ()
    """A command that root runs first."""


class CellRequest(NamedTuple):
    """One cell to run."""

    prepared: PreparedRun
    subject: Subject
    cell: Cell
    tests: Path | None = None
    """The folder of the package's own tests."""
    planted: PlantedFault = PlantedFault()
    seconds: Mapping[str, int] = TIME_LIMITS

    @property
    def image(self) -> Image:
        """The image of the machine."""
        return self.prepared.machines[self.cell.machine.name]

    @property
    def test_files(self) -> OwnTestFiles | None:
        """The package's own tests with the files around them; None if the cell runs none."""
        if not self.tests or not self.cell.runs_tests:
            return None
        return own_tests.collect(self.tests, {self.subject.import_package, *self.prepared.modules})


def run(request: CellRequest, running: list[Machine] | None = None) -> CellEvidence:
    """Run a cell and return its evidence. A testbed failure is part of the evidence.

    If `running` is a list, the machine is added to it and not removed.

    Raises:
        WrongUse: the scenario runs the package's own tests, and the request has none.
    """
    cell = request.cell
    if cell.runs_tests and request.tests is None:
        raise WrongUse(f"{cell.id} runs the package's own tests; name their folder with --tests")
    started_at = time.monotonic()
    evidence: RawEvidence = {
        "schema": EVIDENCE_SCHEMA,
        "cell": {
            "id": cell.id,
            "machine": cell.machine.name,
            "installer": cell.installer.name,
            "scenario": cell.scenario.name,
            "refuses": cell.refusal,
            "processor": cell.machine.processor,
        },
        "image": request.image.record().model_dump(),
        "engine": request.prepared.testbed.engine.name,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    with count_retries() as retries:
        try:
            cell_evidence = _run_on_machine(request, running, evidence)
            if crash := _installer_crash(cell, cell_evidence):
                print_line(f"{cell.id}: {cell.installer.name} crashed under Wine; running it again")
                again = _run_on_machine(request, running, evidence)
                cell_evidence = again | {"retried": crash}
            evidence |= cell_evidence
        except TestbedFailure as failure:
            evidence["testbed"] = _failure_record(request, failure)
    evidence["engine_retries"] = retries.value
    evidence["wall_seconds"] = round(time.monotonic() - started_at, 3)
    try:
        return parse_evidence(json.dumps(evidence), cell.id)
    except DataError as error:  # a process of the user wrote it
        known = {name: evidence[name] for name in _HOST_FIELDS}
        refused = TestbedFailureRecord(cause=_REFUSED, where=cell.id, observed=str(error))
        return parse_evidence(json.dumps(known | {"testbed": refused.model_dump()}), cell.id)


def _failure_record(request: CellRequest, failure: TestbedFailure) -> RawEvidence:
    """Return the record of a failure. With several engines it names one that has ended."""
    engine = request.prepared.testbed.engine
    cause, where = failure.cause, failure.where
    if engine.name and not engine.answers():
        cause, where = "engine-unreachable", f"engine {engine.name}"
    return {"cause": cause, "where": where, "observed": failure.message}


def _installer_crash(cell: Cell, evidence: RawEvidence) -> RawEvidence | None:
    """Return the `Retry` of a cell if uv crashed under Wine, else None.

    This happens in about one of 500 runs, and not on other machines.
    """
    if cell.machine.runs_on != "wine" or installers.program_of(cell.installer.name) != "uv":
        return None
    tests = evidence.get("tests")
    commands = {
        "install": evidence.get("install"),
        "tool": tests.get("tool") if isinstance(tests, dict) else None,
    }
    for name, command in commands.items():
        if _has_crashed(command):
            return {"because": name, "command": command}
    return None


def _has_crashed(command: JsonValue) -> bool:
    """Return True if SIGSEGV or an NTSTATUS of severity error ended a command."""
    code = command.get("code") if isinstance(command, dict) else None
    if not isinstance(code, int):
        return False
    return code == 139 or code & 0xFFFFFFFF >= 0xC0000000


@failing_as("engine-unreachable", "engine")
def _run_on_machine(
    request: CellRequest, running: list[Machine] | None, host_evidence: RawEvidence
) -> RawEvidence:
    """Return what the machine recorded. Add limits and requests, even of a lost one, to the host's.

    Raises:
        TestbedFailure: the machine is lost, or its evidence is refused.
    """

    def keep_limits(record: LimitRecord) -> None:
        host_evidence["limits"] = record.model_dump(mode="json")

    def keep_requests(lines: list[IndexRequest]) -> None:
        host_evidence["requests"] = [line.model_dump(exclude_unset=True) for line in lines]

    cell, release = request.cell, request.prepared.release
    chosen = chosen_values.for_subject(request.subject, request.prepared.seed)
    tests = request.test_files
    probe_plan = instructions(
        cell,
        request.subject,
        version=release.version,
        previous=request.prepared.previous(cell.machine),
        chosen=chosen,
        seconds=request.seconds,
    )
    probe_plan = probe_plan.model_copy(
        update={
            "env": {**probe_plan.env, **request.planted.environment},
            "tests": tests and own_tests_instructions(cell, tests.location),
        }
    )
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as watch:
        setup = MachineSetup(
            tmpfs=cell.scenario.tmpfs, files=probe_files(probe_plan, request.subject)
        )
        machine = stack.enter_context(
            request.prepared.testbed.machine(cell.machine, request.image, setup)
        )
        watch.enter_context(machine.recorded_limits(keep_limits))
        watch.enter_context(request.prepared.testbed.recorded_requests(machine, keep_requests))
        prepare_machine(machine, request, tests)
        options = _ISOLATED if cell.has_own_account else ()
        scripts = (machine.layout.path(name) for name in (PROBE, PLAN))
        result = machine.run(
            [*machine.layout.python, *options, *scripts],
            user="root" if cell.has_own_account else cell.scenario.user,
            seconds=_limit(cell, request.seconds),
        )
        evidence = _read_evidence(cell, result)
        if cell.machine.os == "windows" and "exercise" in evidence:
            evidence["on_disk"] = _database_files(machine, cell)
        watch.close()
        if running is not None:
            running.append(machine)
            stack.pop_all()
    if isinstance(files := evidence.get("on_disk"), dict):
        tables = database.read({name: str(data) for name, data in files.items()})
        evidence["on_disk"] = tables.model_dump(mode="json", exclude_unset=True)
    if isinstance(raw_tests := evidence.get("tests"), dict):
        record = own_tests.read_test_events(str(raw_tests.pop("test_events"))).model_dump(
            mode="json"
        )
        evidence["tests"] = {
            **raw_tests,
            **record,
            "sha256": own_tests.digest(tests.contents if tests else {}),
        }
    # Wine's loader writes to the output of the probe, not to the streams of the Windows program.
    lines = [text for text in result.stderr.splitlines() if _LOADER_LINE.search(text)]
    return evidence | {
        "isolation": _isolation(cell).model_dump(mode="json"),
        "chosen": chosen.model_dump(mode="json") if chosen else None,
        "deviation": probe_plan.deviation,
        "loader": list(dict.fromkeys(line.partition(":")[2] for line in lines)),
    }


def _isolation(cell: Cell) -> Isolation:
    if cell.has_own_account:
        return Isolation(separate=True)
    return Isolation(separate=False, because="windows" if cell.machine.os == "windows" else "root")


def _database_files(machine: Machine, cell: Cell) -> dict[str, JsonValue]:
    """Return the database and SQLite's files for it, by name, in base64.

    Raises:
        TestbedFailure: ``machine-lost``.
    """
    folder = machine.layout.as_engine(cell.scenario.cwd)
    files = {name: machine.get(f"{folder}/{name}", _DATABASE_BYTES) for name in database.FILES}
    return {
        name: base64.b64encode(content).decode("ascii")
        for name, content in files.items()
        if content is not None
    }


def _limit(cell: Cell, seconds: Mapping[str, int]) -> int:
    """Return the time limit of the probe, in seconds."""
    limit = 2 * seconds["install"] + seconds["import"] + seconds["exercise"] + _SPARE_SECONDS
    return limit + (seconds["install"] + seconds["tests"] if cell.runs_tests else 0)


def _read_evidence(cell: Cell, result: CommandResult) -> RawEvidence:
    """Return the evidence that the probe printed in its last line.

    Raises:
        TestbedFailure: ``machine-lost``: the probe printed none. ``evidence-refused``: the probe
            did not end with 0.
    """
    last_line = (result.stdout.splitlines() or [""])[-1]
    try:
        evidence = _RAW.validate_python(json.loads(last_line))  # a path is not always UTF-8
    except (ValueError, RecursionError):
        raise TestbedFailure(
            "machine-lost",
            cell.id,
            f"the probe ended with {result.code} and printed no evidence: {result.output[-300:]}",
        ) from None
    if result.code:
        raise TestbedFailure(
            _REFUSED, cell.id, f"the probe ended with {result.code} after it printed evidence"
        )
    return evidence


def probe_files(probe_plan: ProbeInstructions, subject: Subject) -> dict[str, bytes]:
    """Return the contents of the files that the probe needs on the machine, by name."""
    return {
        **{name: (_PROBE / source).read_bytes() for source, name in SCRIPTS.items()},
        **{name: path.read_bytes() for name, path in subject.machine_files.items()},
        PLAN: probe_plan.to_json(),
    }


def prepare_machine(
    machine: Machine, request: CellRequest, tests: OwnTestFiles | None = None
) -> None:
    """Change a started machine for its scenario, before the user's first command.

    `tests` are the package's own tests, or None if the cell does not run them.

    Raises:
        TestbedFailure: ``machine-lost``: a change failed.
    """
    scenario = request.cell.scenario
    for path, content in request.planted.files.items():
        folder, _, name = path.rpartition("/")
        machine.put({name: content}, folder, mode=0o755)
    libraries = request.prepared.bundled.get(request.cell.machine.os, ())
    for command in root_commands(request.cell, request.subject, libraries):
        done = machine.run(list(command), user="root")
        if done.code:
            raise TestbedFailure(
                "machine-lost", request.cell.id, f"{command}: {done.output[-200:]}"
            )
    if scenario.files:
        files = project_files.collect(
            scenario.files, request.prepared.release, request.subject, request.cell.machine
        )
        machine.put(files, machine.layout.as_engine(scenario.cwd))
    if tests is not None:
        plugin = {f"plugin/{PLUGIN}.py": (_PROBE / "own_tests_plugin.py").read_bytes()}
        is_windows = request.cell.machine.os == "windows"
        files = {
            f"tests/{name}": content
            for name, content in tests.contents.items()
            if not (is_windows and _NOT_ON_WINDOWS.search(name))
        }
        machine.put(plugin | files)
    if request.planted.command:
        machine.run(list(request.planted.command), user="root")
