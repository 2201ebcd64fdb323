"""What runs have on the engine, and whose it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors
from docker.models.containers import Container

from containers.engine import LABEL_OWNER, LABEL_RUN


def things(client: docker.DockerClient) -> list[dict[str, str]]:
    """Return the labels of every container and network of any run."""
    found = [
        *client.containers.list(all=True, filters={"label": LABEL_RUN}, ignore_removed=True),
        *client.networks.list(filters={"label": LABEL_RUN}),
    ]
    return [thing.attrs.get("Labels") or thing.attrs["Config"]["Labels"] for thing in found]


def act_when_running(
    client: docker.DockerClient,
    run: str,
    image: str,
    word: str,
    act: Callable[[Container], None],
    *,
    seconds: float = 60,
) -> bool:
    """Do ``act`` to the run's machine of this image once a program with this word runs there.

    Return whether that came within ``seconds``.
    """
    mine: dict[str, str | list[str] | bool] = {"label": f"{LABEL_RUN}={run}", "ancestor": image}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for container in client.containers.list(filters=mine, ignore_removed=True):
            with contextlib.suppress(docker.errors.APIError):  # it does not run yet
                if word in str(container.top(ps_args="-eww -o pid,args")["Processes"]):
                    act(container)
                    return True
        time.sleep(0.02)
    return False


def parents(pid: int) -> set[int]:
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


def runs_of(client: docker.DockerClient, pid: int) -> list[str]:
    """Return the run of each thing that ``pid``, or a process it started, has on the engine."""
    owners = [(told[LABEL_RUN], int(told[LABEL_OWNER].split(":")[2])) for told in things(client)]
    return [run for run, owner in owners if pid in parents(owner)]


def left(client: docker.DockerClient, runs: set[str]) -> list[str]:
    """Return the run of each thing of ``runs`` that is still there."""
    return [told[LABEL_RUN] for told in things(client) if told[LABEL_RUN] in runs]
