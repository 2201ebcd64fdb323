"""The next run removes the objects of a killed run. An interrupted run leaves only its report."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from containers.engine import Engine
from tests.faults.commands import (
    ROOT,
    child_processes,
    environment,
    gate,
    gate_command,
    read_report,
)
from tests.faults.engine_objects import remaining_objects, runs_of_process
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode
from verification.models.verdict import Verdict
from verification.report import writer

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WORKER = "exec(eval(sys.stdin.readline()))"
"""The command of a worker of pytest-xdist (execnet)."""


@pytest.fixture
def client(container_engine: Engine) -> Iterator[docker.DockerClient]:
    connected = container_engine.client()
    yield connected
    connected.close()


def _start(
    client: docker.DockerClient, tmp_path: Path, command: list[str]
) -> tuple[subprocess.Popen[bytes], set[str]]:
    """Start a gate, and wait until two containers or networks of its process exist. Return the
    process, and the ids of its runs."""
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
    while len(runs := runs_of_process(client, process.pid)) < 2:
        assert process.poll() is None, f"the gate ended with {process.returncode}"
        assert time.monotonic() < deadline, "the gate started nothing"
        time.sleep(0.05)
    return process, set(runs)


def test_next_run_removes_the_objects_of_a_killed_run(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    process, runs = _start(client, tmp_path, gate_command(tmp_path / "report"))
    process.kill()
    process.wait()
    assert remaining_objects(client, runs), "the killed run had no objects"

    wheels = f"--wheels={tmp_path / 'wheels'}"
    next_run = gate(tmp_path / "next", wheels, "-k", "wheels")

    assert remaining_objects(client, runs) == [], next_run.output


# test_exit_codes.py has fast tests for the other two signals to the launcher.
@pytest.mark.parametrize(
    ("launched", "number"),
    [
        *(pytest.param(False, number, id=f"pytest-{number.name}") for number in SIGNALS),
        pytest.param(True, signal.SIGTERM, id="launcher-SIGTERM"),
        *(
            pytest.param(True, number, id=f"launcher-{number.name}", marks=pytest.mark.long)
            for number in SIGNALS[1:]
        ),
    ],
)
def test_interrupted_run_leaves_only_its_report(
    client: docker.DockerClient, tmp_path: Path, launched: bool, number: signal.Signals
) -> None:
    report = tmp_path / "report"
    launcher = [str(ROOT / "e2e"), "gate", f"--report={report}"]
    process, runs = _start(client, tmp_path, launcher if launched else gate_command(report))
    process.send_signal(number)
    process.wait(timeout=90)

    assert process.returncode == ExitCode.UNVERIFIED
    assert remaining_objects(client, runs) == []
    results = read_report(report)
    assert (results.verdict, results.interrupted) == (Verdict.UNVERIFIED, True)
    assert missing_files(report) == []


def missing_files(report: Path) -> list[str]:
    """Return the names of the files that a report lacks."""
    return [name for name in writer.FILES if not (report / name).exists()]


def contains(path: Path, text: str) -> bool:
    """Return True if the file exists and contains the text."""
    return path.exists() and text in path.read_text("utf-8", "replace")


@pytest.mark.usefixtures("container_engine")
@pytest.mark.parametrize("phase", ["workers", "report"])
def test_run_that_is_interrupted_between_its_phases_has_a_complete_report(
    tmp_path: Path, phase: str
) -> None:
    folder, report, log = tmp_path / "wheels", tmp_path / "report", tmp_path / "log"
    folder.mkdir()
    linux_wheel(folder)
    options = ["-n1"] if phase == "workers" else ["-k", "wheels"]
    command = gate_command(report, f"--wheels={folder}", "--machine=debian-13", *options)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 300
    # The workers start after the set-up. pytest does not report an interrupt at that time.
    while not (
        any(WORKER in command for command in child_processes(process.pid).values())
        if phase == "workers"
        else contains(report / "results.json", '"finished": true')
    ):
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < deadline, "the gate did not reach the phase"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=90)

    results = read_report(report)
    assert missing_files(report) == []
    assert results.interrupted is (phase == "workers")
    if phase == "workers":
        assert process.returncode == ExitCode.UNVERIFIED
        assert results.cells
        assert {cell.verdict for cell in results.cells} == {Verdict.UNVERIFIED}
