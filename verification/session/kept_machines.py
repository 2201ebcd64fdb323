"""``--keep-failed``: the machine of a failed cell stays up, with its index, to be entered."""

from __future__ import annotations

import contextlib
import datetime
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docker.errors
import requests

from containers.engine import KEPT, KEPT_HOURS
from containers.machine import Machine
from containers.testbed import Testbed
from verification.commands import shell
from verification.models.errors import TestbedFailure
from verification.report import results
from verification.verdict import CellResult, Verdict

MOST = 8
"""How many machines are kept; a machine takes memory for as long as it is up."""
AGAIN = ("first", "install", "after_install")
"""What is done again where the probe has uninstalled: the package is there as when it failed."""


def settle(
    report: Path,
    testbed: Testbed,
    result: CellResult,
    evidence: Mapping[str, Any],
    held: Sequence[Machine],
) -> None:
    """Keep the last machine of ``held`` if its cell failed, and tell so in ``report``; remove all
    others.
    """
    kept = None
    failed = result.verdict is Verdict.FAILED and bool(held)
    if failed and len(list((report / "kept").glob("*.json"))) < MOST:
        with contextlib.suppress(
            TestbedFailure, docker.errors.DockerException, requests.RequestException
        ):
            kept = _keep(testbed, result, evidence, held[-1])
            results.write_json(report / "kept" / f"{result.id}.json", kept)
    for machine in held[: -1 if kept else None]:
        machine.close()


def _keep(
    testbed: Testbed, result: CellResult, evidence: Mapping[str, Any], machine: Machine
) -> dict[str, Any]:
    shell.add_enter(machine)
    installed = evidence.get("uninstall", {}).get("code") == 0
    if installed:
        machine.run(shell.enter(machine.spec, *AGAIN), seconds=300)
    name = f"{KEPT}{result.id}-{testbed.run.id}"
    client = testbed.engine.client()
    try:
        client.containers.get(machine.id).rename(name)
        index = client.containers.get(testbed.index)
        # Another cell of this run may have done it already.
        with contextlib.suppress(docker.errors.APIError):
            index.rename(f"{KEPT}index-{testbed.run.id}")
    finally:
        client.close()
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=KEPT_HOURS)
    command = shell.execution(testbed.engine, name, machine.spec, terminal=True)
    return {
        "cell": result.id,
        "container": name,
        "enter": shlex.join(command),
        "installed_again": installed,
        "until": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def told(report: Path) -> list[dict[str, Any]]:
    """Return what was kept, as results.json has it."""
    return [
        json.loads(path.read_text("utf-8")) for path in sorted((report / "kept").glob("*.json"))
    ]


def remarks(kept: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines that say how to enter what was kept, and how to be rid of it."""
    lines = [f"kept {one['cell']} until {one['until']}: {one['enter']}" for one in kept]
    return [*lines, "remove what was kept: ./e2e clean --kept"] if kept else []
