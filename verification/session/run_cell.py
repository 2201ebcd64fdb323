"""Run a cell on a machine of its own and gather its evidence."""

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

from containers.commands import Result
from containers.machine import Machine, MachineSetup
from containers.progress import say
from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.evidence import EVIDENCE_SCHEMA, CellEvidence, parse_evidence
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.scenarios.instructions import (
    SECONDS,
    ProbeInstructions,
    instructions,
    root_commands,
)
from verification.session import own_tests, project_files
from verification.session.prepare import Prepared
from verification.subjects import database

_PROBE = Path(__file__).parents[1] / "probe"
_LOADER_LINE = re.compile(r":err:module:|:module:import_dll |: Call from .* unimplemented function")
_SPARE_SECONDS = 60
Raw = dict[str, JsonValue]
"""Evidence as the probe prints it, before the model checks it."""
_RAW: TypeAdapter[Raw] = TypeAdapter(Raw)


class Planted(Model):
    """What a fault test changes on the machine before the user's first command."""

    environment: Mapping[str, str] = {}
    files: Mapping[str, bytes] = {}
    """Files by absolute path."""
    command: tuple[str, ...] = ()
    """A command that runs first, as root."""


class Job(NamedTuple):
    """One cell to run."""

    prepared: Prepared
    subject: Subject
    cell: Cell
    tests: Path | None = None
    """The folder of the package's own tests."""
    planted: Planted = Planted()
    seconds: Mapping[str, int] = SECONDS

    @property
    def image(self) -> Image:
        """The image of the machine."""
        return self.prepared.machines[self.cell.machine.name]


def run(job: Job, held: list[Machine] | None = None) -> CellEvidence:
    """Run a cell and return its evidence.

    With a list `held`, the machine is put into it and not removed. A failure of the testbed is
    evidence as well.

    Raises:
        WrongUse: the scenario runs the package's own tests, and there are none.
    """
    cell = job.cell
    if cell.runs_tests and job.tests is None:
        raise WrongUse(f"{cell.id}: it runs the package's own tests; name their folder by --tests")
    began = time.monotonic()
    evidence: Raw = {
        "schema": EVIDENCE_SCHEMA,
        "cell": {
            "id": cell.id,
            "machine": cell.machine.name,
            "installer": cell.installer.name,
            "scenario": cell.scenario.name,
            "refuses": cell.refusal,
            "processor": cell.machine.processor,
        },
        "image": {"tag": job.image.tag, "id": job.image.id, "created": job.image.created},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    try:
        shown = _on_machine(job, held)
        if _installer_died(cell, shown):
            say(f"{cell.id}: {cell.installer.name} died under Wine; the cell runs once more")
            retried: Raw = {"because": "the installer died", "install": shown["install"]}
            shown = _on_machine(job, held) | {"retried": retried}
        evidence |= shown
    except TestbedFailure as failure:
        evidence["testbed"] = {
            "cause": failure.cause,
            "where": failure.where,
            "observed": failure.observed,
        }
    evidence["wall_seconds"] = round(time.monotonic() - began, 3)
    return parse_evidence(json.dumps(evidence), cell.id)


def _installer_died(cell: Cell, shown: Raw) -> bool:
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


def _on_machine(job: Job, held: list[Machine] | None) -> Raw:
    cell, release = job.cell, job.prepared.release
    probe_plan = instructions(
        cell,
        job.subject,
        version=release.version,
        previous=release.previous,
        seconds=job.seconds,
    )
    probe_plan = probe_plan.model_copy(
        update={"env": {**probe_plan.env, **job.planted.environment}}
    )
    tests = own_tests.files(job.tests) if job.tests and cell.runs_tests else None
    with contextlib.ExitStack() as stack:
        setup = MachineSetup(tmpfs=cell.scenario.tmpfs, files=carried(probe_plan, job.subject))
        machine = stack.enter_context(job.prepared.testbed.machine(cell.machine, job.image, setup))
        prepare_machine(machine, job, tests)
        ended = machine.run(
            [
                *machine.layout.python,
                *(machine.layout.path(name) for name in ("probe.py", "instructions.json")),
            ],
            user=cell.scenario.user,
            seconds=_limit(cell, job.seconds),
        )
        shown = _printed(cell, ended)
        requests = job.prepared.testbed.requests(machine)
        if held is not None:
            held.append(machine)
            stack.pop_all()
    if isinstance(files := shown.get("on_disk"), dict):
        kept = database.read({name: str(data) for name, data in files.items()})
        shown["on_disk"] = kept.model_dump(mode="json", exclude_unset=True)
    if isinstance(printed := shown.get("tests"), dict):
        record = own_tests.read(str(printed.pop("ledger"))).model_dump(mode="json")
        shown["tests"] = {**printed, **record, "sha256": own_tests.digest(tests or {})}
    # Wine's loader writes past the streams of the Windows program: to the probe's own output.
    lines = [text for text in ended.stderr.splitlines() if _LOADER_LINE.search(text)]
    return shown | {
        "deviation": probe_plan.deviation,
        "loader": list(dict.fromkeys(line.partition(":")[2] for line in lines)),
        "requests": [line.model_dump(exclude_unset=True) for line in requests],
    }


def _limit(cell: Cell, seconds: Mapping[str, int]) -> int:
    """Return how long the probe may take, in seconds."""
    limit = 2 * seconds["install"] + seconds["import"] + seconds["exercise"] + _SPARE_SECONDS
    return limit + (seconds["install"] + seconds["tests"] if cell.runs_tests else 0)


def _printed(cell: Cell, ended: Result) -> Raw:
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


def carried(probe_plan: ProbeInstructions, subject: Subject) -> dict[str, bytes]:
    """Return the files that the probe needs on the machine, with its instructions."""
    names = ("probe.py", "exercise.py")
    return {
        **{name: (_PROBE / name).read_bytes() for name in names},
        **{name: path.read_bytes() for name, path in subject.machine_files.items()},
        "instructions.json": probe_plan.to_json(),
    }


def prepare_machine(machine: Machine, job: Job, tests: Mapping[str, bytes] | None = None) -> None:
    """Change a started machine as its scenario says, before the user's first command.

    `tests` are the files of the package's own tests, where the cell runs them.

    Raises:
        TestbedFailure: ``machine-lost``: a change failed.
    """
    scenario = job.cell.scenario
    for path, content in job.planted.files.items():
        folder, _, name = path.rpartition("/")
        machine.put({name: content}, folder, mode=0o755)
    for command in root_commands(job.cell, job.subject):
        done = machine.run(list(command), user="root")
        if done.code:
            raise TestbedFailure("machine-lost", job.cell.id, f"{command}: {done.output[-200:]}")
    if scenario.files:
        files = project_files.collect(scenario.files, job.prepared.release, job.subject)
        machine.put(files, machine.layout.as_engine(scenario.cwd))
    if tests is not None:
        plugin = {"plugin/e2e_ledger.py": (_PROBE / "own_tests_plugin.py").read_bytes()}
        machine.put(plugin | {f"tests/{name}": content for name, content in tests.items()})
    if job.planted.command:
        machine.run(list(job.planted.command), user="root")
