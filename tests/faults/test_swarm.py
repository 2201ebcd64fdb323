"""A swarm runs the shards of a gate. A shard without a report is named and never verified."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from containers import images, swarm
from containers.engine import Engine
from containers.recipe import RECIPES
from containers.state import state_folder
from containers.swarm import Job, Outcome
from tests.helpers.engines import StartedEngine, engines
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.verdict import Verdict
from verification.report import results_json

ROOT = Path(__file__).parents[2]
TAG = "quiverdb-e2e/small-shard:latest"
# The program of a task with a small gate. Its options are what each shard does.
SMALL_GATE = """
import pathlib, sys, time
report, shard, *actions = sys.argv[1:]
number, total = map(int, shard.partition("=")[2].split("/"))
report = pathlib.Path(report.partition("=")[2])
print("shard", number, "starts", file=sys.stderr, flush=True)
match actions[number - 1]:
    case "wait":
        time.sleep(600)
    case "refuse":
        sys.exit(4)
report.mkdir()
(report / "results.json").write_text(f"{number}/{total}")
sys.exit(1)
"""
START = "import run_shard, sys; run_shard.GATE = ('/opt/gate.py',); run_shard.main(sys.argv[1:])"
MACHINES = ("debian-13", "debian-13-minimal")
"""The machines of a small gate, which has three cells."""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start engines; use sudo")


class Swarm(NamedTuple):
    """A swarm of several engines. The first one is the manager."""

    nodes: tuple[StartedEngine, ...]
    image: str

    def run(self, reports: Path, *actions: str, **options: tuple[str, ...]) -> list[Outcome]:
        """Run a job of small gates."""
        job = Job.model_validate(
            {"shards": len(actions), "gate_options": actions, "state": "/run", **options}
        )
        return swarm.run(self.nodes[0].connect(), job, self.image, reports)


def form(nodes: tuple[StartedEngine, ...]) -> None:
    """Make a swarm of engines."""

    def docker(node: StartedEngine, *words: str) -> str:
        command = ("docker", f"--host={node.url}", "swarm", *words)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    manager, *workers = nodes
    docker(manager, "init", f"--advertise-addr={manager.address}")
    token = docker(manager, "join-token", "--quiet", "worker")
    for worker in workers:
        address = f"--advertise-addr={worker.address}"
        docker(worker, "join", f"--token={token}", address, f"{manager.address}:2377")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new folder with a short path."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture(scope="module")
def small_image(
    container_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the tag of an image for tasks with a small gate."""
    context = tmp_path_factory.mktemp("context")
    shutil.copy(RECIPES / "shard" / "run_shard.py", context)
    (context / "gate.py").write_text(SMALL_GATE, "utf-8")
    base = images.ensure(container_engine, "publisher").tag
    lines = (f"FROM {base}", "COPY . /opt/", "USER root", "WORKDIR /opt")
    entrypoint = f'ENTRYPOINT ["python3", "-c", "{START}"]'
    (context / "Dockerfile").write_text("\n".join((*lines, entrypoint)), "utf-8")
    with contextlib.closing(container_engine.client()) as client:
        client.images.build(path=str(context), tag=TAG, network_mode="none", rm=True)
        yield TAG
        client.images.remove(TAG)


@contextlib.contextmanager
def running_swarm(source: Engine, image: str, folder: Path) -> Iterator[Swarm]:
    """Run a swarm of three engines that have the image for small gates."""
    with engines(3, folder, source=source, images=[image]) as nodes:
        form(nodes)
        with nodes[0].client() as client:
            identity = str(client.images.get(image).id)
        yield Swarm(nodes, identity)


@pytest.fixture(scope="module")
def small_swarm(
    container_engine: Engine, small_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Swarm]:
    """Return a swarm whose nodes are not killed."""
    with running_swarm(container_engine, small_image, tmp_path_factory.mktemp("s")) as started:
        yield started


def services(node: StartedEngine) -> int:
    """Return the number of services of the swarm of a manager."""
    with node.client() as client:
        return len(client.services.list())


def when(condition: Callable[[], bool], action: Callable[[], None]) -> threading.Thread:
    """Start a thread that acts when a condition is true."""

    def wait() -> None:
        deadline = time.monotonic() + 300
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.2)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def runs_task(node: StartedEngine, text: bytes) -> bool:
    """Return True if a task on a node has written a text."""
    with node.client() as client:
        return any(text in container.logs() for container in client.containers.list())


