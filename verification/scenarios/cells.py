"""Combine machines, installers and scenarios into the cells of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.inspection import BundledLibraries
from verification.models.machine import MachineSpec
from verification.models.subject import Subject
from verification.scenarios import installers, scenarios
from verification.scenarios.expectation import declared_refusal
from verification.scenarios.profiles import Profile
from verification.subjects.subject import offered_actions


def cells(
    machines: Iterable[MachineSpec],
    subject: Subject,
    profile: Profile | None = None,
    *,
    outside_libraries: bool = False,
    bundled: BundledLibraries | None = None,
) -> list[Cell]:
    """Return the cells of ``machines``, in their order; with a profile, only the cells it selects.

    The cells of `not_offered` are left out. ``outside_libraries``: a Windows wheel of the release
    has libraries outside its package.

    Raises:
        WrongUse: a machine names an unknown installer or scenario.
    """
    selected = _selected(machines, subject, profile, outside_libraries=outside_libraries)
    return [cell for cell in selected if not _reason_not_offered(cell, subject, bundled)]


def not_offered(
    machines: Iterable[MachineSpec],
    subject: Subject,
    profile: Profile | None = None,
    *,
    bundled: BundledLibraries | None = None,
) -> dict[str, str]:
    """Return why cells have nothing to try with the subject, by the name of the cell.

    They need an action, an older dependency or a native library. ``bundled`` has the libraries of
    the wheels; it is None if the wheels are not known yet.
    """
    reasons = {
        cell.id: _reason_not_offered(cell, subject, bundled)
        for cell in _selected(machines, subject, profile)
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _selected(
    machines: Iterable[MachineSpec],
    subject: Subject,
    profile: Profile | None,
    *,
    outside_libraries: bool = False,
) -> Iterator[Cell]:
    for machine in machines:
        for cell in _of_machine(machine, subject):
            if profile is None or profile.selects(
                cell.installer.name,
                cell.scenario.name,
                outside_libraries=outside_libraries and machine.os == "windows",
            ):
                yield cell


def _reason_not_offered(cell: Cell, subject: Subject, bundled: BundledLibraries | None) -> str:
    """Return why a cell has nothing to try with the subject, or an empty string."""
    scenario = cell.scenario
    if missing := [name for name in scenario.actions if name not in offered_actions(subject)]:
        return f"{subject.name} has no action {', '.join(missing)}"
    if scenario.needs_older_dependency and not subject.older_dependencies:
        return f"{subject.name} names no older dependency"
    if scenario.needs_libraries and bundled is not None and not bundled.get(cell.machine.os):
        return "no wheel for the system has a library that is no extension module"
    return ""


def cell(machine: MachineSpec, subject: Subject, installer: str, scenario: str) -> Cell:
    """Return the cell of an installer and a scenario, also if machines.toml does not list it.

    Raises:
        KeyError: the installer is unknown, or the machine's system has no such scenario.
    """
    known = scenarios.load()[machine.os][scenario]
    offered = [name for name in known.additional_actions if name in offered_actions(subject)]
    if offered:
        known = known.model_copy(update={"actions": (*known.actions, *offered)})
    return Cell(
        machine=machine,
        installer=installers.named(installer),
        scenario=known,
        refusal=known.refusal or declared_refusal(subject, machine) or "",
    )


def _of_machine(machine: MachineSpec, subject: Subject) -> Iterator[Cell]:
    _check(machine, "installer", machine.installers, installers.load())
    _check(machine, "scenario", machine.scenarios, scenarios.load()[machine.os])
    for installer in machine.installers:
        for scenario in machine.scenarios:
            combination = cell(machine, subject, installer, scenario)
            installers_of_scenario = combination.scenario.installers or machine.installers
            scenarios_of_installer = combination.installer.scenarios or machine.scenarios
            if installer in installers_of_scenario and scenario in scenarios_of_installer:
                yield combination


def _check(machine: MachineSpec, kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise WrongUse(
                f"machines.toml: {machine.name}: unknown {kind} {name!r}; "
                f"the {kind}s are {', '.join(sorted(known))}"
            )
