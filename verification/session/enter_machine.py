"""Prepare a running machine for a shell, and make the commands that open it."""

from __future__ import annotations

from pathlib import Path

from containers.endpoint import DEFAULT
from containers.engine import Engine
from containers.machine import Machine
from verification.models.errors import TestbedFailure
from verification.models.machine import PLAN, MachineSpec
from verification.session.run_cell import CellRequest, prepare_machine

_ENTER = Path(__file__).parents[1] / "probe" / "enter.py"
_SHELL_RC = "[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='[{name}] \\w\\$ '\n"


def prepare_for_entry(machine: Machine, request: CellRequest) -> None:
    """Prepare a started machine for a cell, and run the commands before the installation.

    Raises:
        TestbedFailure: ``machine-lost``: the set-up failed.
    """
    prepare_machine(machine, request, request.test_files)
    add_scripts(machine)
    done = machine.run(machine_command(machine.spec, "setup"))
    if done.code:
        message = " ".join(done.output.split())[-300:]
        raise TestbedFailure("machine-lost", f"{request.cell.id}: set-up", message)


def add_scripts(machine: Machine) -> None:
    """Copy onto a machine the scripts that the command of `machine_command` needs."""
    shell_rc = _SHELL_RC.format(name=machine.spec.name).encode()
    machine.put({"enter.py": _ENTER.read_bytes(), "shellrc": shell_rc})


def machine_command(spec: MachineSpec, *steps: str) -> list[str]:
    """Return the command that runs these steps on a machine. Without steps, it opens a shell."""
    layout = spec.layout
    return [*layout.python, layout.path("enter.py"), layout.path(PLAN), *steps]


def host_command(engine: Engine, container: str, spec: MachineSpec, *, terminal: bool) -> list[str]:
    """Return the command for this host that opens a shell in a running machine."""
    if engine.context:
        host = ["--context", engine.context]  # it has the certificates too
    else:
        host = [] if engine.url == DEFAULT.url else ["--host", engine.url]
    options = ["-it" if terminal else "-i", "--user", spec.layout.users["user"]]
    return ["docker", *host, "exec", *options, container, *machine_command(spec)]
