"""The faults of the chaos command, and the gate that they disturb."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import docker
import docker.errors
from docker.models.containers import Container

from containers.engine import LABEL_OWNER, LABEL_RUN
from tests.helpers.engine_proxy import EngineProxy

MARKER = "QUIVERDB_E2E_CHAOS"
"""The variable that marks the processes of a run."""
_WORKER = "exec(eval(sys.stdin.readline()))"
"""The command of a worker of pytest-xdist (execnet)."""
_COMMAND = "verification.commands"
_MAX_PAUSE_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class DisturbedGate:
    """A running gate, with what a fault needs to disturb it."""

    launcher: int
    """The process id of ``./e2e``."""
    marker: str
    client: docker.DockerClient
    """A client of the engine that no fault disturbs."""
    rng: random.Random
    proxy: EngineProxy | None = None

    def processes(self) -> dict[int, str]:
        """Return the command lines of the running processes of the run, by process id."""
        return processes_of(self.marker)

    def controller(self) -> Iterator[int]:
        """Yield the process id of the controller, if it runs."""
        for pid, command in self.processes().items():
            if _COMMAND in command and _WORKER not in command:
                yield pid

    def workers(self) -> Iterator[int]:
        """Yield the process ids of the workers."""
        for pid, command in self.processes().items():
            if _WORKER in command:
                yield pid

    def containers(self, image: str) -> Iterator[Container]:
        """Yield the running containers of the run from this image of the project."""
        pids = set(self.processes())
        listed = self.client.containers.list(filters={"label": LABEL_RUN}, ignore_removed=True)
        for container in listed:
            owner = container.labels.get(LABEL_OWNER, "").split(":")
            tag = str(container.attrs["Config"]["Image"])
            if (
                len(owner) == 4
                and int(owner[2]) in pids
                and tag.startswith(f"quiverdb-e2e/{image}:")
            ):
                yield container


def processes_of(marker: str) -> dict[int, str]:
    """Return the command lines of the processes with this mark that have not ended."""
    processes = {}
    entry = f"{MARKER}={marker}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                processes[int(folder.name)] = command.decode("utf-8", "replace")
    return processes


Disturbance = Callable[[DisturbedGate], bool]
"""Disturbs a run. It returns False if its target does not exist (yet)."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way to disturb a run."""

    name: str
    disturb: Disturbance | None = None
    """What happens at the moment of the fault; None if it begins with the run."""
    ends_launcher: bool = False
    """True if the fault kills ``./e2e``, so that the run has no exit code."""
    in_workflow: bool = False
    """True if the run verifies a release workflow instead of a wheel."""
    full_disk: str = ""
    """The folder on a small disk: `report` or `temporary`."""
    delay: float = 0.0
    """The longest random delay of a request to the engine, in seconds."""
    dropped: float = 0.0
    """The share of the requests to the engine whose connection is dropped."""

    @property
    def needs_proxy(self) -> bool:
        """True if the run must use the proxy."""
        return bool(self.delay or self.dropped or self.name == "engine disconnected")


def _send(*numbers: signal.Signals, to: Callable[[DisturbedGate], Iterator[int]]) -> Disturbance:
    def disturb(gate: DisturbedGate) -> bool:
        pids = list(to(gate))
        if not pids:
            return False
        pid = gate.rng.choice(pids)
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            time.sleep(0.1)
        return True

    return disturb


def _stop(to: Callable[[DisturbedGate], Iterator[int]]) -> Disturbance:
    """Stop a process, and let it continue after some seconds."""

    def disturb(gate: DisturbedGate) -> bool:
        pids = list(to(gate))
        if not pids:
            return False
        pid = gate.rng.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(gate.rng.uniform(1, _MAX_PAUSE_SECONDS))
            os.kill(pid, signal.SIGCONT)
        return True

    return disturb


def _launcher(gate: DisturbedGate) -> Iterator[int]:
    yield gate.launcher


def _on(image: str, change: Callable[[DisturbedGate, Container], None]) -> Disturbance:
    def disturb(gate: DisturbedGate) -> bool:
        try:
            containers = list(gate.containers(image))
            if not containers:
                return False
            change(gate, gate.rng.choice(containers))
        except docker.errors.APIError:  # it has ended
            return False
        return True

    return disturb


def _kill(_gate: DisturbedGate, container: Container) -> None:
    container.kill()


def _pause(gate: DisturbedGate, container: Container) -> None:
    container.pause()
    time.sleep(gate.rng.uniform(1, _MAX_PAUSE_SECONDS))
    container.unpause()


def _disconnect(gate: DisturbedGate, container: Container) -> None:
    for name in container.attrs["NetworkSettings"]["Networks"]:
        gate.client.networks.get(name).disconnect(container, force=True)


def _stop_proxy(gate: DisturbedGate) -> bool:
    if gate.proxy is None:
        return False
    gate.proxy.stop()
    return True


INDEX, MACHINE, UPLOAD_MACHINE, RUNNER = "index", "debian-13-user", "publisher", "runner"
"""The images of the containers in which faults happen."""
FAULTS = (
    Fault("launcher killed", _send(signal.SIGKILL, to=_launcher), ends_launcher=True),
    Fault("launcher interrupted", _send(signal.SIGINT, to=_launcher)),
    Fault("launcher terminated", _send(signal.SIGTERM, to=_launcher)),
    Fault("launcher hung up", _send(signal.SIGHUP, to=_launcher)),
    Fault("controller killed", _send(signal.SIGKILL, to=DisturbedGate.controller)),
    Fault(
        "controller interrupted twice",
        _send(signal.SIGINT, signal.SIGINT, to=DisturbedGate.controller),
    ),
    Fault("controller hung up", _send(signal.SIGHUP, to=DisturbedGate.controller)),
    Fault("controller stopped", _stop(DisturbedGate.controller)),
    Fault("worker killed", _send(signal.SIGKILL, to=DisturbedGate.workers)),
    Fault("worker stopped", _stop(DisturbedGate.workers)),
    Fault("index killed", _on(INDEX, _kill)),
    Fault("index paused", _on(INDEX, _pause)),
    Fault("index disconnected", _on(INDEX, _disconnect)),
    Fault("machine killed", _on(MACHINE, _kill)),
    Fault("machine paused", _on(MACHINE, _pause)),
    Fault("machine disconnected", _on(MACHINE, _disconnect)),
    Fault("upload machine killed", _on(UPLOAD_MACHINE, _kill)),
    Fault("runner killed", _on(RUNNER, _kill), in_workflow=True),
    Fault("runner paused", _on(RUNNER, _pause), in_workflow=True),
    Fault("report's disk full", full_disk="report"),
    Fault("temporary disk full", full_disk="temporary"),
    Fault("slow engine", delay=0.5),
    Fault("dropping engine", delay=0.1, dropped=0.03),
    Fault("engine disconnected", _stop_proxy),
)


def by_name() -> Mapping[str, Fault]:
    """Return all faults by name."""
    return {fault.name: fault for fault in FAULTS}