def test_each_shard_without_a_report_is_named(small_swarm: Swarm, tmp_path: Path) -> None:
    outcomes = small_swarm.run(tmp_path, "report", "refuse", "report")
    assert [outcome.folder is not None for outcome in outcomes] == [True, False, True]
    assert outcomes[1].is_wrong_use
    for outcome in (outcomes[0], outcomes[2]):
        assert outcome.folder
        text = (outcome.folder / "results.json").read_text("utf-8")
        assert text == f"{outcome.number}/3"
    assert services(small_swarm.nodes[0]) == 0

    # More shards than nodes: the others wait for a node.
    reports = tmp_path / "four"
    outcomes = small_swarm.run(reports, *["report"] * 4)
    assert len({outcome.folder for outcome in outcomes if outcome.folder}) == 4


def test_job_that_cannot_start_is_named(
    small_swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swarm, "_PENDING_SECONDS", 3.0)
    (outcome,) = small_swarm.run(tmp_path, "report", constraints=("node.labels.none==1",))
    assert outcome.folder is None
    assert "pending" in outcome.reason
    missing = small_swarm._replace(image="sha256:" + "0" * 64)
    (outcome,) = missing.run(tmp_path, "report")
    assert outcome.folder is None
    assert "rejected" in outcome.reason
    manager, worker, _ = small_swarm.nodes
    swarm.check_manager(manager.connect())
    with pytest.raises(WrongUse):
        swarm.check_manager(worker.connect())


@pytest.mark.long
def test_killed_node_is_named(
    container_engine: Engine, small_image: str, folder: Path, tmp_path: Path
) -> None:
    with running_swarm(container_engine, small_image, folder) as small_swarm:
        manager, _, node = small_swarm.nodes
        command = ("docker", f"--host={manager.url}", "node", "update", "--label-add=killed=1")
        subprocess.run((*command, node.name), check=True, capture_output=True)
        thread = when(lambda: runs_task(node, b"starts"), node.kill)
        (outcome,) = small_swarm.run(tmp_path, "wait", constraints=("node.labels.killed==1",))
        thread.join()
        assert outcome.folder is None
        assert node.name in outcome.reason
        assert "down" in outcome.reason
        assert services(manager) == 0

        thread = when(lambda: services(manager) == 1, manager.kill)
        with pytest.raises(TestbedFailure) as raised:
            small_swarm.run(tmp_path, "wait")
        thread.join()
        assert raised.value.cause == "engine-unreachable"


@pytest.mark.long  # two gates on three engines
def test_swarm_runs_a_gate(
    container_engine: Engine, good_wheel: Path, folder: Path, tmp_path: Path
) -> None:
    names = ("publisher", "index", *MACHINES, swarm.RECIPE)
    tags = [images.ensure(container_engine, name).tag for name in names]
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    shutil.copy(good_wheel, wheels)
    gate = ["-n1", "--profile=gate", f"--wheels={wheels}"]
    gate += [f"--machine={machine}" for machine in MACHINES]

    def run(manager: StartedEngine, reports: Path) -> subprocess.CompletedProcess[str]:
        # The engines reach no package index. Their tasks use the downloads of this host.
        options = (f"--share={wheels}", f"--state={state_folder()}", f"--reports={reports}")
        return subprocess.run(
            [sys.executable, "-m", "containers.swarm", "--shards=3", *options, "--", *gate],
            cwd=ROOT,
            env={**os.environ, "DOCKER_HOST": manager.url},
            capture_output=True,
            text=True,
            check=False,
        )

    with engines(3, folder, source=container_engine, images=tags) as nodes:
        form(nodes)
        verified = run(nodes[0], tmp_path / "verified")
        assert verified.returncode == ExitCode.VERIFIED, verified.stderr
        report = results_json.read(tmp_path / "verified" / "merged" / results_json.NAME)
        assert report.verdict is Verdict.VERIFIED
        assert len(report.cells) == 3
        for node in nodes:
            with node.client() as client:
                assert client.containers.list(filters={"label": "quiverdb-e2e.run"}) == []

        def runs_cell() -> bool:
            with nodes[2].client() as client:
                return bool(client.containers.list(filters={"label": "quiverdb-e2e.run"}))

        thread = when(runs_cell, nodes[2].kill)
        killed = run(nodes[0], tmp_path / "killed")
        thread.join()
        assert killed.returncode == ExitCode.TESTBED_FAILED
        assert nodes[2].name in killed.stderr
        reports = tmp_path / "killed"
        assert not (reports / "merged").exists()
        assert len(list(reports.iterdir())) == 2
