"""``./e2e shell``: open an interactive shell on a clean machine with a running index."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import termios
from collections.abc import Iterator

from containers import engine as engines
from containers.machine import MachineSetup
from containers.progress import PROGRESS
from containers.testbed import Testbed
from verification.commands import common
from verification.models.machine import MachineSpec
from verification.report import cell_summary
from verification.scenarios.instructions import ProbeInstructions, instructions
from verification.session import enter_machine
from verification.session.prepare import prepare
from verification.session.run_cell import CellRequest, probe_files


def banner(request: CellRequest, probe_plan: ProbeInstructions) -> list[str]:
    """Return the lines that describe the machine, the commands of its cell and how to leave."""
    cell, release = request.cell, request.prepared.release
    spec = cell.machine
    windows = spec.os == "windows"
    locked = " ".join(f"{name} {version}" for name, version in sorted(release.locked().items()))
    earlier = f"; earlier releases up to {release.previous}" if release.earlier else ""
    wheels = ", ".join(file.name for file in release.wheels)
    commands = [*probe_plan.first, probe_plan.install, *probe_plan.after_install]
    lines = [
        f"machine   {spec.name}: {spec.title}",
        f"image     {request.image.tag} {request.image.id[:19]}",
        f"scenario  {cell.scenario.name}, with {cell.installer.name}, in {probe_plan.cwd}",
        f"index     {request.subject.name} {release.version} ({wheels}){earlier}",
        f"          {locked}; the machine reaches nothing else",
        *(
            f"{'' if number else 'commands':<10}{cell_summary.command_line(words, windows=windows)}"
            for number, words in enumerate(commands)
        ),
        f"leave     exit{'' if windows else ' or Ctrl-D'}; then everything is removed",
    ]
    if probe_plan.deviation:
        lines.insert(-1, f"deviation {probe_plan.deviation}")
    return lines


@contextlib.contextmanager
def _restored_terminal() -> Iterator[None]:
    """Restore the settings of the terminal when the shell ends, also after an error."""
    if not sys.stdin.isatty():
        yield
        return
    settings = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be closed
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)


def attach(testbed: Testbed, container: str, spec: MachineSpec) -> int:
    """Open the shell, wait for its end and return its exit code."""
    engines.install_client()
    command = enter_machine.host_command(
        testbed.engine, container, spec, terminal=sys.stdin.isatty()
    )
    environment = {**os.environ, **testbed.engine.environment()}
    with _restored_terminal(), subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def run(options: argparse.Namespace) -> int:
    """Open the shell and return its exit code."""
    PROGRESS.print_to(sys.stderr)  # stdout has the output of the shell only
    spec = common.machine_of(options.machine)
    subject = common.subject_of(options)
    cell = common.cell_on(spec, subject, options.installer, options.scenario)
    selection = common.select_for(options, spec, subject)
    with contextlib.ExitStack() as stack:
        prepared = prepare(selection, subject, stack).prepared
        image = common.image_of(prepared, spec.name)
        request = CellRequest(prepared, subject, cell, selection.tests)
        probe_plan = instructions(
            cell, subject, version=prepared.release.version, previous=prepared.previous(spec)
        )
        setup = MachineSetup(tmpfs=cell.scenario.tmpfs, files=probe_files(probe_plan, subject))
        machine = stack.enter_context(prepared.testbed.machine(spec, image, setup))
        enter_machine.prepare_for_entry(machine, request)
        machine.wait()
        print("\n".join(["", *banner(request, probe_plan), ""]), file=sys.stderr, flush=True)
        return attach(prepared.testbed, machine.id, spec)
