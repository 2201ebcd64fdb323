"""Run cells with planted faults on a testbed, and diagnose what they show."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from containers import images, wheelhouse
from containers.engine import Engine
from containers.index import IndexFault
from containers.testbed import Testbed
from tests.faults.recording import EvidenceSource, Observations, ObservedCell
from verification.models.cause import Cause, FactValue
from verification.models.cell import Cell
from verification.models.diagnosis import Diagnosis
from verification.models.evidence import CellEvidence
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.release import Release
from verification.models.subject import Subject
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.session import dependencies
from verification.session.prepare import PreparedRun
from verification.session.run_cell import CellRequest, PlantedFault, run
from verification.subjects.subject import load as load_subject
from verification.wheel.release_inspection import bundled_libraries

System = str
"""linux or windows."""

# Machine and installer.
PIP = ("debian-13", "pip")
UV = ("debian-13", "uv")
WINDOWS = ("windows-wine", "uv")
WINDOWS_PIP = ("windows-wine", "pip")


class StartTestbed(Protocol):
    """A function that starts a testbed whose index has these wheels and faults.

    ``dependencies`` are more files for the index. With ``prove`` the canary runs.
    """

    def __call__(
        self,
        wheels: Sequence[Path],
        faults: Sequence[IndexFault] = (),
        *,
        dependencies: Sequence[Path] = (),
        prove: bool = False,
    ) -> contextlib.AbstractContextManager[Testbed]:
        """Return the testbed as a context manager."""


@dataclasses.dataclass(frozen=True)
class ScenarioRunner:
    """Runs scenarios of wheels with one installer on one machine."""

    container_engine: Engine
    start_testbed: StartTestbed
    build_wheel: Callable[[System], Path]
    """Returns the wheel without a fault for a system."""
    evidence_source: EvidenceSource
    machine: str = "debian-13"
    installer: str = "pip"

    def on(self, machine: str = "", installer: str = "") -> ScenarioRunner:
        """Return a runner for another machine or installer. An empty name keeps the current."""
        return dataclasses.replace(
            self, machine=machine or self.machine, installer=installer or self.installer
        )

    @property
    def system(self) -> System:
        """The system for which the machine runs programs."""
        return machines.load()[self.machine].os

    @property
    def ordinary_scenario(self) -> str:
        """The scenario of an ordinary installation on this system."""
        return "system" if self.system == "windows" else "venv"

    @property
    def good_wheel(self) -> Path:
        """The wheel without a fault for the machine. It is built when a test first uses it."""
        return self.build_wheel(self.system)

    def causes(
        self,
        wheel: Path,
        scenarios: Sequence[str],
        *,
        additional: Sequence[Path] = (),
        earlier: Sequence[Path] = (),
        index_files: Sequence[Path] = (),
        planted: PlantedFault | None = None,
        subject: Subject | None = None,
    ) -> dict[str, tuple[Cause, ...]]:
        """Publish the wheel and return the causes of each scenario, by the name of the scenario.

        ``additional`` wheels belong to the same release, and ``earlier`` wheels to earlier
        releases. ``index_files`` are on the index without belonging to a release. ``subject``
        replaces the description of the default subject.
        """
        described = subject or load_subject()

        def run_cells() -> Observations:
            spec = machines.load()[self.machine]
            release = planted_release(wheel, *additional, machine=spec)
            release = release.model_copy(update={"earlier": tuple(earlier)})
            extra = (*release.dependencies, *earlier, *index_files)
            with self.start_testbed(release.wheel_paths, dependencies=extra) as testbed:
                cells = {}
                for name in scenarios:
                    cell = plan.cell(spec, described, self.installer, name)
                    request = cell_request(self.container_engine, testbed, cell, release)
                    request = request._replace(subject=described, planted=planted or PlantedFault())
                    cells[name] = observe_cell(request)
                return Observations(cells, testbed.hosts)

        cells = self.evidence_source.observe(scenarios, run_cells)
        return {name: diagnose(*cells[name]).causes for name in scenarios}

    def cause_names(self, *arguments: Any, **options: Any) -> dict[str, set[str]]:
        """Return only the names of the causes. The arguments are those of `causes`."""
        causes_of = self.causes(*arguments, **options)
        return {name: {cause.name for cause in causes} for name, causes in causes_of.items()}


class DiagnosedCell(NamedTuple):
    """The evidence of a cell and its diagnosis."""

    evidence: CellEvidence
    diagnosis: Diagnosis

    @property
    def cause_names(self) -> set[str]:
        """The names of the causes."""
        return {cause.name for cause in self.diagnosis.causes}


def has_facts(cause: Cause, **facts: FactValue) -> bool:
    """Return True if the cause has these facts. It may have others."""
    return facts.items() <= cause.facts.items()


def planted_release(*wheels: Path, machine: MachineSpec | None = None) -> Release:
    """Return the release of these wheels, with the dependencies for one machine of each system.

    ``machine`` is that of its system. By default, the first machine is used.
    """
    release = wheelhouse.from_files(wheels, location="planted")
    specs = [machine] if machine else []
    return release.with_dependencies(*dependencies.files(load_subject(), specs))


def cell_request(engine: Engine, testbed: Testbed, cell: Cell, release: Release) -> CellRequest:
    """Return the request to run a cell on a testbed."""
    prepared = PreparedRun(
        testbed=testbed,
        release=release,
        bundled=bundled_libraries(ReleaseInspection(), load_subject()),
        machines={cell.machine.name: images.ensure(engine, cell.machine.image)},
        unavailable={},
        infrastructure=(),
    )
    return CellRequest(prepared, load_subject(), cell, seconds=TIME_LIMITS)


def observe_cell(request: CellRequest) -> ObservedCell:
    """Run a cell and return its evidence and its expectation."""
    evidence = run(request)
    expectation = request.prepared.expectation(request.subject, request.cell, evidence)
    return ObservedCell(evidence, expectation)


def diagnose_cell(request: CellRequest) -> DiagnosedCell:
    """Run a cell and return its evidence and its diagnosis."""
    observed = observe_cell(request)
    return DiagnosedCell(observed.evidence, diagnose(*observed))


def subject_for_system(system: System) -> Subject:
    """Return the subject with only its first platform for this operating system."""
    subject = load_subject()
    platforms = tuple(p for p in subject.platforms if p.target.system == system)[:1]
    return subject.model_copy(update={"platforms": platforms})
