"""Enter a machine that is up: what is put on it for that, and the commands."""

from __future__ import annotations

from pathlib import Path

from containers.engine import Engine
from containers.machine import Machine
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec
from verification.session import own_tests
from verification.session.run_cell import Job, prepare_machine

_ENTER = Path(__file__).parents[1] / "probe" / "enter.py"
_SHELL_RC = "[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='[{name}] \\w\\$ '\n"


def set_up(machine: Machine, job: Job) -> None:
    """Prepare a started machine for a cell, and do what its user does before the installation.

    Raises:
        TestbedFailure: ``machine-lost``: the set-up failed.
    """
    tests = own_tests.files(job.tests) if job.tests and job.cell.runs_tests else None
    prepare_machine(machine, job, tests)
    add(machine)
    done = machine.run(command(machine.spec, "setup"))
    if done.code:
        observed = " ".join(done.output.split())[-300:]
        raise TestbedFailure("machine-lost", f"{job.cell.id}: set-up", observed)


def add(machine: Machine) -> None:
    """Put on a machine what the command for entering it runs there."""
    shell_rc = _SHELL_RC.format(name=machine.spec.name).encode()
    machine.put({"enter.py": _ENTER.read_bytes(), "shellrc": shell_rc})


def command(spec: MachineSpec, *steps: str) -> list[str]:
    """Return the command, on the machine, that does these steps; without steps, the shell."""
    layout = spec.layout
    return [*layout.python, layout.path("enter.py"), layout.path("instructions.json"), *steps]


def on_host(engine: Engine, container: str, spec: MachineSpec, *, terminal: bool) -> list[str]:
    """Return the command, on this host, that opens the shell in a machine that is up."""
    usual = engine.origin == "the default socket"
    host = [] if usual else ["--host", engine.url]
    options = ["-it" if terminal else "-i", "--user", spec.layout.users["user"]]
    return ["docker", *host, "exec", *options, container, *command(spec)]
