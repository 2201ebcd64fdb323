"""A run killed with SIGKILL is swept by the next run; one that is asked to end leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from containers.engine import LABEL_OWNER, LABEL_RUN, Engine
from containers.errors import ExitCode
from tests.faults.commands import ROOT, check_form, environment, gate, gate_command
from tests.support.report import forms
from tests.support.samples import linux_wheel


@pytest.fixture
def client(found: Engine) -> Iterator[docker.DockerClient]:
    connected = found.client()
    yield connected
    connected.close()


def _things(client: docker.DockerClient) -> list[dict[str, str]]:
    """Return the labels of every container and network of any run."""
    found = [
        *client.containers.list(all=True, filters={"label": LABEL_RUN}, ignore_removed=True),
        *client.networks.list(filters={"label": LABEL_RUN}),
    ]
    return [thing.attrs.get("Labels") or thing.attrs["Config"]["Labels"] for thing in found]


def _parents(pid: int) -> set[int]:
    """Return ``pid`` and the processes it comes from (proc(5), field 4 of stat)."""
    found: set[int] = set()
    while pid > 1:
        found.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
        except FileNotFoundError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def _runs_of(client: docker.DockerClient, pid: int) -> list[str]:
    """Return the run of each thing that ``pid``, or a process it started, has on the engine."""
    owners = [(told[LABEL_RUN], int(told[LABEL_OWNER].split(":")[2])) for told in _things(client)]
    return [run for run, owner in owners if pid in _parents(owner)]


def _left(client: docker.DockerClient, runs: set[str]) -> list[str]:
    return [told[LABEL_RUN] for told in _things(client) if told[LABEL_RUN] in runs]


def _start(
    client: docker.DockerClient, tmp_path: Path, command: list[str]
) -> tuple[subprocess.Popen[bytes], set[str]]:
    """Start a gate; return it and its runs as soon as it has something on the engine."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    linux_wheel(folder)
    process = subprocess.Popen(
        [*command, f"--wheels={folder}", "--machine=debian-13"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while len(runs := _runs_of(client, process.pid)) < 2:
        assert process.poll() is None, f"the gate ended early with {process.returncode}"
        assert time.monotonic() < deadline, "the gate started nothing"
        time.sleep(0.05)
    return process, set(runs)


def test_a_killed_run_is_swept_by_the_next(client: docker.DockerClient, tmp_path: Path) -> None:
    process, runs = _start(client, tmp_path, gate_command(tmp_path / "report"))
    process.kill()
    process.wait()
    assert _left(client, runs), "nothing was left, so nothing can be shown to be swept"

    wheels = f"--wheels={tmp_path / 'wheels'}"
    following = gate(tmp_path / "next", wheels, "-k", "nothing")

    assert _left(client, runs) == [], following.output


@pytest.mark.parametrize("launched", [False, True], ids=["pytest", "launcher"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_asked_to_end_leaves_nothing_but_a_report(
    client: docker.DockerClient, tmp_path: Path, launched: bool, number: signal.Signals
) -> None:
    report = tmp_path / "report"
    launcher = [str(ROOT / "e2e"), "gate", f"--report={report}"]
    process, runs = _start(client, tmp_path, launcher if launched else gate_command(report))
    process.send_signal(number)
    process.wait(timeout=90)

    assert process.returncode == ExitCode.UNVERIFIED
    assert _left(client, runs) == []
    told = json.loads((report / "results.json").read_text("utf-8"))
    assert told["interrupted"] is True
    assert told["verdict"] == "unverified"
    check_form(report)
    for name in forms.FILES:
        assert "interrupted" in (report / name).read_text("utf-8"), name
