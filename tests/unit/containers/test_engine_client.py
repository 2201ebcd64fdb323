from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests
import urllib3.exceptions

from containers import engine_client
from containers.endpoint import Endpoint
from containers.engine_client import EngineClient, count_retries, failing_as
from tests.helpers import engine_server
from tests.helpers.engine_proxy import Drop, EngineProxy, Moment
from tests.helpers.engine_server import EngineServer
from verification.models.errors import TestbedFailure


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineServer]:
    with engine_server.running(tmp_path / "engine.sock") as server:
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the pauses between attempts. Return the list of them."""
    seconds: list[float] = []
    monkeypatch.setattr(engine_client, "sleep", seconds.append)
    return seconds


@pytest.fixture
def proxy(engine: EngineServer) -> Iterator[EngineProxy]:
    with EngineProxy(Path(engine.url.removeprefix("unix://"))) as running:
        yield running


@pytest.fixture
def client(proxy: EngineProxy) -> Iterator[EngineClient]:
    with contextlib.closing(
        EngineClient(Endpoint(url=proxy.docker_host, origin="a test"), 20)
    ) as connected:
        yield connected


CALLS: dict[str, Callable[[EngineClient], object]] = {
    "inspect": lambda client: client.api.inspect_container("c1"),
    "list": lambda client: client.api.inspect_network("n1"),
    "read archive": lambda client: b"".join(client.api.get_archive("c1", "/f")[0]),
    "write archive": lambda client: client.api.put_archive("c1", "/", b"x" * 200_000),
    "write file": lambda client: client.api.put_archive("c1", "/", io.BytesIO(b"x" * 200_000)),
    "remove": lambda client: client.api.remove_container("c1", force=True),
    "inspect command": lambda client: client.api.exec_inspect("e1"),
    "create command": lambda client: client.api.exec_create("c1", ["true"]),
    "wait": lambda client: client.api.wait("c1"),
}


@pytest.mark.parametrize("moment", ["request", "response", "body"])
@pytest.mark.parametrize("call", CALLS)
def test_idempotent_call_survives_broken_connections(
    client: EngineClient, proxy: EngineProxy, engine: EngineServer, call: str, moment: Moment
) -> None:
    undisturbed = CALLS[call](client)
    bodies = [engine.requests[-1].body] if call.startswith("write") else []
    proxy.rules = [Drop(moment=moment, times=2)]
    with count_retries() as retries:
        assert CALLS[call](client) == undisturbed

    # An empty answer has no body that can break.
    is_empty = call in ("write archive", "write file", "remove")
    assert retries.value == (0 if is_empty and moment == "body" else 2)
    if bodies:
        assert engine.requests[-1].body == bodies[0]


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda client: client.api.create_container("image"), "/containers/create"),
        (lambda client: client.api.start("c1"), "/containers/c1/start"),
        (lambda client: client.api.create_network("name"), "/networks/create"),
        (lambda client: client.api.exec_start("e1"), "/exec/e1/start"),
    ],
)
def test_call_with_an_effect_is_sent_once(
    client: EngineClient,
    proxy: EngineProxy,
    engine: EngineServer,
    call: Callable[[EngineClient], object],
    path: str,
) -> None:
    proxy.rules = [Drop("POST", moment="response", times=1)]
    with count_retries() as retries, pytest.raises(requests.ConnectionError):
        call(client)

    assert engine.paths("POST") == [path]
    assert retries.value == 0


def test_lost_engine_ends_the_attempts(
    client: EngineClient, proxy: EngineProxy, pauses: list[float]
) -> None:
    proxy.rules = [Drop(moment="request")]
    with count_retries() as retries, pytest.raises(requests.ConnectionError):
        client.api.inspect_container("c1")

    assert tuple(pauses) == engine_client._PAUSES
    assert retries.value == len(engine_client._PAUSES)


def test_retried_removal_succeeds_if_the_first_one_removed_the_container(
    client: EngineClient, proxy: EngineProxy, engine: EngineServer
) -> None:
    engine.removal_counts = True
    proxy.rules = [Drop("DELETE", moment="response", times=1)]
    client.api.remove_container("c1")

    assert engine.paths("DELETE") == ["/containers/c1"] * 2
    with pytest.raises(docker.errors.NotFound):
        client.api.remove_container("c1")


def test_retries_of_a_thread_are_counted_separately(
    client: EngineClient, proxy: EngineProxy
) -> None:
    before = engine_client.PROCESS_RETRIES.value
    proxy.rules = [Drop(moment="request", times=1)]
    with count_retries() as retries:
        thread = threading.Thread(target=client.api.inspect_container, args=("c1",))
        thread.start()
        thread.join()

    assert retries.value == 0
    assert engine_client.PROCESS_RETRIES.value == before + 1


@pytest.mark.parametrize(
    "error",
    [
        docker.errors.NotFound("it is gone"),
        requests.ConnectionError(),
        urllib3.exceptions.ProtocolError("broken"),
        ConnectionResetError("reset"),
    ],
)
def test_error_of_the_engine_is_a_testbed_failure(error: Exception) -> None:
    with pytest.raises(TestbedFailure) as raised, failing_as("machine-lost", "publisher"):
        raise error
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "publisher")
    assert raised.value.message


def test_other_error_stays() -> None:
    with pytest.raises(ZeroDivisionError), failing_as("machine-lost", "publisher"):
        raise ZeroDivisionError


def test_archive_ends_after_a_size(client: EngineClient) -> None:
    whole, _ = client.api.get_archive("c1", "/f")
    api: Any = client.api  # the types of the library have no limit
    part, _ = api.get_archive("c1", "/f", chunk_size=4, max_bytes=5)
    assert b"".join(part) == b"".join(whole)[:8]
