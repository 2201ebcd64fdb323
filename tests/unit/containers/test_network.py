from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest
import requests
from docker.context.config import get_meta_file
from testcontainers.core.network import Network

from containers import engine as engines
from containers.engine import Endpoint, Engine, Run
from containers.machine import Machine, MachineSetup
from containers.network import closed_network, new_container, new_network
from tests.helpers import engine_server
from tests.helpers.engine_server import EngineServer
from tests.helpers.sample_machines import sample_machine
from verification.models.errors import TestbedFailure
from verification.models.testbed import Image

RUN = Run(id="1", owner="a:b:c:d")
IMAGE = Image(name="debian", tag="e2e/debian:1", id="sha256:1", created="2026")
SPEC = sample_machine()

Servers = dict[str, EngineServer]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with (
        engine_server.running(tmp_path / "one.sock") as one,
        engine_server.running(tmp_path / "two.sock") as two,
    ):
        yield {"one": one, "two": two}


def _engine(server: EngineServer) -> Engine:
    answer = engines.connect(Endpoint(url=server.url, origin="a test"))
    assert isinstance(answer, Engine)
    return answer


def _run_machine(engine: Engine, folder: str) -> None:
    """Start a machine on a closed network of this engine, and remove both."""
    with (
        closed_network(engine, RUN) as network,
        Machine(SPEC, IMAGE, network.handle(), MachineSetup(tmpfs={folder: ""})) as machine,
    ):
        assert machine.id == "c1"


def _folders(server: EngineServer) -> list[str]:
    """Return the folders of the machines that this engine made."""
    made = [r for r in server.requests if r.path == "/containers/create"]
    return [folder for r in made for folder in json.loads(r.body)["HostConfig"]["Tmpfs"]]


@pytest.mark.parametrize("named", ["", "one", "two", "nowhere"])
def test_of_two_engines_in_one_process_neither_is_mistaken_for_the_other(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    one, two = (_engine(servers[name]) for name in ("one", "two"))
    if named:
        server = servers.get(named)
        monkeypatch.setenv("DOCKER_HOST", server.url if server else "unix:///nowhere.sock")
    before = dict(os.environ)
    for engine, folder in ((one, "/first"), (two, "/second"), (one, "/third")):
        _run_machine(engine, folder)
    assert _folders(servers["one"]) == ["/first", "/third"]
    assert _folders(servers["two"]) == ["/second"]
    for server, number in ((servers["one"], 2), (servers["two"], 1)):
        assert server.paths("POST").count("/networks/create") == number
        assert server.paths("DELETE") == ["/containers/c1", "/networks/n1"] * number
    assert dict(os.environ) == before


def test_a_docker_context_does_not_replace_the_engine(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"currentContext": "other"}')
    meta = Path(get_meta_file("other"))
    meta.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": servers["two"].url}}
    meta.write_text(json.dumps({"Name": "other", "Metadata": {}, "Endpoints": endpoints}))
    # The library itself puts the context's engine into the environment; this undoes it.
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.delenv("DOCKER_HOST")
    (context,) = engines.endpoints()
    assert context.url == servers["two"].url
    _run_machine(_engine(servers["one"]), "/first")
    assert _folders(servers["one"]) == ["/first"]
    assert servers["two"].requests == []


def test_a_container_without_a_network_gets_none_of_the_librarys_choice(
    servers: Servers,
) -> None:
    container = new_container(_engine(servers["one"]), IMAGE)
    container.with_kwargs(network=None, network_mode="none").start()
    container.stop()
    (made,) = (r for r in servers["one"].requests if r.path == "/containers/create")
    assert json.loads(made.body)["HostConfig"]["NetworkMode"] == "none"
    assert "/networks" not in servers["one"].paths("GET")


def test_a_closed_network_is_internal_and_has_the_runs_labels(servers: Servers) -> None:
    with closed_network(_engine(servers["one"]), RUN) as network:
        assert b"BEGIN CERTIFICATE" in network.ca_certificate
        handle = network.handle()
    (made,) = (r for r in servers["one"].requests if r.path == "/networks/create")
    body = json.loads(made.body)
    assert (body["Name"], body["Internal"]) == (handle.name, True)
    assert RUN.labels().items() <= body["Labels"].items()
    assert handle == type(handle).model_validate_json(handle.model_dump_json())


@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("no pool"), requests.ConnectionError("no pool")]
)
def test_a_network_that_cannot_be_made_is_the_testbeds_failure(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def create(_: Network) -> None:
        raise error

    monkeypatch.setattr(Network, "create", create)
    with (
        pytest.raises(TestbedFailure, match="machine-lost: network: no pool"),
        new_network(_engine(servers["one"]), RUN),
    ):
        pytest.fail("there is no network")
