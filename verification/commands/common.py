"""Code that the commands share: the report of a run, and selection by name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from verification.models.base import DataError, read_json
from verification.models.cell import Cell
from verification.models.errors import ExitCode, WrongUse
from verification.models.machine import MachineSpec
from verification.models.report import Report
from verification.models.results import CellResult
from verification.models.scenario import Installer
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.scenarios import cells, installers, machines, scenarios
from verification.session.prepare import PreparedRun
from verification.session.selection import Options, Selection, select
from verification.session.user_files import user_path
from verification.subjects import subject as subjects

ROOT = Path(__file__).parents[2]


class Unverified(Exception):
    """What was asked for cannot be done here; the message is the reason. Exit code 5."""

    exit_code = ExitCode.UNVERIFIED


def path_of(name: str | None) -> Path | None:
    """Return the path that an option names, or None where it was left out."""
    return user_path(name) if name else None


def read_report(name: str) -> tuple[Path, Report]:
    """Return the folder of a report and the report.

    Raises:
        WrongUse: there is no results.json, it is not the report of a run, or its run did not
            finish.
    """
    folder = path_of(name) or ROOT / "report"
    path = folder / "results.json"
    if not path.is_file():
        raise WrongUse(
            f"{folder}: there is no results.json; run ./e2e gate, or name a report's folder with "
            "--from"
        )
    try:
        report = read_json(Report, path)
    except DataError as error:
        raise WrongUse(f"{folder}: not the results of a run: {error}") from None
    check_finished(report, str(folder))
    return folder, report


def check_finished(report: Report, name: str) -> None:
    """Check that a report is of a run that finished; `name` is its file or folder.

    Raises:
        WrongUse: the run was killed, or still runs.
    """
    if not report.finished:
        raise WrongUse(
            f"{name}: the run of this report did not finish: it was killed, or it still runs; "
            "wait for its end or run it again"
        )


def cells_of(report: Report, idents: Sequence[str]) -> list[CellResult]:
    """Return the cells of these ids; all of them where none is named.

    Raises:
        WrongUse: the report has no such cell.
    """
    known = {cell.id: cell for cell in report.cells}
    for ident in idents:
        if ident not in known:
            names = ", ".join(known) or "none"
            raise WrongUse(f"{ident}: this report has no such cell; there are: {names}")
    return [known[ident] for ident in dict.fromkeys(idents)] if idents else list(known.values())


def select_for(options: argparse.Namespace, spec: MachineSpec) -> Selection:
    """Return the choices of these options, on one machine.

    Raises:
        WrongUse: they exclude one another or name what does not exist.
    """
    asked = Options(
        source=path_of(options.source),
        wheels=path_of(options.wheels),
        release=options.release,
        history=options.history,
        machines=(spec.name,),
        pipeline=False,
        provision=not options.no_provision,
    )
    return select(asked, ROOT, subjects.load().platforms)


def machine_of(name: str) -> MachineSpec:
    """Return the machine of this name.

    Raises:
        WrongUse: there is none.
    """
    known = machines.load()
    if name not in known:
        raise WrongUse(f"{name}: there is no such machine; there are: {', '.join(known)}")
    return known[name]


def installer_of(name: str) -> Installer:
    """Return the installer of this name.

    Raises:
        WrongUse: there is none.
    """
    try:
        return installers.named(name)
    except KeyError:
        known = ", ".join(installers.load())
        raise WrongUse(
            f"--installer {name}: there is none; there are: {known}, and pip-VERSION"
        ) from None


def cell_on(
    spec: MachineSpec, subject: Subject, installer: str | None, scenario: str | None
) -> Cell:
    """Return the cell of this machine; what is not named is the machine's first.

    Raises:
        WrongUse: there is no such installer or scenario, or not on such a machine.
    """
    installer = installer or spec.installers[0]
    named = installer_of(installer)
    scenario = scenario or (named.scenarios or spec.scenarios)[0]
    kind = "pip" if installer.startswith("pip-") else installer
    if kind not in {*spec.installers, *(name.partition("-")[0] for name in spec.installers)}:
        raise WrongUse(
            f"--installer {installer}: {spec.name} has none; it has: {', '.join(spec.installers)}"
        )
    known = scenarios.load()[spec.os]
    if scenario not in known:
        raise WrongUse(
            f"--scenario {scenario}: there is none for {spec.os}; there are: {', '.join(known)}"
        )
    if named.scenarios and scenario not in named.scenarios:
        names = " and ".join(named.scenarios)
        raise WrongUse(f"--installer {installer}: it is for the scenario {names} alone")
    only = known[scenario].installers
    if only and installer not in only and kind not in only:
        raise WrongUse(f"--scenario {scenario}: it is for {' and '.join(only)} alone")
    if installer.startswith("pip-") and known[scenario].python[0] != "python":
        raise WrongUse(f"--scenario {scenario}: it uses the machine's own pip and no other")
    return cells.cell(spec, subject, installer, scenario)


def image_of(prepared: PreparedRun, name: str) -> Image:
    """Return the image of a machine of a prepared run.

    Raises:
        Unverified: it cannot be made or pulled here.
    """
    if reason := prepared.unavailable.get(name):
        raise Unverified(f"{name}: {reason}")
    return prepared.machines[name]
