from __future__ import annotations

import contextlib
import io
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests
from docker.models.containers import Container
from testcontainers.core.exceptions import ContainerStartException

from containers import commands
from containers.commands import CommandResult, ManagedContainer
from containers.endpoint import Endpoint
from containers.engine_client import ENGINE_ERRORS, EngineClient
from tests.helpers import engine_server
from tests.helpers.engine_proxy import EngineProxy
from tests.helpers.engine_server import EngineServer
from tests.helpers.exec_client import ExecClient, Result
from verification.models.errors import TestbedFailure
from verification.models.testbed import ContainerState


class _Container:
    """A fake container that records the commands and returns one result for all of them."""

    id = "0123"

    def __init__(self, result: Result = (0, (None, None)), connection: Any = None) -> None:
        self.commands: list[list[str]] = []
        self.options: dict[str, Any] = {}
        self.removals: list[dict[str, Any]] = []
        self._result = result
        self._connection = connection
        self.client = ExecClient(self.exec_run)

    def exec_run(self, command: list[str], **options: Any) -> Result:
        self.commands.append(command)
        self.options = options
        return self._result

    def attach_socket(self, params: dict[str, int]) -> Any:
        assert params == {"stdin": 1, "stream": 1}
        return self._connection

    def logs(self, **_: int) -> bytes:
        return b""

    def remove(self, **options: Any) -> None:
        self.removals.append(options)


class _Library:
    """A fake of testcontainers' container class."""

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


def test_output_of_a_command_is_both_streams() -> None:
    assert CommandResult(0, "out\n", "err\n").output == "out\nerr\n"
    assert CommandResult(0, "out").output == "out"


def execute(result: Result) -> CommandResult:
    container: Any = _Container(result)
    return commands.execute(container, ("true",))


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ((0, (b"out", b"err")), CommandResult(0, "out", "err")),
        ((3, (None, None)), CommandResult(3, "", "")),
        ((0, (b"caf\xe9", b"\xff")), CommandResult(0, "caf\ufffd", "\ufffd")),
    ],
)
def test_execute_returns_exit_code_and_text(raw: Result, result: CommandResult) -> None:
    assert execute(raw) == result


def test_execute_passes_user_folder_and_variables() -> None:
    container: Any = _Container()
    commands.execute(
        container, ("a", "b c"), user="root", folder="/work", environment={"NAME": "x"}
    )
    assert container.commands == [["a", "b c"]]
    assert container.options == {
        "user": "root",
        "workdir": "/work",
        "environment": {"NAME": "x"},
    }


def test_execute_raises_the_error_of_a_lost_engine() -> None:
    class Lost(_Container):
        def exec_run(self, command: list[str], **options: Any) -> Result:
            raise docker.errors.NotFound(f"{command} {options}")

    container: Any = Lost()
    with pytest.raises(docker.errors.NotFound):
        commands.execute(container, ("true",))


def test_execute_keeps_the_end_of_a_long_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_OUTPUT_BYTES", 10)
    container: Any = _Container()
    parts = [(b"%04d" % number, None) for number in range(1000)]
    container.client.exec_start = lambda *_, **__: iter(parts)
    assert commands.execute(container, ("yes",)).stdout == "9709980999"


def test_large_file_is_read_up_to_a_limit() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("a")
        member.size = 5000
        tar.addfile(member, io.BytesIO(bytes(5000)))
    archive = packed.getvalue()
    client = ExecClient(_Container().exec_run, lambda _: (iter([archive]), {}))
    container: Any = SimpleNamespace(id="c1", client=client)
    assert commands.read_file(container, "/a") == bytes(5000)
    assert commands.read_file(container, "/a", 500) == bytes(500)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineServer]:
    with engine_server.running(tmp_path / "engine.sock") as server:
        yield server


@pytest.fixture
def container(engine: EngineServer) -> Iterator[Container]:
    with EngineProxy(Path(engine.url.removeprefix("unix://"))) as proxy:
        client = EngineClient(Endpoint(url=proxy.docker_host, origin="a test"), 20)
        with contextlib.closing(client):
            yield client.containers.get("c1")


def test_exit_code_can_come_later_than_the_output(
    engine: EngineServer, container: Container
) -> None:
    engine.output, engine.exit_codes = b"out", [None, None, 7]
    assert commands.execute(container, ["true"]) == CommandResult(7, "out")


