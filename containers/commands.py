"""Start a container, run commands in it, read its state and its files, and remove it."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import io
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.exceptions import ContainerStartException
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from containers.engine_client import ENGINE_ERRORS, engine_failure
from verification.models.testbed import ContainerState

_READY_SECONDS = 30
_HEADER_BYTES = 10_240
"""More than the headers of one file have in a tar archive."""
MAX_OUTPUT_BYTES = 64 << 20
"""The size of the output of a command that is kept, for each of its two streams."""
_EXIT_SECONDS = 5
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """The exit code of a command and its output."""

    code: int
    stdout: str
    stderr: str = ""

    @property
    def output(self) -> str:
        """The standard output, followed by the standard error."""
        return self.stdout + self.stderr


def execute(
    container: Container,
    command: Sequence[str],
    *,
    user: str = "",
    folder: str | None = None,
    environment: dict[str, str] | None = None,
) -> CommandResult:
    """Run ``command`` in ``container`` and wait for it. Keep the end of a long output.

    Raises:
        ENGINE_ERRORS: the engine or the container is gone, or the connection broke while the
            command ran.
    """
    # The library's types do not cover demux, and `exec_run` keeps the complete output.
    api: Any = container.client.api if container.client else None
    process = api.exec_create(
        container.id, list(command), user=user, workdir=folder, environment=environment or {}
    )["Id"]
    stdout, stderr = _Tail(), _Tail()
    for chunks in api.exec_start(process, stream=True, demux=True):
        for tail, chunk in zip((stdout, stderr), chunks, strict=True):
            tail.add(chunk or b"")
    # A broken connection looks like the end of the output. The engine can report the end of a
    # command later than the end of its output.
    deadline = time.monotonic() + _EXIT_SECONDS
    while (code := api.exec_inspect(process)["ExitCode"]) is None:
        if time.monotonic() > deadline:
            raise ConnectionError("the connection to the engine broke before the command ended")
        time.sleep(_POLL_SECONDS)
    return CommandResult(code, _text(stdout.read()), _text(stderr.read()))


class _Tail:
    """The last `MAX_OUTPUT_BYTES` of a stream."""

    def __init__(self) -> None:
        self._chunks: collections.deque[bytes] = collections.deque()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= MAX_OUTPUT_BYTES:
            self._size -= len(self._chunks.popleft())

    def read(self) -> bytes:
        return b"".join(self._chunks)[-MAX_OUTPUT_BYTES:]


def read_state(container: Container) -> ContainerState:
    """Return the state of a container. The state is *gone* also if the engine does not answer."""
    try:
        container.reload()
    except ENGINE_ERRORS:
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
        ENGINE_ERRORS, OSError: the engine or the container is gone.
    """
    attached: Any = container.attach_socket(params={"stdin": 1, "stream": 1})
    connection = getattr(attached, "_sock", attached)  # the library may wrap the socket
    try:
        connection.sendall(data)
    finally:
        # The wrapper and the response refer to each other. Each of them must be closed.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        for part in (getattr(attached, "_response", None), attached, connection):
            if part is not None:
                part.close()


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream that arrives in chunks, without the line ends."""
    incomplete = b""
    for chunk in chunks:
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        yield from lines
    if incomplete:
        yield incomplete


def _text(stream: bytes | None) -> str:
    return (stream or b"").decode("utf-8", "replace")


def read_file(container: Container, path: str, limit: int | None = None) -> bytes | None:
    """Return the content of a file in ``container``, or None if ``path`` is not a regular file.

    ``limit`` is the largest number of bytes that are read.

    Raises:
        ENGINE_ERRORS: the engine, the container or the file is gone.
        KeyError: the engine returns an empty archive.
    """
    # The library's method of containers has no limit.
    api: Any = container.client.api if container.client else None
    max_bytes = None if limit is None else limit + _HEADER_BYTES
    chunks, _ = api.get_archive(container.id, path, max_bytes=max_bytes)
    archive = b"".join(chunks)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.next()
    if member is None:
        raise KeyError(path)
    content = archive[member.offset_data :][: member.size][:limit]
    return content if member.isreg() else None


def copy_from(
    container: Container, path: str, target: Path, *, members: Literal["data", "tar"] = "data"
) -> None:
    """Copy a file or folder of ``container`` into the folder ``target`` of the host.

    ``members`` is the filter of ``tarfile`` for the copied files.

    Raises:
        ENGINE_ERRORS: the engine, the container or the path is gone.
    """
    chunks, _ = container.get_archive(path)
    with tempfile.TemporaryFile() as packed:
        packed.writelines(chunks)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            # Both filters refuse members outside of the folder.
            tar.extractall(target, filter=members)  # noqa: S202


def ready_line() -> LogMessageWaitStrategy:
    """Return the strategy that waits until a server prints ``ready``."""
    strategy = LogMessageWaitStrategy("ready").with_startup_timeout(_READY_SECONDS)
    return strategy.with_poll_interval(_POLL_SECONDS)


def start(container: DockerContainer, cause: str, where: str) -> None:
    """Start ``container``. Remove it if it cannot start.

    Raises:
        TestbedFailure: the container cannot start. The failure has ``cause``, ``where`` and the
            last lines of the container's output.
    """
    try:
        container.start()
    except BaseException as error:
        logs = ""
        with contextlib.suppress(*ENGINE_ERRORS):
            logs = _text(container.get_wrapped_container().logs(tail=3))
        remove(container)
        # The library raises RuntimeError if the container ends before it is ready.
        if isinstance(error, Exception):
            raise engine_failure(f"cannot start: {error} {logs}", cause, where) from error
        raise


def remove(container: DockerContainer) -> None:
    """Remove ``container`` with its volumes. It may be removed already, or may not have started."""
    # If the engine fails now, the sweep removes the container by its label.
    with contextlib.suppress(*ENGINE_ERRORS):
        container.get_wrapped_container().remove(force=True, v=True)
    container.get_docker_client().client.close()  # the library leaves its connection open


class ManagedContainer:
    """A container that is removed at the end of its ``with`` block."""

    _container: DockerContainer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the container. It may be removed already."""
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
