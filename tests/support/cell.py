"""A cell: machine, installer and scenario; it runs once and leaves its evidence."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from containers.errors import TestbedFailure
from containers.images import Image
from containers.machine import FOLDER, MachineSpec
from containers.testbed import Testbed

_HERE = Path(__file__).parent
_PROJECT = "/home/user/project"
SECONDS = {"install": 120, "import": 30, "exercise": 60}
"""How long each kind of work may take, in seconds, before it counts as hanging."""


@dataclasses.dataclass(frozen=True)
class Planted:
    """What a fault test changes on the machine before the user's first command."""

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """Files by absolute path."""
    command: tuple[str, ...] = ()
    """A command that runs first, as root."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """The unit that runs and that can be run again alone."""

    machine: MachineSpec
    installer: str
    scenario: str

    @property
    def id(self) -> str:
        """The name by which the cell is selected and found in the report."""
        return f"{self.machine.name}-{self.installer}-{self.scenario}"


def cells(machines: Iterable[MachineSpec]) -> list[Cell]:
    """Return every cell of ``machines``, in the order of machines.toml."""
    return [
        Cell(machine, installer, scenario)
        for machine in machines
        for installer in machine.installers
        for scenario in machine.scenarios
    ]


def instructions(subject: str, seconds: Mapping[str, int] = SECONDS) -> dict[str, Any]:
    """Return what the probe is told to do: the commands exactly as a user types them.

    Debian marks its own Python as externally managed, so the user's way is a virtual environment,
    active as ``source venv/bin/activate`` leaves it.
    """
    venv = "/home/user/venv"
    return {
        "folder": FOLDER,
        "cwd": _PROJECT,
        "env": {
            "HOME": "/home/user",
            "VIRTUAL_ENV": venv,
            "PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin",
        },
        "python": "python",
        "install": ["pip", "install", subject],
        "import": f"import {subject}",
        "uninstall": ["pip", "uninstall", "--yes", subject],
        # Where the file system is looked at, and what there is the kernel's or our own.
        "roots": ["/"],
        "skipped": ["/proc", "/sys", "/dev", "/run", FOLDER],
        "seconds": dict(seconds),
    }


def run(
    testbed: Testbed,
    cell: Cell,
    image: Image,
    *,
    subject: str = "quiverdb",
    planted: Planted | None = None,
    seconds: Mapping[str, int] = SECONDS,
) -> dict[str, Any]:
    """Run ``cell`` on a machine of its own and return its evidence.

    A testbed failure is evidence as well: it is under ``testbed`` with its cause.
    """
    began = time.monotonic()
    evidence: dict[str, Any] = {
        "schema": 1,
        "cell": {
            "id": cell.id,
            "machine": cell.machine.name,
            "installer": cell.installer,
            "scenario": cell.scenario,
        },
        "image": {"tag": image.tag, "id": image.id, "created": image.created},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    try:
        evidence |= _on_machine(testbed, cell, image, subject, planted or Planted(), seconds)
    except TestbedFailure as failure:
        evidence["testbed"] = {
            "cause": failure.cause,
            "where": failure.where,
            "seen": failure.seen,
        }
    evidence["wall_seconds"] = round(time.monotonic() - began, 3)
    return evidence


def _on_machine(
    testbed: Testbed,
    cell: Cell,
    image: Image,
    subject: str,
    planted: Planted,
    seconds: Mapping[str, int],
) -> dict[str, Any]:
    told = instructions(subject, seconds)
    told["env"] = dict(told["env"]) | dict(planted.environment)
    started = datetime.datetime.now(datetime.UTC)
    with testbed.machine(cell.machine, image) as machine:
        address = machine.address
        machine.put(
            {
                "probe.py": (_HERE / "probe.py").read_bytes(),
                "exercise.py": (_HERE / "exercise.py").read_bytes(),
                "instructions.json": json.dumps(told).encode(),
            }
        )
        for path, content in planted.files.items():
            folder, _, name = path.rpartition("/")
            machine.put({name: content}, folder, mode=0o755)
        if planted.command:
            machine.run(list(planted.command), user="root")
        ended = machine.run(
            ["python3", f"{FOLDER}/probe.py", f"{FOLDER}/instructions.json", f"{FOLDER}/out.json"],
            seconds=2 * seconds["install"] + seconds["import"] + seconds["exercise"] + 60,
        )
        out = machine.get(f"{FOLDER}/out.json")
    if out is None:
        raise TestbedFailure(
            "machine-lost",
            cell.id,
            f"the probe ended with {ended.code} and left no evidence: {ended.output[-300:]}",
        )
    found: dict[str, Any] = json.loads(out)
    return found | {"requests": _requests(testbed, address, started)}


def _requests(testbed: Testbed, address: str, since: datetime.datetime) -> list[dict[str, Any]]:
    """Return what this machine asked of the index; an address is reused only after its machine."""
    return [
        line
        for line in testbed.log()
        if line["client"] == address and datetime.datetime.fromisoformat(line["time"]) >= since
    ]
