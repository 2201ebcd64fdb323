"""A killed index or forge, or a broken connection to the engine, is a testbed failure."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
from docker.models.containers import Container
from testcontainers.core.docker_client import DockerClient

from containers import images
from containers.commands import CommandResult
from containers.engine import LABEL_RUN, Engine, Run
from containers.engine_client import count_retries
from containers.index import Index, IndexContents
from containers.machine import Machine
from containers.network import closed_network
from tests.faults.commands import ROOT, environment, read_report
from tests.faults.engine_objects import call_when_running, runs_of_process
from tests.helpers.engine_proxy import Drop, EngineProxy
from tests.helpers.sample_wheels import linux_wheel
from verification.models.cause import Severity
from verification.models.errors import ExitCode, TestbedFailure
from verification.models.report import Report
from verification.models.testbed import IndexHosts
from verification.scenarios import machines

pytestmark = pytest.mark.long


@pytest.fixture
def client(container_engine: Engine) -> Iterator[docker.DockerClient]:
    with contextlib.closing(container_engine.client()) as connected:
        yield connected


def gate(report: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a gate as a user does."""
    return subprocess.Popen(
        [str(ROOT / "e2e"), "gate", f"--report={report}", *options],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def run_of_process(client: docker.DockerClient, process: subprocess.Popen[bytes]) -> str:
    """Wait until a gate has objects on the engine, and return the id of its run."""
    deadline = time.monotonic() + 600
    while not (runs := runs_of_process(client, process.pid)):
        assert process.poll() is None, f"the gate ended with {process.returncode}"
        assert time.monotonic() < deadline, "the gate has no objects on the engine"
        time.sleep(0.05)
    return runs[0]


def severities(report: Report) -> dict[str, Severity]:
    """Return the severity of each cause of the items, by the name of the cause."""
    return {cause.name: cause.severity for item in report.items for cause in item.causes}


def kill_when_running(
    client: docker.DockerClient,
    process: subprocess.Popen[bytes],
    image: str,
    program: tuple[str, str],
) -> None:
    """Kill a container of the gate while a program runs, and wait until the gate ends.

    ``image`` is that of the killed container. ``program`` is the image of the container in which
    the program runs, and a part of its command line.
    """
    run = run_of_process(client, process)
    filters: dict[str, str | list[str] | bool] = {"label": f"{LABEL_RUN}={run}", "ancestor": image}

    def kill(_: Container) -> None:
        for container in client.containers.list(filters=filters):
            container.kill()

    while not call_when_running(client, run, *program, kill, seconds=1):
        assert process.poll() is None, f"the gate ended with {process.returncode}"
    process.wait(timeout=900)


def test_index_that_is_killed_during_the_upload_is_a_testbed_failure(
    container_engine: Engine, client: docker.DockerClient, tmp_path: Path
) -> None:
    folder, report = tmp_path / "wheels", tmp_path / "report"
    folder.mkdir()
    linux_wheel(folder)
    publisher, index = (
        images.ensure(container_engine, name).tag for name in ("publisher", "index")
    )
    process = gate(report, f"--wheels={folder}", "--machine=debian-13", "-k", "uv-venv")
    kill_when_running(client, process, index, (publisher, "twine upload"))

    assert process.returncode == ExitCode.TESTBED_FAILED
    assert severities(read_report(report)) == {"index-unreachable": Severity.TESTBED}


def test_forge_that_is_killed_during_the_workflow_is_a_testbed_failure(
    container_engine: Engine, client: docker.DockerClient, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    runner, forge = (images.ensure(container_engine, name).tag for name in ("runner", "forge"))
    process = gate(report, "-k", "pipeline or publisher or debian-13-uv-venv")
    kill_when_running(client, process, forge, (runner, "conductor.main"))

    assert process.returncode == ExitCode.TESTBED_FAILED
    causes = severities(read_report(report))
    assert causes["forge-unreachable"] is Severity.TESTBED
    assert Severity.BROKEN not in causes.values()


def test_index_that_ends_before_it_is_ready_is_a_testbed_failure(
    container_engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images.ensure(container_engine, "index")
    hosts = IndexHosts(index="index.invalid", files="files.invalid", upload="upload.invalid")

    def start(_: DockerClient, container: Container) -> None:
        container.start()
        container.kill()

    monkeypatch.setattr(DockerClient, "start", start)
    with (
        closed_network(container_engine, run) as network,
        pytest.raises(TestbedFailure) as raised,
        Index(image, network, hosts, IndexContents(project="x")),
    ):
        pass
    assert (raised.value.cause, raised.value.where) == ("index-unreachable", "index")


def test_machine_survives_broken_connections_to_the_engine(
    container_engine: Engine, run: Run
) -> None:
    socket = Path(container_engine.url.removeprefix("unix://"))
    if not socket.is_socket():
        pytest.skip("the engine has no Unix socket: run the test with a local engine")
    image = images.ensure(container_engine, "debian-13")
    with (
        EngineProxy(socket, drop=[Drop("GET|PUT|DELETE", probability=0.3)], seed=1) as proxy,
        count_retries() as retries,
    ):
        engine = container_engine.model_copy(update={"url": proxy.docker_host})
        with closed_network(engine, run) as network:
            spec = machines.load()["debian-13"]
            with Machine(spec, image, network.handle()) as machine:
                machine.put({"file": b"content"})
                assert machine.get(spec.layout.path("file")) == b"content"
                assert machine.run(["sh", "-c", "echo out; exit 3"]) == CommandResult(3, "out\n")
                number = machine.id
    assert retries.value == len(proxy.dropped) > 0
    with (
        contextlib.closing(container_engine.client()) as client,
        pytest.raises(docker.errors.NotFound),
    ):
        client.containers.get(number)


def test_broken_connection_of_a_running_command_is_a_testbed_failure(
    container_engine: Engine, run: Run
) -> None:
    socket = Path(container_engine.url.removeprefix("unix://"))
    image = images.ensure(container_engine, "debian-13")
    with EngineProxy(socket) as proxy:
        engine = container_engine.model_copy(update={"url": proxy.docker_host})
        with (
            closed_network(engine, run) as network,
            Machine(machines.load()["debian-13"], image, network.handle()) as machine,
        ):
            machine.wait()
            proxy.rules = [Drop("POST", "/exec/.*/start", moment="body", times=1)]
            with pytest.raises(TestbedFailure) as raised:
                machine.run(["sh", "-c", "echo out; sleep 60"])
    assert raised.value.cause == "machine-lost"
