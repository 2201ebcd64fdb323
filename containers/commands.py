"""Run a command in a container; remove a container at the end of its context."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import docker.errors
import requests
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.exceptions import ContainerStartException

from verification.models.testbed import ContainerState


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What a command did: its exit code and its output."""

    code: int
    stdout: str
    stderr: str = ""

    @property
    def output(self) -> str:
        """Both streams together, one after the other."""
        return self.stdout + self.stderr


def execute(
    container: Container,
    command: Sequence[str],
    *,
    user: str = "",
    folder: str | None = None,
    environment: dict[str, str] | None = None,
) -> CommandResult:
    """Run ``command`` in ``container`` and wait for it.

    Raises:
        docker.errors.DockerException, requests.RequestException: the engine or the container is
            gone.
    """
    ran: Any = container.exec_run(  # which is not typed for demux
        list(command), user=user, workdir=folder, environment=environment or {}, demux=True
    )
    code, (stdout, stderr) = ran
    return CommandResult(-1 if code is None else code, _text(stdout), _text(stderr))


def read_state(container: Container) -> ContainerState:
    """Return the state of a container; gone also if the engine does not answer."""
    try:
        container.reload()
    except (docker.errors.DockerException, requests.RequestException):
        return ContainerState(status="gone")
    state = container.attrs["State"]
    return ContainerState(
        status=state["Status"],
        exit_code=None if state["Running"] else state["ExitCode"],
        out_of_memory=state.get("OOMKilled", False),
    )


def send(container: Container, data: bytes) -> None:
    """Write ``data`` to the standard input of the program that ``container`` runs.

    Raises:
        docker.errors.DockerException, requests.RequestException, OSError: the engine or the
            container is gone.
    """
    attached: Any = container.attach_socket(params={"stdin": 1, "stream": 1})
    connection = getattr(attached, "_sock", attached)  # a reader's wrapper around the socket
    try:
        connection.sendall(data)
    finally:
        # The wrapper and the answer hold each other: closing the wrapper alone closes nothing.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        for part in (getattr(attached, "_response", None), attached, connection):
            if part is not None:
                part.close()


def _text(stream: bytes | None) -> str:
    return (stream or b"").decode("utf-8", "replace")


def remove(container: DockerContainer) -> None:
    """Remove ``container`` with its volumes; harmless if it never started or is gone already."""
    # What the engine will not remove now carries our label: the sweep takes it.
    with contextlib.suppress(
        ContainerStartException, docker.errors.DockerException, requests.RequestException
    ):
        container.get_wrapped_container().remove(force=True, v=True)
    container.get_docker_client().client.close()  # the library leaves its connection open


class ManagedContainer:
    """A container that lives as long as its context."""

    _container: DockerContainer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it; harmless if it is gone."""
        remove(self._container)

    def state(self) -> ContainerState:
        """Return the state of the container."""
        try:
            return read_state(self._container.get_wrapped_container())
        except ContainerStartException:
            return ContainerState(status="gone")

    @property
    def id(self) -> str:
        """The engine's id of the container."""
        return str(self._container.get_wrapped_container().id)
