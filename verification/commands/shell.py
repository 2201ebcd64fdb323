"""``./e2e shell``: an interactive shell in a clean machine, with the index up."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

from containers import engine as engines
from containers.engine import Engine
from containers.machine import Machine, MachineSetup
from containers.testbed import Testbed
from verification.commands import common as session
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec
from verification.models.release import Release
from verification.report import summary as seen
from verification.rules import own_tests
from verification.scenarios.instructions import ProbeInstructions, instructions
from verification.session import cell as cells
from verification.session import prepare as gate
from verification.subjects.subject import load as load_subject

ENTER = Path(__file__).parents[1] / "probe" / "enter.py"
_RC = "[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='[{name}] \\w\\$ '\n"


def settle(
    machine: Machine,
    cell: Cell,
    house: Release,
    tests: Path | None = None,
) -> None:
    """Make a fresh machine the cell's, with what its user has done before the installation.

    Raises:
        TestbedFailure: ``machine-lost``: it cannot be made so.
    """
    own = own_tests.files(tests) if tests and cell.runs_tests else None
    cells.settle(machine, cell, house, own=own)
    add_enter(machine)
    done = machine.run(enter(machine.spec, "setup"))
    if done.code:
        seen = " ".join(done.output.split())[-300:]
        raise TestbedFailure("machine-lost", f"{cell.id}: set-up", seen)


def add_enter(machine: Machine) -> None:
    """Put on the machine what ``enter`` runs there."""
    rc = _RC.format(name=machine.spec.name).encode()
    machine.put({"enter.py": ENTER.read_bytes(), "shellrc": rc})


def enter(spec: MachineSpec, *steps: str) -> list[str]:
    """Return the command, on the machine, that does these steps; without any, the shell."""
    layout = spec.layout
    return [*layout.python, layout.path("enter.py"), layout.path("instructions.json"), *steps]


def execution(engine: Engine, container: str, spec: MachineSpec, *, terminal: bool) -> list[str]:
    """Return the command, on this host, that opens the shell in a machine that is up."""
    usual = engine.origin == "the default socket"
    where = [] if usual else ["--host", engine.url]
    options = ["-it" if terminal else "-i", "--user", spec.layout.users["user"]]
    return ["docker", *where, "exec", *options, container, *enter(spec)]


def banner(cell: Cell, told: ProbeInstructions, prepared: gate.Prepared) -> list[str]:
    """Return what is there, what to type and how to leave."""
    spec, house = cell.machine, prepared.wheelhouse
    windows = spec.os == "windows"
    image = prepared.machines[spec.name]
    beside = " ".join(f"{name} {version}" for name, version in sorted(house.locked().items()))
    before = f"; before it {house.previous} and older ones" if house.earlier else ""
    typed = [*told.first, told.install, *told.after_install]
    lines = [
        f"machine   {spec.name}: {spec.title}",
        f"image     {image.tag} {image.id[:19]}",
        f"scenario  {cell.scenario.name}, with {cell.installer.name}, in {told.cwd}",
        f"index     quiverdb {house.version} ({', '.join(p.name for p in house.wheels)}){before}",
        f"          beside it {beside}; nothing else can be reached",
        *(
            f"{'type' if not number else '':<10}{seen.command_line(command, windows=windows)}"
            for number, command in enumerate(typed)
        ),
        f"leave     exit{'' if windows else ' or Ctrl-D'}; everything is removed then",
    ]
    if told.deviation:
        lines.insert(-1, f"deviation {told.deviation}")
    return lines


@contextlib.contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    """Give the terminal back as it was, however the shell ended."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it may be gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def attach(testbed: Testbed, container: str, spec: MachineSpec) -> int:
    """Open the shell and wait for it; return its exit code."""
    engines.install_client()
    command = execution(testbed.engine, container, spec, terminal=sys.stdin.isatty())
    with (
        _terminal_as_it_was(),
        subprocess.Popen(command, env={**os.environ, **testbed.engine.environment()}) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def run(asked: argparse.Namespace) -> int:
    """Do what the options ask for."""
    spec = session.machine(asked.machine)
    cell = session.cell(spec, asked.installer, asked.scenario)
    selection = session.select(asked, spec)
    with contextlib.ExitStack() as stack:
        subject = load_subject()
        prepared = gate.prepare(selection, subject, stack)
        image = session.image_of(prepared, spec.name)
        house = prepared.wheelhouse
        told = instructions(cell, subject, version=house.version, previous=house.previous)
        bed = prepared.testbed
        files = cells.carried(told, subject)
        machine = stack.enter_context(
            bed.machine(spec, image, MachineSetup(tmpfs=cell.scenario.tmpfs, files=files))
        )
        settle(machine, cell, house, selection.tests)
        machine.wait()
        print("\n".join(["", *banner(cell, told, prepared), ""]), file=sys.stderr, flush=True)
        return attach(bed, machine.id, spec)
