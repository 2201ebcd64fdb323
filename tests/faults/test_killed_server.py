"""A gate whose index or forge is killed: the testbed failed, and no cause is the package's."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from containers import images
from containers.engine import LABEL_RUN, Engine
from tests.faults.commands import ROOT, check_form, environment
from tests.faults.things import act_when_running, runs_of
from tests.helpers.sample_wheels import linux_wheel
from verification.models.cause import Severity
from verification.models.errors import ExitCode
from verification.models.report import Report

pytestmark = pytest.mark.long


@pytest.fixture
def client(found: Engine) -> Iterator[docker.DockerClient]:
    with contextlib.closing(found.client()) as connected:
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


def started_run(client: docker.DockerClient, process: subprocess.Popen[bytes]) -> str:
    """Return the run of a gate, once it has something on the engine."""
    deadline = time.monotonic() + 600
    while not (runs := runs_of(client, process.pid)):
        assert process.poll() is None, f"the gate ended early with {process.returncode}"
        assert time.monotonic() < deadline, "the gate started nothing"
        time.sleep(0.05)
    return runs[0]


def causes(report: Report) -> dict[str, Severity]:
    """Return the severity of each cause of the items, by its name, without notes."""
    return {cause.name: cause.severity for item in report.items for cause in item.causes}


def kill_when_running(
    client: docker.DockerClient,
    process: subprocess.Popen[bytes],
    image: str,
    program: tuple[str, str],
) -> None:
    """Kill the gate's container of an image when a program runs; wait for the end of the gate.

    ``program`` is an image of the container in which it runs, and a word of its command.
    """
    run = started_run(client, process)
    filters: dict[str, str | list[str] | bool] = {"label": f"{LABEL_RUN}={run}", "ancestor": image}

    def kill(_: Container) -> None:
        for container in client.containers.list(filters=filters):
            container.kill()

    while not act_when_running(client, run, *program, kill, seconds=1):
        assert process.poll() is None, f"the gate ended early with {process.returncode}"
    process.wait(timeout=900)


def test_an_index_killed_during_the_upload(
    found: Engine, client: docker.DockerClient, tmp_path: Path
) -> None:
    folder, report = tmp_path / "wheels", tmp_path / "report"
    folder.mkdir()
    linux_wheel(folder)
    publisher, index = (images.ensure(found, name).tag for name in ("publisher", "index"))
    process = gate(report, f"--wheels={folder}", "--machine=debian-13", "-k", "uv-venv")
    kill_when_running(client, process, index, (publisher, "twine upload"))

    assert process.returncode == ExitCode.TESTBED_FAILED
    assert causes(check_form(report)) == {"index-unreachable": Severity.TESTBED}


def test_a_forge_killed_while_the_release_workflow_runs(
    found: Engine, client: docker.DockerClient, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    runner, forge = (images.ensure(found, name).tag for name in ("runner", "forge"))
    process = gate(report, "-k", "pipeline or publisher or debian-13-uv-venv")
    kill_when_running(client, process, forge, (runner, "conductor.main"))

    assert process.returncode == ExitCode.TESTBED_FAILED
    named = causes(check_form(report))
    assert named["forge-unreachable"] is Severity.TESTBED
    assert Severity.BROKEN not in named.values()
