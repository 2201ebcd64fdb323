"""A run killed with SIGKILL is swept by the next run; one that is asked to end leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from containers.engine import LABEL_RUN, Engine
from tests.faults.commands import ROOT, environment, gate_command
from tests.support.samples import linux_wheel


@pytest.fixture
def client(found: Engine) -> Iterator[docker.DockerClient]:
    connected = found.client()
    yield connected
    connected.close()


def _labelled(client: docker.DockerClient, pid: int) -> list[str]:
    """Return the containers and networks whose owner is the process ``pid``."""
    things = [
        *client.containers.list(all=True, filters={"label": LABEL_RUN}, ignore_removed=True),
        *client.networks.list(filters={"label": LABEL_RUN}),
    ]
    labels = [thing.attrs.get("Labels") or thing.attrs["Config"]["Labels"] for thing in things]
    return [told[LABEL_RUN] for told in labels if f":{pid}:" in told["quiverdb-e2e.owner"]]


def _started(client: docker.DockerClient, tmp_path: Path) -> subprocess.Popen[bytes]:
    """Start a gate and wait until it has something on the engine."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    linux_wheel(folder)
    process = subprocess.Popen(
        gate_command(tmp_path / "report", "--wheels", str(folder), "--machine=debian-13"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while len(_labelled(client, process.pid)) < 2:
        assert process.poll() is None, f"the gate ended early with {process.returncode}"
        assert time.monotonic() < deadline, "the gate started nothing"
        time.sleep(0.05)
    return process


def test_a_killed_run_is_swept_by_the_next(client: docker.DockerClient, tmp_path: Path) -> None:
    process = _started(client, tmp_path)
    process.kill()
    process.wait()
    assert _labelled(client, process.pid), "nothing was left, so nothing can be shown to be swept"

    following = subprocess.run(
        gate_command(tmp_path / "next", "--wheels", str(tmp_path / "wheels"), "-k", "nothing"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        check=False,
    )

    assert _labelled(client, process.pid) == [], following.stderr.decode()


def test_a_run_asked_to_end_leaves_nothing(client: docker.DockerClient, tmp_path: Path) -> None:
    process = _started(client, tmp_path)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)

    assert process.returncode != 0
    assert _labelled(client, process.pid) == []
