"""Functions that several commands use: reading a report, and looking up names."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from containers.state import default_folder
from verification.commands.parser import LIMIT_OPTIONS
from verification.models.base import DataError, read_json
from verification.models.cell import Cell
from verification.models.errors import ExitCode, WrongUse
from verification.models.machine import MachineSpec
from verification.models.report import Report
from verification.models.results import CellResult
from verification.models.scenario import Installer
from verification.models.subject import Subject
from verification.models.testbed import EgressProof, Image
from verification.scenarios import cells, installers, machines, scenarios
from verification.session.user_files import user_path
from verification.subjects import subject as subjects
from verification.suggestions import unknown

# The session imports the libraries of the engine. A command that only reads reports starts faster
# without them.
if TYPE_CHECKING:
    from verification.session.prepare import PreparedRun
    from verification.session.selection import Selection

ROOT = Path(__file__).parents[2]


class Unverified(Exception):
    """The request cannot be carried out on this host. The message is the reason."""

    exit_code = ExitCode.UNVERIFIED


def check_egress(proof: EgressProof | None) -> None:
    """Check that the proof of a run shows that its machines have no egress.

    Raises:
        Unverified: it does not show this.
    """
    if proof and proof.not_proved:
        raise Unverified(f"network closure not proved: {proof.not_proved}")


def path_of(name: str | None) -> Path | None:
    """Return the path that an option names, or None if the option has no value."""
    return user_path(name) if name else None


def read_report(name: str) -> tuple[Path, Report]:
    """Return the folder of a report and the report.

    Raises:
        WrongUse: the folder has no results.json, this file is not the report of a run, or the run
            did not finish.
    """
    folder = path_of(name) or default_folder(ROOT, "report")
    path = folder / "results.json"
    if not path.is_file():
        raise WrongUse(
            f"{folder}: this folder has no results.json; run ./e2e gate, or name the folder of a "
            "report with --from"
        )
    try:
        report = read_json(Report, path)
    except DataError as error:
        raise WrongUse(f"{folder}: not the results of a run: {error}") from None
    check_finished(report, str(folder))
    return folder, report


def check_finished(report: Report, name: str) -> None:
    """Check that the run of a report finished. `name` is the file or folder of the report.

    Raises:
        WrongUse: the run was killed, or it has not ended.
    """
    if not report.finished:
        raise WrongUse(
            f"{name}: the run of this report did not finish: it was killed, or it still runs; "
            "wait for its end or run it again"
        )


def cells_of(report: Report, ids: Sequence[str]) -> list[CellResult]:
    """Return the cells with these ids, or all cells of the report if there are no ids.

    Raises:
        WrongUse: the report has no cell with one of the ids.
    """
    cells_by_id = {cell.id: cell for cell in report.cells}
    for cell_id in ids:
        if cell_id not in cells_by_id:
            raise WrongUse(f"{unknown('cell', cell_id, cells_by_id)} (in this report)")
    return [cells_by_id[cell_id] for cell_id in dict.fromkeys(ids)] if ids else list(report.cells)


def subject_of(options: argparse.Namespace) -> Subject:
    """Return the subject that ``--subject`` names, or the default one.

    Raises:
        DataError: the description cannot be used.
    """
    file = path_of(options.subject)
    return subjects.load(file) if file else subjects.load()


def select_for(options: argparse.Namespace, spec: MachineSpec, subject: Subject) -> Selection:
    """Return the checked choices of these options, for one machine.

    Raises:
        WrongUse: two options cannot be combined, or an option names something that does not exist.
    """
    from verification.session.selection import Options, select

    run_options = Options(
        source=path_of(options.source),
        wheels=path_of(options.wheels),
        release=options.release,
        subject=subject.name if options.subject else "",
        subject_file=path_of(options.subject),
        history=options.history,
        machines=(spec.name,),
        pipeline=False,
        limits=limit_words(vars(options)),
        provision=not options.no_provision,
    )
    return select(run_options, ROOT, subject.platforms)


def limit_words(options: Mapping[str, object]) -> dict[str, str]:
    """Return the values of the options for limits that the user typed, by the key of the limit."""
    words = {key: options.get(name.removeprefix("--")) for name, _, key, _ in LIMIT_OPTIONS}
    return {key: str(word) for key, word in words.items() if word is not None}


def machine_of(name: str) -> MachineSpec:
    """Return the machine with this name.

    Raises:
        WrongUse: there is no such machine.
    """
    specs = machines.load()
    if name not in specs:
        raise WrongUse(unknown("machine", name, specs))
    return specs[name]


def installer_of(name: str) -> Installer:
    """Return the installer with this name.

    Raises:
        WrongUse: there is no such installer.
    """
    try:
        return installers.named(name)
    except KeyError:
        names = [*installers.load(), "pip-VERSION", "uv-VERSION"]
        raise WrongUse(f"--installer {unknown('installer', name, names)}") from None


def cell_on(
    spec: MachineSpec, subject: Subject, installer: str | None, scenario: str | None
) -> Cell:
    """Return the cell of a machine, by default with the machine's first installer and scenario.

    Raises:
        WrongUse: the installer or the scenario does not exist, or they cannot be combined with each
            other or with the machine.
    """
    installer = installer or spec.installers[0]
    installer_spec = installer_of(installer)
    scenario = scenario or (installer_spec.scenarios or spec.scenarios)[0]
    kind = installers.program_of(installer)
    if kind not in {*spec.installers, *(name.partition("-")[0] for name in spec.installers)}:
        raise WrongUse(
            f"--installer {installer}: {spec.name} does not have it; "
            f"it has {', '.join(spec.installers)}"
        )
    scenario_specs = scenarios.load()[spec.os]
    if scenario not in scenario_specs:
        line = unknown("scenario", scenario, scenario_specs)
        raise WrongUse(f"--scenario {line} (on {spec.os})")
    if installer_spec.scenarios and scenario not in installer_spec.scenarios:
        names = " and ".join(installer_spec.scenarios)
        raise WrongUse(f"--installer {installer} needs the scenario {names}")
    required = scenario_specs[scenario].installers
    if required and installer not in required and kind not in required:
        raise WrongUse(f"--scenario {scenario} needs the installer {' or '.join(required)}")
    if kind != installer and scenario_specs[scenario].python[0] != "python":
        raise WrongUse(f"--scenario {scenario} uses the machine's {kind}, not {installer}")
    return cells.cell(spec, subject, installer, scenario)


def image_of(prepared: PreparedRun, name: str) -> Image:
    """Return the image of a machine of a prepared run.

    Raises:
        Unverified: this host cannot make or pull the image.
    """
    if reason := prepared.unavailable.get(name):
        raise Unverified(f"{name}: {reason}")
    return prepared.machines[name]
