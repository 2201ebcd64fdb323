"""A cell: machine, installer and scenario; it runs once and leaves its evidence."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from containers import images, wheelhouse
from containers.commands import Result
from containers.machine import Machine, MachineSetup
from containers.progress import say
from containers.state import locked, state_dir
from containers.testbed import Testbed
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release, sha256
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.rules import own_tests
from verification.scenarios.instructions import SECONDS, ProbeInstructions, instructions
from verification.subjects import database
from verification.subjects.subject import load as load_subject

_PROBE = Path(__file__).parents[1] / "probe"
_TELLING = re.compile(r":err:module:|:module:import_dll |: Call from .* unimplemented function")


@dataclasses.dataclass(frozen=True)
class Planted:
    """What a fault test changes on the machine before the user's first command."""

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """Files by absolute path."""
    command: tuple[str, ...] = ()
    """A command that runs first, as root."""


def run(
    testbed: Testbed,
    cell: Cell,
    image: Image,
    *,
    subject: Subject | None = None,
    planted: Planted | None = None,
    seconds: Mapping[str, int] = SECONDS,
    house: Release | None = None,
    tests: Path | None = None,
    held: list[Machine] | None = None,
) -> dict[str, Any]:
    """Run ``cell`` on a machine of its own and return its evidence.

    Where there is a list ``held``, the machine is put into it and not removed.

    ``house`` holds the release and what is on the index beside it; without it a scenario that needs
    a version or files of it cannot run. ``tests`` is the folder of the package's own tests, which
    some scenarios run.

    A testbed failure is evidence as well: it is under ``testbed`` with its cause.

    Raises:
        WrongUse: the scenario runs the package's own tests, and none are given.
    """
    if cell.runs_tests and tests is None:
        raise WrongUse(f"{cell.id}: it runs the package's own tests; name their folder by --tests")
    began = time.monotonic()
    subject = subject or load_subject()
    evidence: dict[str, Any] = {
        "schema": 1,
        "cell": {
            "id": cell.id,
            "machine": cell.machine.name,
            "installer": cell.installer.name,
            "scenario": cell.scenario.name,
            "refuses": cell.refusal,
            "processor": cell.machine.processor,
        },
        "image": {"tag": image.tag, "id": image.id, "created": image.created},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    }
    planted = planted or Planted()
    try:
        seen = _on_machine(testbed, cell, image, subject, planted, seconds, house, tests, held)
        if _installer_died(cell, seen):
            say(f"{cell.id}: {cell.installer.name} died under Wine; the cell runs once more")
            evidence["retried"] = {"because": "the installer died", "install": seen["install"]}
            seen = _on_machine(testbed, cell, image, subject, planted, seconds, house, tests, held)
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
    ran = [seen["install"], seen.get("tests", {}).get("tool", seen["install"])]
    codes = [one["code"] & 0xFFFFFFFF for one in ran]
    # Of a signal, or an NTSTATUS of severity error.
    died = any(code == 139 or code >= 0xC0000000 for code in codes)
    return cell.machine.runs_on == "wine" and cell.installer.name == "uv" and died


def _on_machine(
    testbed: Testbed,
    cell: Cell,
    image: Image,
    subject: Subject,
    planted: Planted,
    seconds: Mapping[str, int],
    house: Release | None,
    tests: Path | None,
    held: list[Machine] | None,
) -> dict[str, Any]:
    place = cell.scenario
    told = instructions(
        cell,
        subject,
        version=house.version if house else "",
        previous=house.previous if house else "",
        seconds=seconds,
    )
    told = told.model_copy(update={"env": {**told.env, **planted.environment}})
    own = own_tests.files(tests) if tests and place.runs_tests else None
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(
            testbed.machine(
                cell.machine,
                image,
                MachineSetup(tmpfs=place.tmpfs, files=carried(told, subject)),
            )
        )
        settle(machine, cell, house, planted, own)
        files = ("probe.py", "instructions.json")
        ended = machine.run(
            [*machine.layout.python, *(machine.layout.path(name) for name in files)],
            user=place.user,
            seconds=2 * seconds["install"]
            + seconds["import"]
            + seconds["exercise"]
            + (seconds["install"] + seconds["tests"] if place.runs_tests else 0)
            + 60,
        )
        found = _evidence(cell, ended)
        requests = testbed.requests(machine)
        if held is not None:
            held.append(machine)
            stack.pop_all()
    if "on_disk" in found:
        found["on_disk"] = database.read(found["on_disk"])
    if "tests" in found:
        found["tests"] |= own_tests.read(found["tests"].pop("ledger"))
        found["tests"]["sha256"] = own_tests.digest(own or {})
    # Wine's loader writes past the streams of the Windows program: to the probe's own output.
    said = [line.partition(":")[2] for line in ended.stderr.splitlines() if _TELLING.search(line)]
    return found | {
        "deviation": told.deviation,
        "loader": list(dict.fromkeys(said)),
        "requests": requests,
    }


