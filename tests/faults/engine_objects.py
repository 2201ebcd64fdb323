"""The containers and networks that runs have on the engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors
from docker.models.containers import Container

from containers.engine import LABEL_OWNER, LABEL_RUN


def labels_of_objects(client: docker.DockerClient) -> list[dict[str, str]]:
    """Return the labels of every container and network of any run."""
    objects = [
        *client.containers.list(all=True, filters={"label": LABEL_RUN}, ignore_removed=True),
        *client.networks.list(filters={"label": LABEL_RUN}),
    ]
    return [item.attrs.get("Labels") or item.attrs["Config"]["Labels"] for item in objects]


def call_when_running(
    client: docker.DockerClient,
    run: str,
    image: str,
    word: str,
    call: Callable[[Container], None],
    *,
    seconds: float = 60,
) -> bool:
    """Wait until a program runs in a container, and then call a function with the container.

    ``run`` and ``image`` select the container. ``word`` is part of the program's command line.
    Return False if no such program started within ``seconds``.
    """
    filters: dict[str, str | list[str] | bool] = {"label": f"{LABEL_RUN}={run}", "ancestor": image}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for container in client.containers.list(filters=filters, ignore_removed=True):
            with contextlib.suppress(docker.errors.APIError):  # it does not run yet
                if word in str(container.top(ps_args="-eww -o pid,args")["Processes"]):
                    call(container)
                    return True
        time.sleep(0.02)
    return False


def process_ancestors(pid: int) -> set[int]:
    """Return ``pid`` and its ancestors (proc(5), field 4 of stat)."""
    pids: set[int] = set()
    while pid > 1:
        pids.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
        except FileNotFoundError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return pids


def runs_of_process(client: docker.DockerClient, pid: int) -> list[str]:
    """Return the run id of each engine object that ``pid`` or one of its descendants created."""
    owners = [
        (labels[LABEL_RUN], int(labels[LABEL_OWNER].split(":")[2]))
        for labels in labels_of_objects(client)
    ]
    return [run for run, owner in owners if pid in process_ancestors(owner)]


def remaining_objects(client: docker.DockerClient, runs: set[str]) -> list[str]:
    """Return the run id of each engine object that belongs to one of these runs."""
    labels = (labels[LABEL_RUN] for labels in labels_of_objects(client))
    return [run for run in labels if run in runs]