def test_output_that_breaks_while_the_command_runs_is_an_error(
    engine: EngineServer, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_EXIT_SECONDS", 0)
    engine.output, engine.exit_codes = b"out", [None]
    with pytest.raises(ENGINE_ERRORS):
        commands.execute(container, ["true"])
    assert engine.paths("POST").count("/exec/e1/start") == 1


# ---- the start of a container ----


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the container exited before it was ready"),  # of testcontainers
        TimeoutError("not ready"),
        docker.errors.APIError("cannot start"),
        requests.ConnectionError("broken"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "its output is no text"),
    ],
)
def test_container_that_ends_before_it_is_ready_is_a_testbed_failure(error: Exception) -> None:
    def start() -> None:
        raise error

    library: Any = _Library()
    library.start = start
    with pytest.raises(TestbedFailure) as raised:
        commands.start(library, "index-unreachable", "index")
    assert (raised.value.cause, raised.value.where) == ("index-unreachable", "index")
    assert len(library.container.removals) == 1


def test_interrupt_during_the_start_removes_the_container() -> None:
    def start() -> None:
        raise KeyboardInterrupt

    library: Any = _Library()
    library.start = start
    with pytest.raises(KeyboardInterrupt):
        commands.start(library, "index-unreachable", "index")
    assert len(library.container.removals) == 1


# ---- the standard input ----


class _Closable:
    closed = False

    def close(self) -> None:
        self.closed = True


class _Reader(_Closable):
    """A fake of the wrapper that the docker library puts around a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._sock = connection
        self._response = _Closable()


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_send_closes_the_socket_and_its_wrapper(*, is_wrapped: bool) -> None:
    client_end, container_end = socket.socketpair()
    reader = _Reader(client_end)
    container: Any = _Container(connection=reader if is_wrapped else client_end)
    commands.send(container, b"data")
    with container_end:
        container_end.settimeout(5)
        assert (container_end.recv(16), container_end.recv(16)) == (b"data", b"")
    assert client_end.fileno() == -1
    assert reader.closed is reader._response.closed is is_wrapped


def test_send_closes_a_broken_connection_and_raises_its_error() -> None:
    client_end, container_end = socket.socketpair()
    container_end.close()
    container: Any = _Container(connection=_Reader(client_end))
    with pytest.raises(BrokenPipeError):
        commands.send(container, b"data")
    assert client_end.fileno() == -1


def test_split_lines_joins_chunks_and_keeps_an_incomplete_last_line() -> None:
    assert list(commands.split_lines([b"a\nb", b"c\n", b"", b"\nd"])) == [b"a", b"bc", b"", b"d"]


# ---- the removal of a container ----


def test_container_is_removed_with_its_volumes() -> None:
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
def test_removal_ignores_errors_of_the_engine(error: Exception) -> None:
    library: Any = _Library(error)
    commands.remove(library)
    assert library.closed == 1


def test_removal_raises_other_errors() -> None:
    library: Any = _Library(ValueError("defect"))
    with pytest.raises(ValueError, match="defect"):
        commands.remove(library)


class _Server(ManagedContainer):
    """A managed container that contains a `_Library`."""

    def __init__(self, library: Any) -> None:
        self._container = library


@pytest.mark.parametrize("error", [None, RuntimeError("in the block")])
def test_managed_container_is_removed_at_the_end_of_its_context(error: Exception | None) -> None:
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
def test_state_of_a_container_is_read_from_the_engine(
    engine: dict[str, Any], state: ContainerState, fails: bool
) -> None:
    container: Any = SimpleNamespace(attrs={"State": engine}, reload=lambda: None)
    assert commands.read_state(container) == state
    assert bool(state.failure) is fails


@pytest.mark.parametrize("error", [docker.errors.NotFound("x"), requests.ConnectionError("x")])
def test_state_of_an_unknown_container_is_gone(error: Exception) -> None:
    def reload() -> None:
        raise error

    container: Any = SimpleNamespace(reload=reload)
    assert commands.read_state(container) == ContainerState(status="gone")
    assert ContainerState(status="gone").failure


def test_state_of_a_managed_container_before_its_start_is_gone() -> None:
    assert _Server(_Library(ContainerStartException("never"))).state() == ContainerState(
        status="gone"
    )