def _evidence(cell: Cell, ended: Result) -> dict[str, Any]:
    """Return what the probe printed.

    Raises:
        TestbedFailure: ``machine-lost``: it came to no end.
    """
    last = (ended.stdout.splitlines() or [""])[-1]
    try:
        return dict(json.loads(last))
    except (ValueError, TypeError):
        raise TestbedFailure(
            "machine-lost",
            cell.id,
            f"the probe ended with {ended.code} and left no evidence: {ended.output[-300:]}",
        ) from None


def carried(told: ProbeInstructions, subject: Subject) -> dict[str, bytes]:
    """Return the files that the probe needs on the machine, with what it is told to do."""
    own = {name: path.read_bytes() for name, path in subject.machine_files.items()}
    names = ("probe.py", "exercise.py", "uses.py")
    return {
        **{name: (_PROBE / name).read_bytes() for name in names},
        **own,
        "instructions.json": told.to_json(),
    }


def settle(
    machine: Machine,
    cell: Cell,
    house: Release | None,
    planted: Planted | None = None,
    own: Mapping[str, bytes] | None = None,
) -> None:
    """Make a machine, which has what the probe needs, the cell's: what was done to it before.

    ``own`` are the files of the package's own tests, where the cell runs them.

    Raises:
        TestbedFailure: ``machine-lost``.
    """
    place = cell.scenario
    planted = planted or Planted()
    for path, content in planted.files.items():
        folder, _, name = path.rpartition("/")
        machine.put({name: content}, folder, mode=0o755)
    for command in place.as_root:
        done = machine.run(list(command), user="root")
        if done.code:
            raise TestbedFailure("machine-lost", cell.id, f"{command}: {done.output[-200:]}")
    if house and place.files:
        machine.put(_files(place.files, house), machine.layout.as_engine(place.cwd))
    if own is not None:
        ledger = {"plugin/e2e_ledger.py": (_PROBE / "own_tests_plugin.py").read_bytes()}
        machine.put(ledger | {f"tests/{name}": content for name, content in own.items()})
    if planted.command:
        machine.run(list(planted.command), user="root")


def _files(kinds: Iterable[str], house: Release) -> dict[str, bytes]:
    """Return the files of the release that a user has beside the project, by path."""
    needed = wheelhouse.needed(load_subject().dependencies)

    def wanted(path: Path) -> bool:
        # Of a dependency there may be older ones, and its source.
        if path.suffix != ".whl":
            return False
        name, version, *_ = parse_wheel_filename(path.name)
        return needed.get(name) == str(version)

    every = [*house.wheel_paths, *(path for path in house.dependencies if wanted(path))]
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
    if "decoys" in kinds:
        for path in (one for one in house.wheel_paths if one.name.endswith("win_amd64.whl")):
            with zipfile.ZipFile(path) as archive:
                for inside in (one for one in archive.namelist() if one.endswith(".dll")):
                    # In the project's folder and in one of its own, which is on PATH.
                    dll = Path(inside).name
                    found |= dict.fromkeys((dll, f"decoy/{dll}"), archive.read(inside))
    if "old-runtime" in kinds:
        found |= {f"other/{name}": data for name, data in _old_runtime().items()}
    return found


def _old_runtime() -> dict[str, bytes]:
    """Return the C++ run-time libraries for Windows from before 14.40, by file name.

    Raises:
        TestbedFailure: the configured upstream index does not give them.
    """
    made_by = images.recipe("windows-wine-vcredist-old")
    with locked("old-runtime"):
        folder = images.download_wheels(
            made_by.requirements,
            state_dir() / "downloads" / made_by.name,
            python=made_by.python,
            platforms=made_by.platforms,
        )
    (wheel,) = folder.glob("msvc_runtime-*.whl")
    wanted = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")
    with zipfile.ZipFile(wheel) as archive:
        return {
            Path(name).name: archive.read(name)
            for name in archive.namelist()
            if Path(name).name in wanted
        }
