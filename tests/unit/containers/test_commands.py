from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests
from testcontainers.core.exceptions import ContainerStartException

from containers import commands
from containers.commands import CommandResult, ManagedContainer
from verification.models.testbed import ContainerState

Raw = tuple[int | None, tuple[bytes | None, bytes | None]]


class _Container:
    """A container that runs nothing: it notes the commands, and has a result for each."""

    id = "0123"

    def __init__(self, result: Raw = (0, (None, None)), connection: Any = None) -> None:
        self.commands: list[list[str]] = []
        self.options: dict[str, Any] = {}
        self.removals: list[dict[str, Any]] = []
        self._result = result
        self._connection = connection

    def exec_run(self, command: list[str], **options: Any) -> Raw:
        self.commands.append(command)
        self.options = options
        return self._result

    def attach_socket(self, params: dict[str, int]) -> Any:
        assert params == {"stdin": 1, "stream": 1}
        return self._connection

    def remove(self, **options: Any) -> None:
        self.removals.append(options)


class _Library:
    """The library's object around a container."""

    def __init__(self, error: Exception | None = None) -> None:
        self.container = _Container()
        self.closed = 0
        self._error = error

    def get_wrapped_container(self) -> Any:
        if self._error:
            raise self._error
        return self.container

    def get_docker_client(self) -> Any:
        return SimpleNamespace(client=SimpleNamespace(close=self._close))

    def _close(self) -> None:
        self.closed += 1


# ---- a command ----


def test_the_output_is_both_streams() -> None:
    assert CommandResult(0, "out\n", "err\n").output == "out\nerr\n"
    assert CommandResult(0, "out").output == "out"


def execute(result: Raw) -> CommandResult:
    container: Any = _Container(result)
    return commands.execute(container, ("true",))


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ((0, (b"out", b"err")), CommandResult(0, "out", "err")),
        ((3, (None, None)), CommandResult(3, "", "")),
        ((None, (b"out", None)), CommandResult(-1, "out", "")),
        ((0, (b"caf\xe9", b"\xff")), CommandResult(0, "caf\ufffd", "\ufffd")),
    ],
)
def test_a_command_has_its_exit_code_and_its_text(raw: Raw, result: CommandResult) -> None:
    assert execute(raw) == result


def test_a_command_has_its_user_folder_and_variables() -> None:
    container: Any = _Container()
    commands.execute(
        container, ("a", "b c"), user="root", folder="/work", environment={"NAME": "x"}
    )
    assert container.commands == [["a", "b c"]]
    assert container.options == {
        "user": "root",
        "workdir": "/work",
        "environment": {"NAME": "x"},
        "demux": True,
    }


def test_an_engine_that_is_gone_is_an_error() -> None:
    class Gone(_Container):
        def exec_run(self, command: list[str], **options: Any) -> Raw:
            raise docker.errors.NotFound(f"{command} {options}")

    container: Any = Gone()
    with pytest.raises(docker.errors.NotFound):
        commands.execute(container, ("true",))


# ---- the standard input ----


class _Closable:
    closed = False

    def close(self) -> None:
        self.closed = True


class _Reader(_Closable):
    """The engine library's wrapper around a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._sock = connection
        self._response = _Closable()


def test_data_is_sent_and_every_part_of_the_connection_is_closed() -> None:
    near, far = socket.socketpair()
    reader = _Reader(near)
    container: Any = _Container(connection=reader)
    commands.send(container, b"data")
    with far:
        far.settimeout(5)
        assert (far.recv(16), far.recv(16)) == (b"data", b"")
    assert near.fileno() == -1
    assert reader.closed
    assert reader._response.closed


def test_data_is_sent_where_the_library_returns_the_socket_itself() -> None:
    near, far = socket.socketpair()
    container: Any = _Container(connection=near)
    commands.send(container, b"data")
    with far:
        far.settimeout(5)
        assert (far.recv(16), far.recv(16)) == (b"data", b"")
    assert near.fileno() == -1


def test_a_connection_that_breaks_is_an_error_and_is_closed() -> None:
    near, far = socket.socketpair()
    far.close()
    container: Any = _Container(connection=_Reader(near))
    with pytest.raises(OSError, match="pipe"):
        commands.send(container, b"data")
    assert near.fileno() == -1


# ---- the end of a container ----


def test_a_container_is_removed_with_its_volumes() -> None:
    library: Any = _Library()
    commands.remove(library)
    assert library.container.removals == [{"force": True, "v": True}]
    assert library.closed == 1


@pytest.mark.parametrize(
    "error",
    [
        ContainerStartException("it never started"),
        docker.errors.NotFound("it is gone"),
        requests.ConnectionError("the engine is gone"),
    ],
)
def test_a_container_that_cannot_be_removed_is_left_to_the_sweep(error: Exception) -> None:
    library: Any = _Library(error)
    commands.remove(library)
    assert library.closed == 1


def test_any_other_error_is_not_hidden() -> None:
    library: Any = _Library(ValueError("a fault of ours"))
    with pytest.raises(ValueError, match="a fault of ours"):
        commands.remove(library)


class _Server(ManagedContainer):
    """A container of the test."""

    def __init__(self, library: Any) -> None:
        self._container = library


@pytest.mark.parametrize("error", [None, RuntimeError("in the block")])
def test_a_held_container_lives_as_long_as_its_context(error: Exception | None) -> None:
    library = _Library()
    server = _Server(library)
    assert server.id == "0123"
    assert library.container.removals == []
    server.__exit__(type(error) if error else None, error, None)
    assert len(library.container.removals) == 1


# ---- the state ----


@pytest.mark.parametrize(
    ("engine", "state", "fails"),
    [
        (
            {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False},
            ContainerState(status="running"),
            False,
        ),
        (
            {"Status": "exited", "Running": False, "ExitCode": 137, "OOMKilled": True},
            ContainerState(status="exited", exit_code=137, out_of_memory=True),
            True,
        ),
        ({"Status": "paused", "Running": True}, ContainerState(status="paused"), True),
    ],
)
def test_the_state_of_a_container_is_that_of_the_engine(
    engine: dict[str, Any], state: ContainerState, fails: bool
) -> None:
    container: Any = SimpleNamespace(attrs={"State": engine}, reload=lambda: None)
    assert commands.read_state(container) == state
    assert bool(state.failure) is fails


@pytest.mark.parametrize("error", [docker.errors.NotFound("x"), requests.ConnectionError("x")])
def test_a_container_that_the_engine_does_not_know_is_gone(error: Exception) -> None:
    def reload() -> None:
        raise error

    container: Any = SimpleNamespace(reload=reload)
    assert commands.read_state(container) == ContainerState(status="gone")
    assert ContainerState(status="gone").failure


def test_a_managed_container_that_never_started_is_gone() -> None:
    assert _Server(_Library(ContainerStartException("never"))).state() == ContainerState(
        status="gone"
    )
