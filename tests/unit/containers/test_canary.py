from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from containers import canary
from containers.canary import Beacon
from containers.endpoint import Endpoint
from containers.engine import Engine, Run, connect
from containers.network import ClosedNetwork, closed_network
from tests.helpers import engine_server
from tests.helpers.engine_server import EngineServer
from verification.models.base import parse_json
from verification.models.errors import TestbedFailure
from verification.models.testbed import ContainerState, EgressProof, Image, NetworkObservation

RUN = Run(id="0123456789", owner="a:b:c:d")
IMAGE = Image(name="publisher", tag="e2e/publisher:1", id="sha256:1", created="2026")
HOST = "192.0.2.2"
GATEWAY = "192.0.2.1"
OPEN = NetworkObservation(
    reached=True, resolver="not asked", addresses=(GATEWAY, HOST), gateway=GATEWAY
)
CLOSED = NetworkObservation(reached=False, resolver="closed", gateway="198.51.100.1")


# ---- the scripts ----


@pytest.fixture
def beacon() -> Iterator[Beacon]:
    """Run the script of the beacon on this host."""
    with subprocess.Popen(
        [sys.executable, "-c", canary._BEACON], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield parse_json(Beacon, process.stdout.readline(), "beacon")
        process.kill()


def observe(port: int, *addresses: str) -> NetworkObservation:
    """Run the script of the canary on this host."""
    command = [sys.executable, "-c", canary._OBSERVE, str(port), "not asked", *addresses]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return parse_json(NetworkObservation, output, "canary")


def test_canary_reaches_every_address_of_its_own_host(beacon: Beacon) -> None:
    own = [address for address in beacon.addresses if not address.startswith("fe80:")]
    observation = observe(beacon.port, *own)
    assert observation.reached
    assert set(own) <= set(observation.addresses)
    assert not any(address in ("::1", "127.0.0.1") for address in own)


def test_address_without_a_listener_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "127.0.0.1" not in observe(port, "127.0.0.1").addresses


def test_address_without_a_route_is_not_reached() -> None:
    # The kernel refuses a connection to a multicast or broadcast address at once (tcp(7)).
    addresses = ("224.0.0.1", "255.255.255.255")
    assert not set(addresses).intersection(observe(9, *addresses).addresses)


# ---- the proof ----


def test_closed_network_is_proved() -> None:
    proof = canary.judge(OPEN, CLOSED, hides_host=True)
    assert proof == EgressProof(open=OPEN, machines=CLOSED)
    assert (proof.not_proved, proof.reachable) == ("", ())


@pytest.mark.parametrize(
    "changes",
    [
        {"reached": True, "addresses": (HOST,)},
        {"addresses": ("198.51.100.1",)},  # a firewall of the host drops the connections
        {"resolver": "open"},
    ],
    ids=["beacon", "gateway", "resolver"],
)
def test_egress_is_a_testbed_failure_with_the_addresses(changes: dict[str, Any]) -> None:
    observed = CLOSED.model_copy(update=changes)
    with pytest.raises(TestbedFailure) as raised:
        canary.judge(OPEN, observed, hides_host=True)
    assert (raised.value.cause, raised.value.where) == ("egress-open", "canary")
    assert raised.value.facts == {"addresses": observed.addresses}


def test_addresses_that_an_engine_cannot_close_are_reported() -> None:
    observed = CLOSED.model_copy(update={"reached": True, "addresses": (HOST,), "gateway": ""})
    proof = canary.judge(OPEN, observed, hides_host=False)
    assert (proof.not_proved, proof.reachable) == ("", (HOST,))


@pytest.mark.parametrize(
    "changes", [{"addresses": ("198.51.100.1",)}, {"resolver": "open"}], ids=["gateway", "resolver"]
)
def test_other_networks_are_never_open(changes: dict[str, Any]) -> None:
    with pytest.raises(TestbedFailure, match="egress-open"):
        canary.judge(OPEN, CLOSED.model_copy(update=changes), hides_host=False)


def test_without_an_answer_on_the_open_network_nothing_is_proved() -> None:
    silent = NetworkObservation(reached=False, resolver="not asked", gateway=GATEWAY)
    assert canary.judge(silent, CLOSED, hides_host=True).not_proved
    filtered = silent.model_copy(update={"addresses": (GATEWAY,)})
    assert not canary.judge(filtered, CLOSED, hides_host=True).not_proved


# ---- the containers ----


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    with engine_server.running(tmp_path / "engine.sock") as running:
        yield running


@pytest.fixture
def network(server: EngineServer) -> Iterator[ClosedNetwork]:
    engine = connect(Endpoint(url=server.url, origin="a test"))
    assert isinstance(engine, Engine)
    with closed_network(engine, RUN) as closed:
        yield closed


def plant_outputs(monkeypatch: pytest.MonkeyPatch, *outputs: str) -> None:
    """Replace the outputs of the containers, in the order of their start."""
    texts = iter(outputs)

    def logs(_: object, **options: bool) -> Iterator[bytes]:
        assert options == {"stream": True, "follow": True}
        yield next(texts).encode()

    monkeypatch.setattr("docker.models.containers.Container.logs", logs)


BEACON = json.dumps({"port": 40000, "addresses": [GATEWAY, HOST]})


def test_every_container_has_the_least_privileges(
    server: EngineServer, network: ClosedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = OPEN.model_dump_json()
    plant_outputs(monkeypatch, BEACON, answered, answered)
    with pytest.raises(TestbedFailure, match="egress-open"):
        canary.prove_closed(network, IMAGE)
    bodies = server.bodies("/containers/create")
    modes = [body["HostConfig"].get("NetworkMode") for body in bodies]
    assert len(bodies) == 3
    assert [mode == "host" for mode in modes] == [True, False, False]
    for body in bodies:
        host = body["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert not host.get("CapAdd")
        assert not host.get("Privileged")
        assert not host.get("PidMode")
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["ReadonlyRootfs"] is True
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", body["User"])
        assert RUN.labels().items() <= body["Labels"].items()


def test_engine_that_refuses_the_network_of_its_host_proves_nothing(
    server: EngineServer, network: ClosedNetwork
) -> None:
    server.refused = '"NetworkMode": "host"'
    proof = canary.prove_closed(network, IMAGE)
    assert server.refusal in proof.not_proved
    assert (proof.open, proof.machines, proof.reachable) == (None, None, ())
    assert len(server.bodies("/containers/create")) == 1, "no canary starts"


def test_missing_image_is_a_testbed_failure(server: EngineServer, network: ClosedNetwork) -> None:
    server.refused, server.status = '"NetworkMode": "host"', 404
    with pytest.raises(TestbedFailure, match="machine-lost"):
        canary.prove_closed(network, IMAGE)


@pytest.mark.parametrize("output", ["", "Traceback", '{"port": 1, "addresses": []}'])
def test_beacon_that_does_not_run_proves_nothing(
    network: ClosedNetwork, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    plant_outputs(monkeypatch, output)
    assert canary.prove_closed(network, IMAGE).not_proved


@pytest.mark.parametrize("output", ["", "Traceback", '{"reached": true}'])
def test_canary_without_an_observation_is_a_testbed_failure(
    network: ClosedNetwork, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    plant_outputs(monkeypatch, BEACON, output, output)
    with pytest.raises(TestbedFailure) as raised:
        canary.prove_closed(network, IMAGE)
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "canary")


def test_beacon_that_ends_during_the_observation_is_a_testbed_failure(
    network: ClosedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_outputs(monkeypatch, BEACON, OPEN.model_dump_json(), CLOSED.model_dump_json())
    ended = ContainerState(status="exited", exit_code=1)
    monkeypatch.setattr(canary, "read_state", lambda _: ended)
    with pytest.raises(TestbedFailure) as raised:
        canary.prove_closed(network, IMAGE)
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "canary")


def test_lost_engine_is_a_testbed_failure(
    network: ClosedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logs(*_: object, **__: bool) -> None:
        raise docker.errors.DockerException("no answer")

    monkeypatch.setattr("docker.models.containers.Container.logs", logs)
    with pytest.raises(TestbedFailure, match="no answer") as raised:
        canary.prove_closed(network, IMAGE)
    assert raised.value.cause == "machine-lost"
