"""The fixtures of the fault tests: wheels without a fault, and runs of a cell with a fault."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from containers import builder, engine, images, testbed
from containers.engine import Engine, Run
from containers.index import IndexContents, IndexFault
from containers.testbed import Testbed
from tests.faults import edits
from tests.faults.cell_runs import (
    ScenarioRunner,
    StartTestbed,
    System,
    cell_request,
    observe_cell,
    planted_release,
    subject_for_system,
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
from tests.helpers.binaries import elf
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.evidence import CellEvidence
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.session import dependencies as locked_dependencies
from verification.session.run_cell import PlantedFault
from verification.subjects.subject import load as load_subject
from verification.wheel.modules import Distributions, read_distributions
from verification.wheel.release_inspection import inspect_release

MACHINE = "debian-13"
_SECONDS = 3600
"""The time limit of one test. It includes the time to build images."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the recordings."""
    help_text = "write the evidence that the recorded tests judge (with -m long)"
    parser.addoption("--record-evidence", action="store_true", help=help_text)


def pytest_configure() -> None:
    """Remove the width that tox sets, because it wraps the lines of the started gates."""
    os.environ.pop("COLUMNS", None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make two tests of each test that is marked `recorded`: with a recording and with machines."""
    marked = metafunc.definition.get_closest_marker("recorded")
    if marked and "evidence_source" in metafunc.fixturenames:
        recorded, on_machines = SOURCES
        sources = [recorded, pytest.param(on_machines, marks=pytest.mark.long)]
        metafunc.parametrize("evidence_source", sources, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder a longer time limit."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SECONDS))


@pytest.fixture(scope="session")
def container_engine() -> Iterator[Engine]:
    """Return an engine, and start one if none answers. Objects of ended runs are removed first."""
    answering = engine.ensure()
    client = answering.client()
    engine.sweep(client)
    yield answering
    client.close()


@pytest.fixture(scope="session")
def run(container_engine: Engine) -> Iterator[Run]:
    """Return a run. Its objects on the engine are removed after the last test."""
    new = Run.new()
    yield new
    client = container_engine.client()
    engine.sweep(client, run=new.id)
    client.close()


@pytest.fixture(scope="session")
def good_wheel(container_engine: Engine, run: Run, pytestconfig: pytest.Config) -> Path:
    """Return the Linux wheel of bindings/python, which has no fault."""
    return builder.build(container_engine, pytestconfig.rootpath / "bindings" / "python", run)


@pytest.fixture(scope="session")
def good_windows_wheel(container_engine: Engine, run: Run, pytestconfig: pytest.Config) -> Path:
    """Return the Windows wheel of bindings/python, which has no fault."""
    source = pytestconfig.rootpath / "bindings" / "python"
    return builder.build(container_engine, source, run, platform="windows")


@pytest.fixture(scope="session")
def linux_cell() -> Cell:
    """Return the first cell of the machine that most fault tests use."""
    return plan.cells([machines.load()[MACHINE]], load_subject())[0]


@dataclasses.dataclass(frozen=True)
class JudgedWheel:
    """The causes that the inspection and a cell report for a wheel."""

    static: tuple[Cause, ...]
    dynamic: tuple[Cause, ...]
    evidence: CellEvidence

    @property
    def static_names(self) -> set[str]:
        """The names of the causes of the inspection, without notes."""
        return {cause.name for cause in self.static if cause.severity != "note"}

    @property
    def names(self) -> set[str]:
        """The names of the causes of the cell."""
        return {cause.name for cause in self.dynamic}


def assert_missing_library(judged: JudgedWheel, library: str) -> None:
    """Assert that the inspection and the machine report a library that is not in the wheel."""
    assert judged.static_names == {"missing-bundled-library"}
    assert judged.names == {"missing-bundled-library"}
    assert judged.dynamic[0].facts["library"] == Path(library).name
    assert judged.evidence.import_run
    assert judged.evidence.import_run.code == 0, (
        "the import passes, because the libraries are loaded later"
    )


class Judge(Protocol):
    """Publishes one wheel, runs a cell with a planted fault, and returns all causes."""

    def __call__(
        self,
        wheel: Path,
        planted: PlantedFault | None = None,
        *,
        faults: Sequence[IndexFault] = (),
        installer: str = "",
        **seconds: int,
    ) -> JudgedWheel:
        """Judge a wheel.

        ``faults`` are faults of the index. ``seconds`` are other time limits of the probe, by the
        kind of work.
        """


@pytest.fixture
def start_testbed(container_engine: Engine, run: Run) -> StartTestbed:
    """Return a function that starts a testbed. Only the tests of the canary run the canary."""

    @contextlib.contextmanager
    def start(
        wheels: Sequence[Path],
        faults: Sequence[IndexFault] = (),
        *,
        dependencies: Sequence[Path] = (),
        prove: bool = False,
    ) -> Iterator[Testbed]:
        files = (*locked_dependencies.files(load_subject(), ()), *dependencies)
        contents = IndexContents(
            project="quiverdb",
            files=tuple({path.name: path for path in files}.values()),
            faults=tuple(faults),
        )
        index, publisher = (
            images.ensure(container_engine, name) for name in ("index", "publisher")
        )
        with (
            testbed.prepare_network(container_engine, run, publisher, prove=prove) as network,
            testbed.start(network, index, contents, wheels) as started,
        ):
            yield started

    return start


@pytest.fixture
def evidence_source(request: pytest.FixtureRequest) -> Iterator[EvidenceSource]:
    """Return the source of the test's evidence: a recording, or machines."""
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
def compile_library(
    container_engine: Engine, evidence_source: EvidenceSource
) -> Callable[[str], bytes]:
    """Return a function that compiles a Linux library from C code.

    If the evidence is recorded, the function returns a library without code, because no machine
    loads the library.
    """
    if isinstance(evidence_source, Recording):
        return lambda _: elf(soname="libextra.so", needed=["libc.so.6"])
    return functools.partial(edits.compiled, container_engine)


@functools.cache
def dependencies() -> Distributions:
    """Return the dependencies of quiverdb."""
    return read_distributions(locked_dependencies.files(load_subject(), ()))


@pytest.fixture
def scenario_runner(
    container_engine: Engine,
    start_testbed: StartTestbed,
    evidence_source: EvidenceSource,
    request: pytest.FixtureRequest,
) -> ScenarioRunner:
    """Return a runner for pip on Debian 13, or for the machine and installer of the parameter."""

    def build_wheel(system: System) -> Path:
        name = {"linux": "good_wheel", "windows": "good_windows_wheel"}[system]
        wheel: Path = request.getfixturevalue(name)
        return wheel

    runner = ScenarioRunner(container_engine, start_testbed, build_wheel, evidence_source)
    return runner.on(*getattr(request, "param", ()))


@pytest.fixture
def judge(
    container_engine: Engine,
    linux_cell: Cell,
    start_testbed: StartTestbed,
    evidence_source: EvidenceSource,
) -> Judge:
    """Return a function that judges a Linux wheel."""
    return _judge(container_engine, linux_cell, start_testbed, evidence_source)


@pytest.fixture
def windows_judge(
    container_engine: Engine, start_testbed: StartTestbed, evidence_source: EvidenceSource
) -> Judge:
    """Return a function that judges a Windows wheel on a clean Windows, with the faster uv."""
    cell = plan.cell(machines.load()["windows-wine"], load_subject(), "uv", "system")
    return _judge(container_engine, cell, start_testbed, evidence_source)


def _judge(
    container_engine: Engine,
    default: Cell,
    start_testbed: StartTestbed,
    evidence_source: EvidenceSource,
) -> Judge:
    subject = subject_for_system(default.machine.os)

    def judge_wheel(
        wheel: Path,
        planted: PlantedFault | None = None,
        *,
        faults: Sequence[IndexFault] = (),
        installer: str = "",
        **seconds: int,
    ) -> JudgedWheel:
        static = inspect_release([wheel], subject, dependencies())
        cell = plan.cell(
            default.machine,
            load_subject(),
            installer or default.installer.name,
            default.scenario.name,
        )

        def run_cells() -> Observations:
            with start_testbed([wheel], faults) as started:
                request = cell_request(container_engine, started, cell, planted_release(wheel))
                request = request._replace(
                    planted=planted or PlantedFault(), seconds={**TIME_LIMITS, **seconds}
                )
                return Observations({cell.id: observe_cell(request)}, started.hosts)

        observed = evidence_source.observe([cell.id], run_cells)[cell.id]
        return JudgedWheel(static.all_causes, diagnose(*observed).causes, observed.evidence)

    return judge_wheel
