"""What the fault tests share: the good wheel, and one run of a cell with a fault planted in it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from containers import builder, engine, images, testbed, wheelhouse
from containers.engine import Engine, Run
from containers.index import IndexContents, IndexFault
from containers.testbed import Testbed
from tests.faults.place import (
    Place,
    Start,
    System,
    job_on,
    narrowed,
    observed,
    planted_release,
)
from tests.faults.recording import (
    SOURCES,
    EvidenceSource,
    Machines,
    Observations,
    Recording,
    path_of,
    write,
)
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.evidence import CellEvidence
from verification.models.subject import Subject
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.session.run_cell import PlantedFault
from verification.subjects.subject import load as load_subject
from verification.wheel.modules import top_level_modules
from verification.wheel.release_inspection import inspect_release

MACHINE = "debian-13"
_SECONDS = 3600
"""How long one of these tests may take: it may have to build the images that it uses."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the recordings anew."""
    help_text = "write the evidence that the recorded tests judge (with -m long)"
    parser.addoption("--record-evidence", action="store_true", help=help_text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make two tests of each that is marked `recorded`: of a recording, and of machines."""
    marked = metafunc.definition.get_closest_marker("recorded")
    if marked and "evidence_source" in metafunc.fixturenames:
        recorded, on_machines = SOURCES
        sources = [recorded, pytest.param(on_machines, marks=pytest.mark.long)]
        metafunc.parametrize("evidence_source", sources, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that they need."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SECONDS))


@pytest.fixture(scope="session")
def subject() -> Subject:
    """Return the package under test, narrowed to the platform of the fault tests' machine."""
    return narrowed("linux")


@pytest.fixture(scope="session")
def found() -> Iterator[Engine]:
    """Return an engine, provided if need be, with what dead runs left on it removed."""
    answering = engine.ensure()
    client = answering.client()
    engine.sweep(client)
    yield answering
    client.close()


@pytest.fixture(scope="session")
def run(found: Engine) -> Iterator[Run]:
    """Return a run whose things are removed at the end, whatever the tests left."""
    mine = Run.new()
    yield mine
    client = found.client()
    engine.sweep(client, run=mine.id)
    client.close()


@pytest.fixture(scope="session")
def good_wheel(found: Engine, run: Run, pytestconfig: pytest.Config) -> Path:
    """Return the Linux wheel of bindings/python, which has no fault."""
    return builder.build(found, pytestconfig.rootpath / "bindings" / "python", run)


@pytest.fixture(scope="session")
def good_windows_wheel(found: Engine, run: Run, pytestconfig: pytest.Config) -> Path:
    """Return the Windows wheel of bindings/python, which has no fault."""
    source = pytestconfig.rootpath / "bindings" / "python"
    return builder.build(found, source, run, platform="windows")


@pytest.fixture(scope="session")
def the_cell() -> Cell:
    """Return the first cell of the machine that the fault tests use."""
    return plan.cells([machines.load()[MACHINE]], load_subject())[0]


@dataclasses.dataclass(frozen=True)
class Judged:
    """What both layers say of a wheel."""

    static: tuple[Cause, ...]
    dynamic: tuple[Cause, ...]
    evidence: CellEvidence

    @property
    def static_names(self) -> set[str]:
        """The names of the causes that the static layer found, notes left out."""
        return {cause.name for cause in self.static if cause.severity != "note"}

    @property
    def names(self) -> set[str]:
        """The names of the causes that the machine showed."""
        return {cause.name for cause in self.dynamic}


class Judge(Protocol):
    """Publishes one wheel, runs the cell with a fault planted, and tells what both layers say."""

    def __call__(
        self,
        wheel: Path,
        planted: PlantedFault | None = None,
        *,
        faults: Sequence[IndexFault] = (),
        installer: str = "",
        **seconds: int,
    ) -> Judged:
        """Return what was found."""


@pytest.fixture
def start(found: Engine, run: Run) -> Start:
    """Return the way to a testbed; the canary is left to the tests of the canary."""

    @contextlib.contextmanager
    def started(
        wheels: Sequence[Path],
        faults: Sequence[IndexFault] = (),
        *,
        dependencies: Sequence[Path] = (),
        internal: bool = True,
        prove: bool = False,
    ) -> Iterator[Testbed]:
        contents = IndexContents(
            project="quiverdb",
            files=(*wheelhouse.dependencies(load_subject().locks), *dependencies),
            faults=tuple(faults),
        )
        index, publisher = (images.ensure(found, name) for name in ("index", "publisher"))
        with (
            testbed.prepare_network(
                found, run, publisher, internal=internal, prove=prove
            ) as network,
            testbed.start(network, index, contents, wheels) as bed,
        ):
            yield bed

    return started


@pytest.fixture
def evidence_source(request: pytest.FixtureRequest) -> Iterator[EvidenceSource]:
    """Return where the evidence of the test's cells comes from: a recording, or machines."""
    path = path_of(request.node)
    if getattr(request, "param", SOURCES[1]) == SOURCES[0]:
        recording = Recording(path)
        yield recording
        recording.check_complete()
        return
    on_machines = Machines()
    yield on_machines
    if request.config.getoption("--record-evidence") and hasattr(request, "param"):
        write(path, on_machines.calls)


@pytest.fixture
def place(
    found: Engine, start: Start, evidence_source: EvidenceSource, request: pytest.FixtureRequest
) -> Place:
    """Return Debian 13 with its own pip, or the machine and installer of the parameter."""

    def built(system: System) -> Path:
        name = {"linux": "good_wheel", "windows": "good_windows_wheel"}[system]
        wheel: Path = request.getfixturevalue(name)
        return wheel

    return Place(found, start, built, evidence_source).at(*getattr(request, "param", ()))


@pytest.fixture
def judge(found: Engine, the_cell: Cell, start: Start, evidence_source: EvidenceSource) -> Judge:
    """Return the way from a Linux wheel to its causes."""
    return _judge(found, the_cell, start, evidence_source)


@pytest.fixture
def windows_judge(found: Engine, start: Start, evidence_source: EvidenceSource) -> Judge:
    """Return the way from a Windows wheel to its causes, on a clean Windows, with uv for speed."""
    cell = plan.cell(machines.load()["windows-wine"], load_subject(), "uv", "system")
    return _judge(found, cell, start, evidence_source)


def _judge(found: Engine, cell: Cell, start: Start, evidence_source: EvidenceSource) -> Judge:
    subject = narrowed(cell.machine.os)

    def judged(
        wheel: Path,
        planted: PlantedFault | None = None,
        *,
        faults: Sequence[IndexFault] = (),
        installer: str = "",
        **seconds: int,
    ) -> Judged:
        release = planted_release(wheel)
        static = inspect_release([wheel], subject, top_level_modules(release.dependencies))
        here = plan.cell(
            cell.machine, load_subject(), installer or cell.installer.name, cell.scenario.name
        )

        def run_cells() -> Observations:
            with start([wheel], faults) as bed:
                request = job_on(found, bed, here, release)._replace(
                    planted=planted or PlantedFault(), seconds={**TIME_LIMITS, **seconds}
                )
                return Observations({here.id: observed(request)}, bed.hosts)

        shown = evidence_source.observe([here.id], run_cells)[here.id]
        return Judged(static.all_causes, diagnose(*shown).causes, shown.evidence)

    return judged
