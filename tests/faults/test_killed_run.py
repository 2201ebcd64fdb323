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

from containers.engine import Engine
from tests.faults.commands import ROOT, check_form, environment, gate, gate_command
from tests.faults.things import left, runs_of
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode
from verification.report import writer as forms


@pytest.fixture
def client(found: Engine) -> Iterator[docker.DockerClient]:
    connected = found.client()
    yield connected
    connected.close()


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
    while len(runs := runs_of(client, process.pid)) < 2:
        assert process.poll() is None, f"the gate ended early with {process.returncode}"
        assert time.monotonic() < deadline, "the gate started nothing"
        time.sleep(0.05)
    return process, set(runs)


def test_a_killed_run_is_swept_by_the_next(client: docker.DockerClient, tmp_path: Path) -> None:
    process, runs = _start(client, tmp_path, gate_command(tmp_path / "report"))
    process.kill()
    process.wait()
    assert left(client, runs), "nothing was left, so nothing can be shown to be swept"

    wheels = f"--wheels={tmp_path / 'wheels'}"
    following = gate(tmp_path / "next", wheels, "-k", "nothing")

    assert left(client, runs) == [], following.output


@pytest.mark.parametrize("launched", [False, True], ids=["pytest", "launcher"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_asked_to_end_leaves_nothing_but_a_report(
    client: docker.DockerClient, tmp_path: Path, launched: bool, number: signal.Signals
) -> None:
    report = tmp_path / "report"
    launcher = [str(ROOT / "e2e"), "gate", f"--report={report}"]
    process, runs = _start(client, tmp_path, launcher if launched else gate_command(report))
    process.send_signal(number)
    process.wait(timeout=90)

    assert process.returncode == ExitCode.UNVERIFIED
    assert left(client, runs) == []
    told = json.loads((report / "results.json").read_text("utf-8"))
    assert told["interrupted"] is True
    assert told["verdict"] == "unverified"
    check_form(report)
    for name in forms.FILES:
        assert "interrupted" in (report / name).read_text("utf-8"), name


def _lines(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text("utf-8", "replace")


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("point", ["workers", "report"])
def test_a_run_interrupted_between_its_parts_leaves_the_whole_report(
    tmp_path: Path, point: str
) -> None:
    folder, report, log = tmp_path / "wheels", tmp_path / "report", tmp_path / "log"
    folder.mkdir()
    linux_wheel(folder)
    options = ["-n1"] if point == "workers" else ["-k", "nothing"]
    command = gate_command(report, f"--wheels={folder}", "--machine=debian-13", *options)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 300
    # The workers start when all is set up; pytest itself tells nobody of an interrupt then.
    while not (
        _lines(log, "publishing the release: done")
        if point == "workers"
        else _lines(report / "results.json", '"finished": true')
    ):
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < deadline, "the gate did not come to that point"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=90)

    check_form(report)
    assert [name for name in forms.FILES if not (report / name).exists()] == []
    told = json.loads((report / "results.json").read_text("utf-8"))
    assert told["interrupted"] is (point == "workers")
    if point == "workers":
        assert process.returncode == ExitCode.UNVERIFIED
        assert told["cells"]
        assert all("interrupted before it" in cell["reason"] for cell in told["cells"])
