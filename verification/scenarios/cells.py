"""Combine machines, installers and scenarios into the cells of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.inspection import BundledLibraries
from verification.models.machine import MachineSpec
from verification.models.scenario import Scenario
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

    A scenario has no cell if it needs an action or an older dependency that the subject does not
    have, or a native library that the wheels for the system do not have. ``bundled`` has these
    libraries; it is None if the wheels are not known yet. ``outside_libraries``: a Windows wheel of
    the release has libraries outside its package.

    Raises:
        WrongUse: a machine names an unknown installer or scenario.
    """
    return [
        cell
        for machine in machines
        for cell in _of_machine(machine, subject)
        if bundled is None or bundled.get(machine.os) or not cell.scenario.needs_libraries
        if profile is None
        or profile.selects(
            cell.installer.name,
            cell.scenario.name,
            outside_libraries=outside_libraries and machine.os == "windows",
        )
    ]


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
            if not _is_offered(scenarios.load()[machine.os][scenario], subject):
                continue
            combination = cell(machine, subject, installer, scenario)
            installers_of_scenario = combination.scenario.installers or machine.installers
            scenarios_of_installer = combination.installer.scenarios or machine.scenarios
            if installer in installers_of_scenario and scenario in scenarios_of_installer:
                yield combination


def _is_offered(scenario: Scenario, subject: Subject) -> bool:
    """Return whether the subject has the actions and the older dependency of a scenario."""
    has_dependency = bool(subject.older_dependencies) or not scenario.needs_older_dependency
    return has_dependency and offered_actions(subject).issuperset(scenario.actions)


def _check(machine: MachineSpec, kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise WrongUse(
                f"machines.toml: {machine.name}: unknown {kind} {name!r}; "
                f"the {kind}s are {', '.join(sorted(known))}"
            )
