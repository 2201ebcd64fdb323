"""Run the gate and other commands as a user does, in a separate process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from verification.commands.gate import WITHOUT_WARNINGS
from verification.models.report import Report
from verification.report import results_json

ROOT = Path(__file__).parents[2]
SUITE = ("tests/gate/test_wheels.py", "tests/gate/test_machines.py")


@dataclasses.dataclass(frozen=True)
class FinishedCommand:
    """The exit code of a command, and its output from both streams."""

    code: int
    output: str

    def error_lines(self) -> list[str]:
        """Return the lines of pytest that report an error."""
        return [line for line in self.output.splitlines() if line.startswith(("ERROR: ", "Exit: "))]


def gate_command(report: Path, *options: str) -> list[str]:
    """Return the command that ``./e2e gate`` runs in its tox environment."""
    command = [sys.executable, "-m", "pytest", *SUITE, "--profile=gate", *WITHOUT_WARNINGS]
    return [*command, f"--report={report}", *options]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment variables of this process, without those of pytest, with changes."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    # A run with a planted fault does not belong into the user's history.
    return kept | {"QUIVERDB_E2E_HISTORY": ""} | changes


def gate(report: Path, *options: str, **changes: str) -> FinishedCommand:
    """Run the gate to its end. The time limit of ten minutes includes all builds.

    Raises:
        DataError: the gate wrote a results.json that does not match the schema.
    """
    finished = run_to_end(gate_command(report, *options), **changes)
    if (report / results_json.NAME).exists():
        read_report(report)
    return finished


def run_to_end(command: Sequence[str], input_text: str = "", **changes: str) -> FinishedCommand:
    """Run a command in the checkout to its end, for at most ten minutes."""
    process = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(**changes),
        input=input_text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return FinishedCommand(process.returncode, process.stdout)


def child_processes(pid: int) -> dict[int, str]:
    """Return the command lines of the direct child processes, by process id (proc(5))."""
    commands = {}
    with contextlib.suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        for child in map(int, children.split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            commands[child] = command.replace(b"\0", b" ").decode("utf-8", "replace")
    return commands


def read_report(folder: Path) -> Report:
    """Return the report in a folder.

    Raises:
        DataError: its results.json does not match the schema.
    """
    return results_json.read(folder / results_json.NAME)
