"""Run a command in a container; remove a container."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import docker.errors
import requests
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.exceptions import ContainerStartException


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command did: its exit code and its output, both streams together."""

    code: int
    output: str


def execute(
    container: Container,
    command: Sequence[str],
    *,
    user: str = "",
    folder: str | None = None,
    environment: dict[str, str] | None = None,
) -> Result:
    """Run ``command`` in ``container`` and wait for it.

    Raises:
        docker.errors.DockerException, requests.RequestException: the engine or the container is
            gone.
    """
    code, output = container.exec_run(
        list(command), user=user, workdir=folder, environment=environment or {}
    )
    text = output if isinstance(output, bytes) else b"".join(output)
    return Result(-1 if code is None else code, text.decode("utf-8", "replace"))


def remove(container: DockerContainer) -> None:
    """Remove ``container`` with its volumes; harmless if it never started or is gone already."""
    # What the engine will not remove now carries our label: the sweep takes it.
    with contextlib.suppress(
        ContainerStartException, docker.errors.DockerException, requests.RequestException
    ):
        container.get_wrapped_container().remove(force=True, v=True)
