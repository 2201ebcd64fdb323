"""Where the fault of a way of installing is judged: a machine and an installer."""

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
from tests.faults.recording import EvidenceSource, Observations, Observed
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.diagnosis import Diagnosis
from verification.models.evidence import CellEvidence
from verification.models.release import Release
from verification.models.subject import Subject
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.session.prepare import PreparedRun
from verification.session.run_cell import CellRequest, PlantedFault, run
from verification.subjects.subject import load as load_subject

System = str
"""linux or windows."""

# Machine and installer.
PIP = ("debian-13", "pip")
UV = ("debian-13", "uv")
WINDOWS = ("windows-wine", "uv")
WINDOWS_PIP = ("windows-wine", "pip")


class Start(Protocol):
    """Starts a testbed with these wheels and these faults of the index."""

    def __call__(
        self,
        wheels: Sequence[Path],
        faults: Sequence[IndexFault] = (),
        *,
        dependencies: Sequence[Path] = (),
        internal: bool = True,
        prove: bool = False,
    ) -> contextlib.AbstractContextManager[Testbed]:
        """Return the testbed as a context manager."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A machine and an installer, to which wheels are given in this way and that."""

    found: Engine
    start: Start
    built: Callable[[System], Path]
    """Gives the good wheel for a system."""
    evidence_source: EvidenceSource
    machine: str = "debian-13"
    installer: str = "pip"

    def at(self, machine: str = "", installer: str = "") -> Place:
        """Return another place; what is left out is as here."""
        return dataclasses.replace(
            self, machine=machine or self.machine, installer=installer or self.installer
        )

    @property
    def system(self) -> System:
        """What the machine's programs are for."""
        return machines.load()[self.machine].os

    @property
    def plain(self) -> str:
        """The ordinary way there."""
        return "system" if self.system == "windows" else "venv"

    @property
    def good(self) -> Path:
        """The good wheel for the machine; none is built that is not asked for."""
        return self.built(self.system)

    def causes(
        self,
        wheel: Path,
        names: Sequence[str],
        *,
        also: Sequence[Path] = (),
        earlier: Sequence[Path] = (),
        beside: Sequence[Path] = (),
        planted: PlantedFault | None = None,
    ) -> dict[str, tuple[Cause, ...]]:
        """Publish the wheel and return the causes in each of the scenarios.

        The release has ``also`` other wheels. ``earlier`` releases are on the index as well, and so
        is what is ``beside`` it.
        """
        spec = machines.load()[self.machine]
        subject = load_subject()
        release = planted_release(wheel, *also).model_copy(update={"earlier": tuple(earlier)})
        known = {path.name for path in release.dependencies}
        extra = [path for path in (*earlier, *beside) if path.name not in known]

        def run_cells() -> Observations:
            with self.start(release.wheel_paths, dependencies=extra) as bed:
                cells = {}
                for name in names:
                    cell = plan.cell(spec, subject, self.installer, name)
                    request = job_on(self.found, bed, cell, release)
                    cells[name] = observed(request._replace(planted=planted or PlantedFault()))
                return Observations(cells, bed.hosts)

        cells = self.evidence_source.observe(names, run_cells)
        return {name: diagnose(*cells[name]).causes for name in names}

    def names(self, *given: Any, **options: Any) -> dict[str, set[str]]:
        """Publish the wheel and return the names of the causes in each of the scenarios."""
        seen = self.causes(*given, **options)
        return {name: {cause.name for cause in causes} for name, causes in seen.items()}


class Diagnosed(NamedTuple):
    """What a cell showed."""

    evidence: CellEvidence
    diagnosis: Diagnosis

    @property
    def names(self) -> set[str]:
        """The names of the causes."""
        return {cause.name for cause in self.diagnosis.causes}


def planted_release(*wheels: Path) -> Release:
    """Return the release of these wheels."""
    return wheelhouse.from_files(wheels, load_subject().locks, location="planted")


def job_on(engine: Engine, bed: Testbed, cell: Cell, release: Release) -> CellRequest:
    """Return the job that runs a cell on a testbed."""
    prepared = PreparedRun(
        testbed=bed,
        release=release,
        machines={cell.machine.name: images.ensure(engine, cell.machine.image)},
        unavailable={},
        infrastructure=(),
    )
    return CellRequest(prepared, load_subject(), cell, seconds=TIME_LIMITS)


def observed(job: CellRequest) -> Observed:
    """Run a cell; return what it shows and what it must show."""
    evidence = run(job)
    return Observed(evidence, job.prepared.expectation(job.subject, job.cell, evidence))


def diagnosed(job: CellRequest) -> Diagnosed:
    """Run a cell; return its evidence and what it shows."""
    cell = observed(job)
    return Diagnosed(cell.evidence, diagnose(*cell))


def narrowed(system: System) -> Subject:
    """Return the package under test, narrowed to its platform for this operating system."""
    subject = load_subject()
    platforms = tuple(p for p in subject.platforms if p.target.system == system)[:1]
    return subject.model_copy(update={"platforms": platforms})
