"""``--keep-failed``: keep the machine of a failed cell running, with its index, for debugging."""

from __future__ import annotations

import contextlib
import datetime
import shlex
from collections.abc import Iterator
from pathlib import Path

import docker.errors

from containers.engine import KEPT_HOURS, KEPT_PREFIX
from containers.engine_client import ENGINE_ERRORS
from containers.machine import Machine
from containers.testbed import Testbed
from verification.models.base import read_json
from verification.models.errors import TestbedFailure
from verification.models.report import KeptMachine
from verification.models.verdict import Verdict
from verification.report import results_json
from verification.session import enter_machine
from verification.session.session import CellRun

FOLDER = "kept"
MAX_MACHINES = 8
"""The largest number of kept machines; each uses memory as long as it runs."""
REINSTALL = ("first", "install", "after_install")
"""The steps that install the package again after the probe removed it."""


def keep(report: Path, testbed: Testbed, cell_run: CellRun, running: list[Machine]) -> None:
    """Keep the last running machine of a failed cell, and record it. Remove the others."""
    kept = None
    folder = report / FOLDER
    failed = cell_run.result.verdict is Verdict.FAILED and bool(running)
    if failed and len(list(folder.glob("*.json"))) < MAX_MACHINES:
        with contextlib.suppress(TestbedFailure, *ENGINE_ERRORS):
            kept = _keep(testbed, cell_run, running[-1])
            results_json.write_model(folder / f"{cell_run.result.id}.json", kept)
    for machine in running[: -1 if kept else None]:
        machine.close()


def _keep(testbed: Testbed, cell_run: CellRun, machine: Machine) -> KeptMachine:
    enter_machine.add_scripts(machine)
    uninstall = cell_run.evidence.uninstall
    removed = uninstall is not None and uninstall.code == 0
    if removed:
        machine.run(enter_machine.machine_command(machine.spec, *REINSTALL), seconds=300)
    name = f"{KEPT_PREFIX}{cell_run.result.id}-{testbed.run.id}"
    with contextlib.closing(testbed.engine.client()) as client:
        client.containers.get(machine.id).rename(name)
        index = client.containers.get(testbed.index)
        # Another cell of this run may have renamed the index already.
        with contextlib.suppress(docker.errors.APIError):
            index.rename(f"{KEPT_PREFIX}index-{testbed.run.id}")
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=KEPT_HOURS)
    command = enter_machine.host_command(testbed.engine, name, machine.spec, terminal=True)
    return KeptMachine(
        cell=cell_run.result.id,
        container=name,
        enter=shlex.join(command),
        installed_again=removed,
        until=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def read_kept(report: Path) -> Iterator[KeptMachine]:
    """Yield the kept machines that the folder of a report records."""
    for path in sorted((report / FOLDER).glob("*.json")):
        yield read_json(KeptMachine, path)
