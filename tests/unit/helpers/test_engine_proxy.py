from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from tests.helpers import engine_proxy, engine_server
from tests.helpers.engine_proxy import Drop, EngineProxy, Moment
from tests.helpers.engine_server import EngineServer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineServer]:
    with engine_server.running(tmp_path / "engine.sock") as server:
        yield server


def socket_of(engine: EngineServer) -> Path:
    return Path(engine.url.removeprefix("unix://"))


@contextlib.contextmanager
def client(proxy: EngineProxy) -> Iterator[docker.APIClient]:
    connected = docker.APIClient(base_url=proxy.docker_host, version="1.44", timeout=5)
    with contextlib.closing(connected):
        yield connected


def test_passes_requests(engine: EngineServer) -> None:
    with EngineProxy(socket_of(engine)) as proxy, client(proxy) as connected:
        assert [connected.inspect_container("c1")["Id"] for _ in range(3)] == ["c1"] * 3
        connected.put_archive("c1", "/", b"x" * 300_000)

    assert engine.requests[-1].body == b"x" * 300_000
    assert [request.method for request in proxy.requests] == ["GET", "GET", "GET", "PUT"]
    assert proxy.dropped == []


@pytest.mark.parametrize(("moment", "received"), [("request", 0), ("response", 1), ("body", 1)])
def test_drops_at_a_moment(engine: EngineServer, moment: Moment, received: int) -> None:
    rule = Drop("GET", "/containers/", moment=moment, times=1)
    with EngineProxy(socket_of(engine), drop=[rule]) as proxy, client(proxy) as connected:
        assert connected.version()["Version"] == "27.1"
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            connected.inspect_container("c1")
        assert len(engine.paths("GET")) == 1 + received
        assert connected.inspect_container("c1")["Id"] == "c1"

    assert [request.drop for request in proxy.dropped] == [rule]


def outcomes(engine: EngineServer, seed: int) -> list[bool]:
    """Return for each of 30 requests whether its connection was dropped."""
    with EngineProxy(socket_of(engine), drop=0.5, seed=seed) as proxy, client(proxy) as connected:
        for _ in range(30):
            with contextlib.suppress(requests.ConnectionError):
                connected.version()
    return [request.drop is not None for request in proxy.requests]


def test_seed_decides(engine: EngineServer) -> None:
    first = outcomes(engine, 1)

    assert {True, False} == set(first)
    assert outcomes(engine, 1) == first
    assert outcomes(engine, 2) != first


def test_stopped_proxy_closes_its_connections(engine: EngineServer) -> None:
    with EngineProxy(socket_of(engine)) as proxy, socket.socket(socket.AF_UNIX) as waiting:
        address = proxy.docker_host.removeprefix("unix://")
        waiting.connect(address)
        waiting.sendall(b"GET /version")
        proxy.stop()
        with contextlib.suppress(ConnectionResetError):
            assert waiting.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as later, pytest.raises(ConnectionRefusedError):
            later.connect(address)


def test_delays(engine: EngineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    monkeypatch.setattr(engine_proxy, "sleep", delays.append)
    with EngineProxy(socket_of(engine), delay=(0.2, 0.3)) as proxy, client(proxy) as connected:
        connected.version()

    (seconds,) = delays
    assert 0.2 <= seconds <= 0.3
