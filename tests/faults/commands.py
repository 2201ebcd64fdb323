"""Run the gate as a user does, in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from verification.models.report import Report
from verification.report import results_json

ROOT = Path(__file__).parents[2]
SUITE = ("tests/gate/test_wheels.py", "tests/gate/test_machines.py")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and both output streams together."""

    code: int
    output: str

    def errors(self) -> list[str]:
        """Return the lines that tell what is wrong."""
        return [line for line in self.output.splitlines() if line.startswith(("ERROR: ", "Exit: "))]


def gate_command(report: Path, *options: str) -> list[str]:
    """Return the command that ``./e2e gate`` runs in its own environment."""
    command = [sys.executable, "-m", "pytest", *SUITE, "--profile=gate"]
    return [*command, f"--report={report}", *options]


def environment(**changes: str) -> dict[str, str]:
    """Return this environment without what belongs to the test run that we are in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    # What is planted here is no part of the user's own history.
    return kept | {"QUIVERDB_E2E_HISTORY": ""} | changes


def gate(report: Path, *options: str, **changes: str) -> Ended:
    """Run the gate to its end; it may take ten minutes, in which it has built all it needs.

    Raises:
        DataError: it wrote a results.json that does not have the published form.
    """
    ended = run_to_end(gate_command(report, *options), **changes)
    if (report / "results.json").exists():
        check_form(report)
    return ended


def run_to_end(command: Sequence[str], typed: str = "", **changes: str) -> Ended:
    """Run a command in the checkout to its end, for at most ten minutes; `typed` is its input."""
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(**changes),
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return Ended(ran.returncode, ran.stdout)


def check_form(report: Path) -> Report:
    """Return the report in a folder, whose results.json must have the published form.

    Raises:
        DataError: it does not have it.
    """
    return results_json.read(report / results_json.NAME)
