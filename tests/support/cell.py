"""A cell: machine, installer and scenario; it runs once and leaves its evidence."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from containers.errors import TestbedFailure
from containers.images import Image
from containers.machine import MachineSpec
from containers.progress import say
from containers.testbed import Testbed
from tests.support.installers import INSTALLERS
from tests.support.scenarios import SCENARIOS

_HERE = Path(__file__).parent
_TOLD_BY: dict[str, dict[str, str]] = {
    "linux": {},
    # Wine puts a stub in the place of a symbol that nothing exports, where Windows refuses to load;
    # as a warning it tells.
    "wine": {"WINEDEBUG": "-all,err+module,warn+module"},
    "windows": {},
}
"""What makes the machine's loader tell more, while the package is exercised."""
_TELLING = re.compile(r":err:module:|:module:import_dll |: Call from .* unimplemented function")
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


def instructions(cell: Cell, subject: str, seconds: Mapping[str, int] = SECONDS) -> dict[str, Any]:
    """Return what the probe is told to do on this machine: the commands as a user types them."""
    layout = cell.machine.layout
    place = SCENARIOS[cell.scenario]
    installer = INSTALLERS[cell.installer]
    return {
        "folder": layout.seen_as,
        "cwd": place.cwd,
        "env": {**place.environment, **installer.environment(layout.path("ca.pem"))},
        "exercise_env": _TOLD_BY[cell.machine.runs_on],
        "python": "python",
        "install": [*installer.install, *place.options(installer), subject],
        "deviation": installer.deviation,
        "import": f"import {subject}",
        "uninstall": [*installer.uninstall, *place.options(installer), subject],
        "roots": list(place.roots),
        "skipped": [*place.skipped, layout.seen_as],
        "skipped_keys": list(place.skipped_keys),
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
        seen = _on_machine(testbed, cell, image, subject, planted or Planted(), seconds)
        if _installer_died(cell, seen):
            say(f"{cell.id}: {cell.installer} died under Wine; the cell runs once more")
            evidence["retried"] = {"because": "the installer died", "install": seen["install"]}
            seen = _on_machine(testbed, cell, image, subject, planted or Planted(), seconds)
        evidence |= seen
    except TestbedFailure as failure:
        evidence["testbed"] = {
            "cause": failure.cause,
            "where": failure.where,
            "seen": failure.seen,
        }
    evidence["wall_seconds"] = round(time.monotonic() - began, 3)
    return evidence


def _installer_died(cell: Cell, seen: Mapping[str, Any]) -> bool:
    """Return whether uv ended as it does once in some 500 runs under Wine, and never elsewhere."""
    code = seen["install"]["code"] & 0xFFFFFFFF
    died = code == 139 or code >= 0xC0000000  # of a signal, or an NTSTATUS of severity error
    return cell.machine.runs_on == "wine" and cell.installer == "uv" and died


def _on_machine(
    testbed: Testbed,
    cell: Cell,
    image: Image,
    subject: str,
    planted: Planted,
    seconds: Mapping[str, int],
) -> dict[str, Any]:
    told = instructions(cell, subject, seconds)
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
        files = ("probe.py", "instructions.json", "out.json")
        ended = machine.run(
            [*machine.layout.python, *(machine.layout.path(name) for name in files)],
            seconds=2 * seconds["install"] + seconds["import"] + seconds["exercise"] + 60,
        )
        out = machine.get(f"{machine.layout.folder}/out.json")
    if out is None:
        raise TestbedFailure(
            "machine-lost",
            cell.id,
            f"the probe ended with {ended.code} and left no evidence: {ended.output[-300:]}",
        )
    found: dict[str, Any] = json.loads(out)
    # Wine's loader writes past the streams of the Windows program: to the probe's own output.
    said = [line.partition(":")[2] for line in ended.output.splitlines() if _TELLING.search(line)]
    return found | {
        "deviation": told["deviation"],
        "loader": list(dict.fromkeys(said)),
        "requests": _requests(testbed, address, started),
    }


def _requests(testbed: Testbed, address: str, since: datetime.datetime) -> list[dict[str, Any]]:
    """Return what this machine asked of the index; an address is reused only after its machine."""
    return [
        line
        for line in testbed.log()
        if line["client"] == address and datetime.datetime.fromisoformat(line["time"]) >= since
    ]
