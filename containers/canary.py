"""The canary: prove in every run that a machine has no egress, and that the proof detects egress.

A beacon listens outside the networks of the engine, behind a separate veth pair. It cannot be on a
bridge of the engine, because the engine isolates its bridges from each other even if they are open.
The canary must reach the beacon from an open network. Otherwise it cannot distinguish an open
network from a closed one. It must not reach the beacon from the network of the machines.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

from testcontainers.core.container import DockerContainer

from containers.commands import execute, read_state, remove
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS, engine_failure
from containers.network import ClosedNetwork, new_container, new_network
from verification.models.base import DataError, parse_json
from verification.models.errors import TestbedFailure
from verification.models.testbed import EgressProof, Image, NetworkObservation

_PORT = 8765
_BEACON = f"""
import socket
listener = socket.create_server(("", {_PORT}))
while True:
    listener.accept()[0].close()
"""
# A name below .invalid never exists (RFC 2606). A resolver that reaches an outside server returns
# EAI_NONAME (no such name). A resolver that reaches none returns EAI_AGAIN (temporary failure).
_OBSERVE = """
import json, socket, sys, threading
result = {"reached": False, "resolver": sys.argv[3]}
def reach():
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5).close()
        result["reached"] = True
    except OSError:
        pass
connection = threading.Thread(target=reach)
connection.start()
if result["resolver"] == "closed":
    try:
        socket.getaddrinfo("canary.invalid", 443)
        result["resolver"] = "open"
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            result["resolver"] = "open"
connection.join()
print(json.dumps(result))
"""


def prove_closed(network: ClosedNetwork, image: Image) -> EgressProof:
    """Prove that machines on ``network`` have no egress. Return the observations as evidence.

    Raises:
        TestbedFailure: ``egress-open``: the network has an egress, or the canary cannot detect one.
            ``machine-lost``: the canary or its beacon failed.
    """
    engine, run = network.engine, network.run
    beacon = (
        new_container(engine, image)
        .with_command(["python3", "-c", _BEACON])
        .with_kwargs(
            labels=run.labels(),
            network=None,  # otherwise the library selects a network
            network_mode="none",
            user="root",
            cap_add=["NET_ADMIN"],
            init=True,
        )
    )
    with contextlib.ExitStack() as stack:
        try:
            outside = stack.enter_context(new_network(engine, run, internal=False))
            stack.callback(remove, beacon)
            beacon.start()
            address = _connect(engine, run, image, beacon)
            control_canary = _canary(engine, run, image, outside.name)
            canary = _canary(engine, run, image, network.name, resolver="127.0.0.1")
            with ThreadPoolExecutor(2) as pool:
                observations = (
                    pool.submit(_observe, control_canary, address, "not asked"),
                    pool.submit(_observe, canary, address, "closed"),
                )
                control, observed = (observation.result() for observation in observations)
        except (*ENGINE_ERRORS, OSError) as error:
            raise engine_failure(error, "machine-lost", "canary") from error
        beacon_failure = read_state(beacon.get_wrapped_container()).failure
    if beacon_failure:
        raise TestbedFailure("machine-lost", "canary", f"the beacon: {beacon_failure}")
    if not control.reached:
        raise TestbedFailure(
            "egress-open",
            "canary",
            "the canary cannot reach its beacon from an open network, so it cannot prove that a "
            "network is closed. Check the engine's bridge and the firewall",
        )
    if observed.egress:
        raise TestbedFailure("egress-open", "canary", "; ".join(observed.egress))
    return EgressProof(open=control, machines=observed)


def _connect(engine: Engine, run: Run, image: Image, beacon: DockerContainer) -> str:
    """Connect the engine's host to the beacon with a veth pair. Return the beacon's address.

    The pair disappears with the beacon's network namespace. The addresses are in the range for
    benchmarks, which no network routes (RFC 2544). Each run has four of these addresses.
    """
    wrapped = beacon.get_wrapped_container()
    wrapped.reload()
    first = int(run.id[:4], 16) * 4 % 65536
    subnet = f"198.18.{first // 256}"
    host_address = f"{subnet}.{first % 256 + 1}"
    beacon_address = f"{subnet}.{first % 256 + 2}"
    interface = f"e2e{run.id}"
    script = (
        f"ip link add {interface} type veth peer name eth1 netns {wrapped.attrs['State']['Pid']}"
        f" && ip address add {host_address}/30 dev {interface} && ip link set {interface} up"
    )
    connector = (
        new_container(engine, image)
        .with_command(["sh", "-c", script])
        .with_kwargs(
            labels=run.labels(),
            user="root",
            network=None,
            network_mode="host",
            pid_mode="host",
            cap_add=["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"],  # to enter the beacon's namespace
            security_opt=["apparmor=unconfined"],
        )
    )
    try:
        connector.start()
        exit_status = connector.get_wrapped_container().wait(timeout=30)
        if exit_status["StatusCode"]:
            output = connector.get_wrapped_container().logs().decode("utf-8", "replace")
            raise TestbedFailure("machine-lost", "canary", f"cannot connect the beacon: {output}")
    finally:
        remove(connector)
    result = execute(
        wrapped,
        [
            "sh",
            "-c",
            f"ip address add {beacon_address}/30 dev eth1 && ip link set eth1 up"
            f" && ip route add default via {host_address}",
        ],
    )
    if result.code:
        raise TestbedFailure("machine-lost", "canary", result.output.strip())
    return beacon_address


def _canary(
    engine: Engine, run: Run, image: Image, network: str, *, resolver: str | None = None
) -> DockerContainer:
    return (
        new_container(engine, image)
        .with_command("sleep infinity")
        .with_kwargs(
            network=network,
            labels=run.labels(),
            init=True,
            dns=[resolver] if resolver else None,
            dns_opt=["timeout:2", "attempts:1"],  # by default a query ends after ten seconds
        )
    )


def _observe(canary: DockerContainer, address: str, resolver: str) -> NetworkObservation:
    try:
        canary.start()
        result = execute(
            canary.get_wrapped_container(),
            ["python3", "-c", _OBSERVE, address, str(_PORT), resolver],
        )
    finally:
        remove(canary)
    try:
        return parse_json(NetworkObservation, result.output, "canary")
    except DataError:
        raise TestbedFailure(
            "machine-lost", "canary", f"exit code {result.code}: {result.output[-300:]}"
        ) from None
