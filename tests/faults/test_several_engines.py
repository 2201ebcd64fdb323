"""One gate on several engines: shared work, an engine that ends, and an engine with a fault."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from containers import images, testbed
from containers.engine import LABEL_RUN, Engine, Run
from containers.network import ClosedNetwork, closed_network
from containers.recipe import load as load_recipe
from tests.faults.commands import ROOT, FinishedCommand, environment, gate, gate_command
from tests.faults.commands import read_report as read
from tests.faults.engine_objects import labels_of_objects
from tests.helpers import engines
from tests.helpers.engines import StartedEngine
from verification.models.errors import ExitCode, TestbedFailure
from verification.models.report import Report
from verification.models.verdict import Outcome, Verdict
from verification.session.prepare import INFRASTRUCTURE, prepare
from verification.session.selection import Options, select
from verification.subjects.subject import load as load_subject

MACHINE = "debian-13"
NAMES = ("engine-1", "engine-2", "engine-3")
RECIPES = (*INFRASTRUCTURE, "debian-13-user")
CELLS = ("uv-venv", "pip-venv", "pip-root", "pip-target", "pip-user", "pip-space-path")
"""The parts of the names of the cells that these gates run."""
SELECTED = " or ".join(CELLS)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start engines; use sudo")


class Several:
    """Engines with the images of the tests, and a Docker context for each."""

    def __init__(self, started: Sequence[StartedEngine], config: Path, wheel: Path) -> None:
        self.started = started
        self.wheels = wheel.parent
        self._config = config

    @property
    def options(self) -> list[str]:
        """The options that select these engines and the wheel."""
        names = ["-nauto", *(f"--engine={one.name}" for one in self.started)]
        return [*names, f"--wheels={self.wheels}", f"--machine={MACHINE}", "--profile=full"]

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which Docker's client has these contexts."""
        return {"DOCKER_CONFIG": str(self._config), "DOCKER_HOST": "", "DOCKER_CONTEXT": ""}

    def gate(self, report: Path, *options: str) -> FinishedCommand:
        """Run a gate on these engines."""
        return gate(report, *self.options, *options, **self.variables)

    def start(self, report: Path, *options: str) -> subprocess.Popen[bytes]:
        """Start a gate on these engines."""
        return subprocess.Popen(
            [*gate_command(report, *self.options), *options],
            cwd=ROOT,
            env=environment(**self.variables),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def several(source: Engine, count: int, folder: Path, wheel: Path) -> Iterator[Several]:
    """Start engines for the block."""
    names = [load_recipe(name).tag() for name in RECIPES]
    with (
        tempfile.TemporaryDirectory(prefix="e2e-") as short,
        engines.engines(count, Path(short), source=source, images=names) as started,
    ):
        engines.write_contexts(started, folder)
        yield Several(started, folder, wheel)


@pytest.fixture(scope="module")
def three(
    container_engine: Engine, good_wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Several]:
    """Three engines with the images of the tests."""
    for name in RECIPES:
        images.ensure(container_engine, name)
    with several(container_engine, 3, tmp_path_factory.mktemp("config"), good_wheel) as started:
        yield started


def causes(report: Report) -> set[tuple[str, str]]:
    """Return the name and the place of each cause of the items."""
    return {(cause.name, cause.where) for item in report.items for cause in item.causes}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait at most five minutes for a condition, while the process runs."""
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, f"the gate ended with {process.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_machine(engine: StartedEngine) -> bool:
    """Return True if a clean machine runs on the engine."""
    with engine.client() as client:
        tag = load_recipe("debian-13-user").tag()
        return bool(client.containers.list(filters={"ancestor": tag}, ignore_removed=True))


@pytest.mark.long
def test_engines_share_the_cells_and_no_cell_runs_twice(three: Several, tmp_path: Path) -> None:
    finished = three.gate(tmp_path, "-k", SELECTED)
    assert finished.code == ExitCode.VERIFIED, finished.output
    report = read(tmp_path)
    assert len(report.cells) == len(CELLS)
    assert {cell.outcome for cell in report.cells} == {Outcome.WORKS}
    assert {cell.engine for cell in report.cells} == set(NAMES)
    assert len(list((tmp_path / "evidence").iterdir())) == len(CELLS)
    assert report.engine
    engines_of_report = (report.engine, *report.other_engines)
    assert [engine.name for engine in engines_of_report] == list(NAMES)
    assert not any(engine.is_lost for engine in engines_of_report)
    for proof in (report.egress, *(engine.egress for engine in report.other_engines)):
        assert proof
        assert proof.machines
        assert not proof.not_proved
        assert proof.machines.egress == ()


@pytest.mark.long
def test_cells_of_a_killed_engine_run_on_another_one(
    container_engine: Engine, good_wheel: Path, tmp_path: Path
) -> None:
    report_folder = tmp_path / "report"
    with several(container_engine, 2, tmp_path / "config", good_wheel) as two:
        first, second = two.started
        process = two.start(report_folder, "-k", SELECTED)
        wait_for(lambda: has_machine(second), process)
        second.kill()
        assert process.wait(timeout=300) == ExitCode.VERIFIED
        assert runs_of(first) == set()
    report = read(report_folder)
    assert report.verdict is Verdict.VERIFIED
    assert len(report.cells) == len(CELLS)
    assert {cell.outcome for cell in report.cells} == {Outcome.WORKS}
    assert report.engine
    assert not report.engine.is_lost
    assert [(engine.name, engine.is_lost) for engine in report.other_engines] == [
        (second.name, True)
    ]


def runs_of(engine: StartedEngine) -> set[str]:
    """Return the ids of the runs that have a container or network on the engine."""
    with engine.client() as client:
        return {labels[LABEL_RUN] for labels in labels_of_objects(client)}


def test_other_image_with_the_same_tag_is_refused_by_name(three: Several, tmp_path: Path) -> None:
    other, tag = load_recipe("publisher").tag(), load_recipe("debian-13-user").tag()
    with three.started[1].client() as client:
        right = client.images.get(tag)
        client.images.get(other).tag(tag)
        try:
            finished = three.gate(tmp_path, "-k", SELECTED)
        finally:
            right.tag(tag)
    assert finished.code == ExitCode.TESTBED_FAILED, finished.output
    assert causes(read(tmp_path)) == {("image-differs", "engine engine-2")}
    assert all(runs_of(engine) == set() for engine in three.started)


def test_open_network_of_one_engine_is_named(
    three: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted(engine: Engine, run: Run) -> contextlib.AbstractContextManager[ClosedNetwork]:
        return closed_network(engine, run, internal=engine.name != "engine-3")

    monkeypatch.setattr(testbed, "closed_network", planted)
    for name, value in three.variables.items():
        monkeypatch.setenv(name, value)
    subject = load_subject()
    options = Options(
        wheels=three.wheels, profile="quick", history="none", machines=(MACHINE,), engines=NAMES
    )
    selection = select(options, ROOT, subject.platforms)
    with contextlib.ExitStack() as stack, pytest.raises(TestbedFailure) as raised:
        prepare(selection, subject, stack)
    assert (raised.value.cause, raised.value.where) == ("egress-open", "canary on engine engine-3")
    assert all(runs_of(engine) == set() for engine in three.started)


@pytest.mark.long
def test_next_run_removes_the_objects_of_a_killed_run_on_each_engine(
    three: Several, tmp_path: Path
) -> None:
    process = three.start(tmp_path / "killed", "-k", SELECTED)
    wait_for(lambda: all(map(has_machine, three.started)), process)
    process.kill()
    process.wait()
    assert all(runs_of(engine) for engine in three.started)
    finished = three.gate(tmp_path / "next", "-k", "wheels")
    assert [runs_of(engine) for engine in three.started] == [set()] * 3, finished.output


@pytest.mark.long
def test_two_gates_at_once_use_the_same_engines(three: Several, tmp_path: Path) -> None:
    reports = [tmp_path / "one", tmp_path / "two"]
    processes = [three.start(report, "-k", "uv-venv or pip-venv") for report in reports]
    assert [process.wait(timeout=300) for process in processes] == [ExitCode.VERIFIED] * 2
    for report in map(read, reports):
        assert {cell.outcome for cell in report.cells} == {Outcome.WORKS}
        assert len(report.cells) > 1
    assert all(runs_of(engine) == set() for engine in three.started)
