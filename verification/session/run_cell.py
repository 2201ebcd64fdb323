"""Run a cell on a machine of its own and collect its evidence."""

from __future__ import annotations

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
from containers.machine import Machine, MachineSetup
from containers.progress import print_line
from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.evidence import EVIDENCE_SCHEMA, CellEvidence, parse_evidence
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.scenarios.instructions import (
    TIME_LIMITS,
    ProbeInstructions,
    instructions,
    root_commands,
)
from verification.session import own_tests, project_files
from verification.session.prepare import PreparedRun
from verification.subjects import chosen_values, database

_PROBE = Path(__file__).parents[1] / "probe"
_LOADER_LINE = re.compile(r":err:module:|:module:import_dll |: Call from .* unimplemented function")
_SPARE_SECONDS = 60
RawEvidence = dict[str, JsonValue]
"""Evidence as the probe prints it, before the model checks it."""
_RAW: TypeAdapter[RawEvidence] = TypeAdapter(RawEvidence)


class PlantedFault(Model):
    """What a fault test changes on the machine before the user's first command."""

    environment: Mapping[str, str] = {}
    files: Mapping[str, bytes] = {}
    """Files by absolute path."""
    command: tuple[str, ...] = ()
    """A command that runs first, as root."""


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


def run(request: CellRequest, kept_running: list[Machine] | None = None) -> CellEvidence:
    """Run a cell and return its evidence.

    If `kept_running` is a list, the machine is added to it and not removed. A failure of the
    testbed is evidence as well.

    Raises:
        WrongUse: the scenario runs the package's own tests, and there are none.
    """
    cell = request.cell
    if cell.runs_tests and request.tests is None:
        raise WrongUse(f"{cell.id}: it runs the package's own tests; name their folder by --tests")
    began = time.monotonic()
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
        "image": {
            "tag": request.image.tag,
            "id": request.image.id,
            "created": request.image.created,
        },
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    try:
        shown = _on_machine(request, kept_running)
        if _installer_died(cell, shown):
            print_line(f"{cell.id}: {cell.installer.name} died under Wine; the cell runs once more")
            retried: RawEvidence = {"because": "the installer died", "install": shown["install"]}
            shown = _on_machine(request, kept_running) | {"retried": retried}
        evidence |= shown
    except TestbedFailure as failure:
        evidence["testbed"] = {
            "cause": failure.cause,
            "where": failure.where,
            "observed": failure.observed,
        }
    evidence["wall_seconds"] = round(time.monotonic() - began, 3)
    return parse_evidence(json.dumps(evidence), cell.id)


def _installer_died(cell: Cell, shown: RawEvidence) -> bool:
    """Return whether uv ended as it does once in some 500 runs under Wine, and never elsewhere."""
    if cell.machine.runs_on != "wine" or cell.installer.name != "uv":
        return False
    tests = shown.get("tests")
    tool = tests.get("tool") if isinstance(tests, dict) else None
    return any(_died(command) for command in (shown.get("install"), tool))


def _died(command: JsonValue) -> bool:
    """Return whether a command ended by a signal or by an NTSTATUS of severity error."""
    code = command.get("code") if isinstance(command, dict) else None
    if not isinstance(code, int):
        return False
    return code == 139 or code & 0xFFFFFFFF >= 0xC0000000


