from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests
from docker.context.config import get_meta_file
from testcontainers.core.network import Network

from containers import endpoint
from containers import engine as engines
from containers.endpoint import Endpoint
from containers.engine import Engine, Run
from containers.machine import Machine, MachineSetup
from containers.network import (
    closed_network,
    gateways,
    new_container,
    new_network,
    without_host,
)
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
    """Return the tmpfs folders of the containers that this engine created."""
    return [
        folder
        for request in server.bodies("/containers/create")
        for folder in request["HostConfig"]["Tmpfs"]
    ]


@pytest.mark.parametrize("docker_host", ["", "one", "two", "missing"])
def test_two_engines_in_one_process_are_not_confused(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, docker_host: str
) -> None:
    one, two = (_engine(servers[name]) for name in ("one", "two"))
    if docker_host:
        server = servers.get(docker_host)
        monkeypatch.setenv("DOCKER_HOST", server.url if server else "unix:///missing.sock")
    before = dict(os.environ)
    for engine, folder in ((one, "/first"), (two, "/second"), (one, "/third")):
        _run_machine(engine, folder)
    assert _folders(servers["one"]) == ["/first", "/third"]
    assert _folders(servers["two"]) == ["/second"]
    for server, count in ((servers["one"], 2), (servers["two"], 1)):
        assert server.paths("POST").count("/networks/create") == count
        assert server.paths("DELETE") == ["/containers/c1", "/networks/n1"] * count
    assert dict(os.environ) == before


def test_docker_context_does_not_replace_the_engine(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"currentContext": "other"}')
    meta = Path(get_meta_file("other"))
    meta.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": servers["two"].url}}
    meta.write_text(json.dumps({"Name": "other", "Metadata": {}, "Endpoints": endpoints}))
    # The library sets DOCKER_HOST to the engine of the context. monkeypatch restores the variable.
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.delenv("DOCKER_HOST")
    (context,) = endpoint.endpoints()
    assert context.url == servers["two"].url
    _run_machine(_engine(servers["one"]), "/first")
    assert _folders(servers["one"]) == ["/first"]
    assert servers["two"].requests == []


def test_container_without_a_network_gets_no_network_from_the_library(servers: Servers) -> None:
    container = new_container(_engine(servers["one"]), IMAGE)
    container.with_kwargs(network=None, network_mode="none").start()
    container.stop()
    (request,) = servers["one"].bodies("/containers/create")
    assert request["HostConfig"]["NetworkMode"] == "none"
    assert "/networks" not in servers["one"].paths("GET")


def test_closed_network_is_internal_and_has_the_labels_of_the_run(servers: Servers) -> None:
    with closed_network(_engine(servers["one"]), RUN) as network:
        assert b"BEGIN CERTIFICATE" in network.ca_certificate
        handle = network.handle()
    (request,) = servers["one"].bodies("/networks/create")
    assert (request["Name"], request["Internal"]) == (handle.name, True)
    assert request["Options"] == {"com.docker.network.bridge.inhibit_ipv4": "true"}
    assert network.hides_host
    assert RUN.labels().items() <= request["Labels"].items()
    assert handle == type(handle).model_validate_json(handle.model_dump_json())


@pytest.mark.parametrize("planted", [{"internal": False}, {"hide_host": False}])
def test_planted_network_has_an_address_of_the_host(
    servers: Servers, planted: dict[str, bool]
) -> None:
    with closed_network(_engine(servers["one"]), RUN, **planted) as network:
        assert network.hides_host, "the engine could close the network"
    (request,) = servers["one"].bodies("/networks/create")
    assert not request["Options"]
    assert request.get("Internal", False) == planted.get("internal", True)


ISOLATED = {"gateway_mode_ipv4": "isolated", "gateway_mode_ipv6": "isolated"}
PODMAN = [{"Name": "Podman Engine", "Version": "5.4.2"}, {"Name": "Conmon"}]


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ({"ApiVersion": "1.41", "Os": "linux"}, {"inhibit_ipv4": "true"}),
        ({"ApiVersion": "1.47", "Os": "linux", "Components": []}, {"inhibit_ipv4": "true"}),
        ({"ApiVersion": "1.48", "Os": "linux"}, ISOLATED),
        ({"ApiVersion": "1.51", "Os": "linux"}, ISOLATED),
        ({"ApiVersion": "1.41", "Os": "linux", "Components": PODMAN}, {}),
        ({"ApiVersion": "1.48", "Os": "windows"}, {}),
    ],
    ids=["20.10", "27.3", "28.0", "28.3", "podman", "windows"],
)
def test_options_that_hide_the_host_depend_on_the_engine(
    version: dict[str, object], options: dict[str, str]
) -> None:
    prefix = "com.docker.network.bridge."
    assert without_host(version) == {f"{prefix}{name}": value for name, value in options.items()}


@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("no pool"), requests.ConnectionError("no pool")]
)
def test_network_that_cannot_be_created_is_a_testbed_failure(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def create(_: Network) -> None:
        raise error

    monkeypatch.setattr(Network, "create", create)
    with (
        pytest.raises(TestbedFailure, match="no pool") as raised,
        new_network(_engine(servers["one"]), RUN),
    ):
        pytest.fail("there is no network")
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "network")


@pytest.mark.parametrize(
    ("attributes", "addresses"),
    [
        ({"IPAM": {"Config": [{"Subnet": "a", "Gateway": "192.0.2.1"}, {"Subnet": "b"}]}}, 1),
        ({"IPAM": {"Config": None}}, 0),
        ({"IPAM": {"Config": [{"Subnet": "b", "Gateway": ""}]}}, 0),
        ({}, 0),
    ],
)
def test_gateways_are_those_that_the_engine_reports(
    attributes: dict[str, object], addresses: int
) -> None:
    network: Any = SimpleNamespace(_network=SimpleNamespace(attrs=attributes))
    assert gateways(network) == ("192.0.2.1",) * addresses
