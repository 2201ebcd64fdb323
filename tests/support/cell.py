"""A cell: machine, installer and scenario; it runs once and leaves its evidence."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from containers.errors import TestbedFailure, WrongUse
from containers.images import Image
from containers.machine import MachineSpec
from containers.progress import say
from containers.testbed import Testbed
from containers.wheelhouse import Wheelhouse, sha256
from tests.support.installers import INSTALLERS
from tests.support.profiles import Profile
from tests.support.scenarios import SCENARIOS
from tests.support.subject import Subject
from tests.support.subject import load as load_subject

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

    @property
    def refuses(self) -> str:
        """The cause by which the installer must refuse here; empty where it must install."""
        return SCENARIOS[self.scenario].refuses or self.machine.refuses


def cells(machines: Iterable[MachineSpec], profile: Profile | None = None) -> list[Cell]:
    """Return the cells of ``machines``, in the order of machines.toml; those of ``profile`` alone.

    Raises:
        WrongUse: a machine names an installer or a scenario that is none.
    """
    found = []
    for machine in machines:
        for kind, wanted, known in (
            ("installer", machine.installers, set(INSTALLERS)),
            ("scenario", machine.scenarios, set(SCENARIOS)),
        ):
            if strange := [name for name in wanted if name not in known]:
                raise WrongUse(
                    f"machines.toml: {machine.name}: unknown {kind} {strange[0]!r}; "
                    f"there are: {', '.join(sorted(known))}"
                )
        found += [
            Cell(machine, installer, scenario)
            for installer in machine.installers
            for scenario in machine.scenarios
            if installer in (SCENARIOS[scenario].installers or machine.installers)
            if profile is None or profile.wants(installer, scenario)
        ]
    return found


def instructions(
    cell: Cell,
    subject: str,
    seconds: Mapping[str, int] = SECONDS,
    *,
    version: str = "",
    previous: str = "",
    package: str = "",
) -> dict[str, Any]:
    """Return what the probe is told to do on this machine: the commands as a user types them."""
    layout = cell.machine.layout

    def typed(command: Sequence[str]) -> list[str]:
        for name, value in (("subject", subject), ("version", version), ("previous", previous)):
            command = [word.replace(f"{{{name}}}", value) for word in command]
        return list(command)

    place = SCENARIOS[cell.scenario]
    installer = INSTALLERS[cell.installer]
    return {
        "folder": layout.seen_as,
        "cwd": place.cwd,
        "env": {**place.environment, **installer.environment(layout.path("ca.pem"))},
        "exercise_env": _TOLD_BY[cell.machine.runs_on],
        "python": list(place.python),
        "setup": [*map(typed, (*place.setup, *installer.setup))],
        "first": [
            typed((*installer.install, *command[1:]) if command[0] == "install" else command)
            for command in place.first
        ],
        "install": [*installer.install, *place.options(installer), *typed(place.requirement)],
        "again": place.again,
        "umask": place.umask,
        "after_install": [*map(typed, place.after_install)],
        "before_uninstall": [*map(typed, place.before_uninstall)],
        "prelude": place.prelude,
        "uses": list(place.uses),
        "deviation": "; ".join(filter(None, (installer.deviation, place.deviation))),
        "subject": subject,
        "package": package or subject,
        "import": f"import {package or subject}",
        "uninstall": typed(
            place.uninstall or (*installer.uninstall, *place.options(installer), subject)
        ),
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
    subject: Subject | None = None,
    planted: Planted | None = None,
    seconds: Mapping[str, int] = SECONDS,
    house: Wheelhouse | None = None,
) -> dict[str, Any]:
    """Run ``cell`` on a machine of its own and return its evidence.

    ``house`` holds the release and what is on the index beside it; without it a scenario that needs
    a version or files of it cannot run.

    A testbed failure is evidence as well: it is under ``testbed`` with its cause.
    """
    began = time.monotonic()
    subject = subject or load_subject()
    evidence: dict[str, Any] = {
        "schema": 1,
        "cell": {
            "id": cell.id,
            "machine": cell.machine.name,
            "installer": cell.installer,
            "scenario": cell.scenario,
            "refuses": cell.refuses,
        },
        "image": {"tag": image.tag, "id": image.id, "created": image.created},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    try:
        seen = _on_machine(testbed, cell, image, subject, planted or Planted(), seconds, house)
        if _installer_died(cell, seen):
            say(f"{cell.id}: {cell.installer} died under Wine; the cell runs once more")
            evidence["retried"] = {"because": "the installer died", "install": seen["install"]}
            seen = _on_machine(testbed, cell, image, subject, planted or Planted(), seconds, house)
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
    subject: Subject,
    planted: Planted,
    seconds: Mapping[str, int],
    house: Wheelhouse | None,
) -> dict[str, Any]:
    place = SCENARIOS[cell.scenario]
    told = instructions(
        cell,
        subject.name,
        seconds,
        version=house.version if house else "",
        previous=house.previous if house else "",
        package=subject.import_package,
    )
    told["env"] = dict(told["env"]) | dict(planted.environment)
    started = datetime.datetime.now(datetime.UTC)
    with testbed.machine(cell.machine, image, tmpfs=dict(place.tmpfs)) as machine:
        address = machine.address
        machine.put(
            {
                "probe.py": (_HERE / "probe.py").read_bytes(),
                "exercise.py": (_HERE / "exercise.py").read_bytes(),
                "uses.py": (_HERE / "uses.py").read_bytes(),
                "instructions.json": json.dumps(told).encode(),
            }
        )
        if subject.exercise:
            machine.put({"own.py": Path(subject.exercise).read_bytes()})
        for path, content in planted.files.items():
            folder, _, name = path.rpartition("/")
            machine.put({name: content}, folder, mode=0o755)
        for command in place.as_root:
            done = machine.run(list(command), user="root")
            if done.code:
                raise TestbedFailure("machine-lost", cell.id, f"{command}: {done.output[-200:]}")
        if house and place.files:
            machine.put({}, place.cwd)
            for path, content in _files(place.files, house).items():
                folder, _, name = f"{place.cwd}/{path}".rpartition("/")
                machine.put({name: content}, folder)
        if planted.command:
            machine.run(list(planted.command), user="root")
        files = ("probe.py", "instructions.json", "out.json")
        ended = machine.run(
            [*machine.layout.python, *(machine.layout.path(name) for name in files)],
            seconds=2 * seconds["install"] + seconds["import"] + seconds["exercise"] + 60,
        )
        out = machine.get(f"{machine.layout.folder}/out.json")
        kept = None
        if out and b"malformed database schema" in out:
            kept = machine.get(f"{place.cwd}/data.db")
    if out is None:
        raise TestbedFailure(
            "machine-lost",
            cell.id,
            f"the probe ended with {ended.code} and left no evidence: {ended.output[-300:]}",
        )
    found: dict[str, Any] = json.loads(out)
    if kept:
        # SQLite before 3.37 knows no STRICT tables: the file is read here in its place.
        found["on_disk"] |= _read(kept)
    # Wine's loader writes past the streams of the Windows program: to the probe's own output.
    said = [line.partition(":")[2] for line in ended.output.splitlines() if _TELLING.search(line)]
    return found | {
        "deviation": told["deviation"],
        "loader": list(dict.fromkeys(said)),
        "requests": _requests(testbed, address, started),
    }


def _files(kinds: Iterable[str], house: Wheelhouse) -> dict[str, bytes]:
    """Return the files of the release that a user has beside the project, by path."""
    # pip and uv are tools, and no dependencies of the package.
    every = [
        path
        for path in (*house.wheels, *house.dependencies)
        if parse_wheel_filename(path.name)[0] not in ("pip", "uv")
    ]
    found: dict[str, bytes] = {}
    if "wheels" in kinds:
        found |= {f"wheels/{path.name}": path.read_bytes() for path in every}
    if "hashes" in kinds:
        lines: dict[str, list[str]] = {}
        for path in every:
            name, version, *_ = parse_wheel_filename(path.name)
            lines.setdefault(f"{name}=={version}", []).append(f"--hash=sha256:{sha256(path)}")
        text = "\n".join(f"{name} {' '.join(hashes)}" for name, hashes in lines.items())
        found["requirements.txt"] = text.encode()
    return found


def _read(database: bytes) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.db"
        path.write_bytes(database)
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute(
                "SELECT id, label, units, capacity, note FROM Plant ORDER BY id"
            ).fetchall()
        except sqlite3.Error:
            return {}  # the machine's own error stands
        finally:
            connection.close()
    return {"rows": [list(row) for row in rows], "read_by": f"SQLite {sqlite3.sqlite_version}"}


def _requests(testbed: Testbed, address: str, since: datetime.datetime) -> list[dict[str, Any]]:
    """Return what this machine asked of the index; an address is reused only after its machine."""
    return [
        line
        for line in testbed.log()
        if line["client"] == address and datetime.datetime.fromisoformat(line["time"]) >= since
    ]
