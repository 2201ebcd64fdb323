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
        [str(ROOT / "e2e"), "gate", f"--report={report}", "--machine=debian-13", *options],
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


def kill(client: docker.DockerClient, run: str, image: str) -> None:
    """Kill the containers of a run that are made of an image."""
    own: dict[str, str | list[str] | bool] = {"label": f"{LABEL_RUN}={run}", "ancestor": image}
    for container in client.containers.list(filters=own):
        container.kill()


def test_an_index_killed_during_the_upload(
    found: Engine, client: docker.DockerClient, tmp_path: Path
) -> None:
    folder, report = tmp_path / "wheels", tmp_path / "report"
    folder.mkdir()
    linux_wheel(folder)
    publisher, index = (images.ensure(found, name).tag for name in ("publisher", "index"))
    process = gate(report, f"--wheels={folder}", "-k", "uv-venv")
    run = started_run(client, process)

    def kill_index(_: Container) -> None:
        kill(client, run, index)

    assert act_when_running(client, run, publisher, "twine upload", kill_index, seconds=300)
    process.wait(timeout=600)

    assert process.returncode == ExitCode.TESTBED_FAILED
    assert causes(check_form(report)) == {"index-unreachable": Severity.TESTBED}


def test_a_forge_killed_while_the_release_workflow_runs(
    found: Engine, client: docker.DockerClient, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    runner, forge = (images.ensure(found, name).tag for name in ("runner", "forge"))
    process = gate(report, "-k", "uv-venv or pipeline or publisher")
    run = started_run(client, process)

    def kill_forge(_: Container) -> None:
        kill(client, run, forge)

    assert act_when_running(client, run, runner, "conductor.main", kill_forge, seconds=600)
    process.wait(timeout=900)

    assert process.returncode == ExitCode.TESTBED_FAILED
    named = causes(check_form(report))
    assert named["forge-unreachable"] is Severity.TESTBED
    assert Severity.BROKEN not in named.values()