def _on_machine(request: CellRequest, kept_running: list[Machine] | None) -> RawEvidence:
    cell, release = request.cell, request.prepared.release
    chosen = chosen_values.for_subject(request.subject, request.prepared.seed)
    probe_plan = instructions(
        cell,
        request.subject,
        version=release.version,
        previous=release.previous,
        chosen=chosen,
        seconds=request.seconds,
    )
    probe_plan = probe_plan.model_copy(
        update={"env": {**probe_plan.env, **request.planted.environment}}
    )
    tests = own_tests.files(request.tests) if request.tests and cell.runs_tests else None
    with contextlib.ExitStack() as stack:
        setup = MachineSetup(
            tmpfs=cell.scenario.tmpfs, files=probe_files(probe_plan, request.subject)
        )
        machine = stack.enter_context(
            request.prepared.testbed.machine(cell.machine, request.image, setup)
        )
        prepare_machine(machine, request, tests)
        ended = machine.run(
            [
                *machine.layout.python,
                *(machine.layout.path(name) for name in ("probe.py", "instructions.json")),
            ],
            user=cell.scenario.user,
            seconds=_limit(cell, request.seconds),
        )
        shown = _printed(cell, ended)
        requests = request.prepared.testbed.requests(machine)
        if kept_running is not None:
            kept_running.append(machine)
            stack.pop_all()
    if isinstance(files := shown.get("on_disk"), dict):
        kept = database.read({name: str(data) for name, data in files.items()})
        shown["on_disk"] = kept.model_dump(mode="json", exclude_unset=True)
    if isinstance(printed := shown.get("tests"), dict):
        record = own_tests.read_ledger(str(printed.pop("ledger"))).model_dump(mode="json")
        shown["tests"] = {**printed, **record, "sha256": own_tests.digest(tests or {})}
    # Wine's loader writes past the streams of the Windows program: to the probe's own output.
    lines = [text for text in ended.stderr.splitlines() if _LOADER_LINE.search(text)]
    return shown | {
        "chosen": chosen.model_dump(mode="json") if chosen else None,
        "deviation": probe_plan.deviation,
        "loader": list(dict.fromkeys(line.partition(":")[2] for line in lines)),
        "requests": [line.model_dump(exclude_unset=True) for line in requests],
    }


def _limit(cell: Cell, seconds: Mapping[str, int]) -> int:
    """Return how long the probe may take, in seconds."""
    limit = 2 * seconds["install"] + seconds["import"] + seconds["exercise"] + _SPARE_SECONDS
    return limit + (seconds["install"] + seconds["tests"] if cell.runs_tests else 0)


def _printed(cell: Cell, ended: CommandResult) -> RawEvidence:
    """Return what the probe printed.

    Raises:
        TestbedFailure: ``machine-lost``: the probe came to no end.
    """
    last = (ended.stdout.splitlines() or [""])[-1]
    try:
        return _RAW.validate_python(json.loads(last))  # a path need not be UTF-8
    except ValueError:
        raise TestbedFailure(
            "machine-lost",
            cell.id,
            f"the probe ended with {ended.code} and printed no evidence: {ended.output[-300:]}",
        ) from None


def probe_files(probe_plan: ProbeInstructions, subject: Subject) -> dict[str, bytes]:
    """Return the files that the probe needs on the machine, with its instructions."""
    names = ("probe.py", "exercise.py")
    return {
        **{name: (_PROBE / name).read_bytes() for name in names},
        **{name: path.read_bytes() for name, path in subject.machine_files.items()},
        "instructions.json": probe_plan.to_json(),
    }


def prepare_machine(
    machine: Machine, request: CellRequest, tests: Mapping[str, bytes] | None = None
) -> None:
    """Change a started machine as its scenario says, before the user's first command.

    `tests` are the files of the package's own tests, where the cell runs them.

    Raises:
        TestbedFailure: ``machine-lost``: a change failed.
    """
    scenario = request.cell.scenario
    for path, content in request.planted.files.items():
        folder, _, name = path.rpartition("/")
        machine.put({name: content}, folder, mode=0o755)
    for command in root_commands(request.cell, request.subject):
        done = machine.run(list(command), user="root")
        if done.code:
            raise TestbedFailure(
                "machine-lost", request.cell.id, f"{command}: {done.output[-200:]}"
            )
    if scenario.files:
        files = project_files.collect(scenario.files, request.prepared.release, request.subject)
        machine.put(files, machine.layout.as_engine(scenario.cwd))
    if tests is not None:
        plugin = {"plugin/e2e_ledger.py": (_PROBE / "own_tests_plugin.py").read_bytes()}
        machine.put(plugin | {f"tests/{name}": content for name, content in tests.items()})
    if request.planted.command:
        machine.run(list(request.planted.command), user="root")
