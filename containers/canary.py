"""The canary: prove in every run that a machine has no egress, and that the proof detects egress.

A beacon listens on every address of the engine's host. The canary tries all of them from two
networks, and observes whether the gateway of each network answers. From an open network it must get
an answer. Otherwise it cannot distinguish an open network from a closed one. From the network of
the machines it must get none.

Beacon and canary run without any capability, as an account without rights. The beacon uses the
network of the host, because the addresses of the host exist only there. If the engine refuses this,
it is not proved that the network is closed.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker.errors
from pydantic import Field
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from containers.commands import read_state, remove, split_lines
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS, engine_failure, reason_of
from containers.network import ClosedNetwork, gateways, new_container, new_network
from verification.models.base import DataError, Model, parse_json
from verification.models.errors import TestbedFailure
from verification.models.testbed import EgressProof, Image, NetworkObservation

_SECONDS = 60
"""The beacon ends after this time, also if nothing removes it."""
_NOBODY = "65534:65534"
# Listen on all addresses of the host, at a port that the kernel selects. Print the port and the
# addresses: local ones in the routing table (proc(5), /proc/net/fib_trie), and /proc/net/if_inet6.
_BEACON = f"""
import json, re, socket, time
listener = socket.create_server(
    ("", 0),
    family=socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET,
    dualstack_ipv6=socket.has_dualstack_ipv6(),
    backlog=512,
)
addresses = set(re.findall(r"-- (\\S+)\\n\\s+/32 host LOCAL", open("/proc/net/fib_trie").read()))
try:
    for line in open("/proc/net/if_inet6"):
        addresses.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])))
except FileNotFoundError:
    pass  # the host has no IPv6
addresses = [a for a in sorted(addresses) if a != "::1" and not a.startswith("127.")]
print(json.dumps({{"port": listener.getsockname()[1], "addresses": addresses}}), flush=True)
end = time.monotonic() + {_SECONDS}
while (seconds := end - time.monotonic()) > 0:
    listener.settimeout(seconds)
    try:
        listener.accept()[0].close()
    except OSError:
        pass
"""
# Connect to all addresses at the same time. A connection that is refused without delay must not
# wait for the event loop, because its socket would look connected. A link-local IPv6 address needs
# an interface. Of the addresses on the network of the canary, only those that answered ARP are
# complete (0x2) in /proc/net/arp.
# A name below .invalid never exists (RFC 2606). A resolver that reaches an outside server returns
# EAI_NONAME (no such name). A resolver that reaches none returns EAI_AGAIN (temporary failure).
_OBSERVE = """
import errno, json, selectors, socket, struct, sys, threading, time
port, resolver, *addresses = int(sys.argv[1]), *sys.argv[2:]
gateway = ""
for line in open("/proc/net/route").readlines()[1:]:
    fields = line.split()
    if fields[1] == fields[7] == "00000000":
        gateway = socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
names = [name for _, name in socket.if_nameindex() if name != "lo"]
pending, answered = selectors.DefaultSelector(), set()
for address in dict.fromkeys([*addresses, gateway] if gateway else addresses):
    link_local = address.lower().startswith("fe80:")
    for target in [f"{address}%{name}" for name in names] if link_local else [address]:
        try:
            (family, kind, _, _, name), *_ = socket.getaddrinfo(
                target, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
            attempt = socket.socket(family, kind)
            attempt.setblocking(False)
            if attempt.connect_ex(name) == errno.EINPROGRESS:
                pending.register(attempt, selectors.EVENT_WRITE, address)
        except OSError:
            pass
names_resolved = []
def resolve():
    try:
        socket.getaddrinfo("canary.invalid", 443)
        names_resolved.append(True)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            names_resolved.append(True)
lookup = threading.Thread(target=resolve)
if resolver == "closed":
    lookup.start()
end = time.monotonic() + 1.5
while pending.get_map() and (seconds := end - time.monotonic()) > 0:
    for key, _ in pending.select(seconds):
        pending.unregister(key.fileobj)
        try:
            key.fileobj.getpeername()
            answered.add(key.data)
        except OSError:
            pass
reached = bool(answered)
for line in open("/proc/net/arp").readlines()[1:]:
    fields = line.split()
    if int(fields[2], 16) & 2 and fields[0] in {gateway, *addresses}:
        answered.add(fields[0])
if resolver == "closed":
    lookup.join()
    resolver = "open" if names_resolved else "closed"
print(json.dumps({
    "reached": reached,
    "resolver": resolver,
    "addresses": sorted(answered),
    "gateway": gateway,
}))
"""


class Beacon(Model):
    """The address of a running beacon."""

    port: int
    addresses: tuple[str, ...] = Field(min_length=1)
    """The addresses of the engine's host, except those of its loopback interface."""


class _Refused(Exception):
    """The engine refuses what the proof needs, with the reason."""


def prove_closed(network: ClosedNetwork, image: Image) -> EgressProof:
    """Prove that machines on ``network`` have no egress. Return the observations as evidence.

    If the engine refuses what the proof needs, the result says why the closure is not proved.

    Raises:
        TestbedFailure: ``egress-open``: the network has an egress. ``machine-lost``: the canary or
            its beacon failed.
    """
    engine, run = network.engine, network.run
    try:
        with contextlib.ExitStack() as stack:
            outside = stack.enter_context(new_network(engine, run, internal=False))
            container = _container(engine, run, image, _BEACON, network=None, network_mode="host")
            stack.callback(remove, container)
            beacon = _start_beacon(container)
            with ThreadPoolExecutor(2) as pool:
                observations = (
                    pool.submit(_observe, engine, run, image, outside, beacon, "not asked"),
                    pool.submit(_observe, engine, run, image, network.network, beacon, "closed"),
                )
                control, observed = (observation.result() for observation in observations)
            failure = read_state(container.get_wrapped_container()).failure
    except _Refused as reason:
        return EgressProof(not_proved=str(reason))
    except (*ENGINE_ERRORS, OSError) as error:
        raise engine_failure(error, "machine-lost", "canary") from error
    if failure:
        raise TestbedFailure("machine-lost", "canary", f"the beacon: {failure}")
    return judge(control, observed, hides_host=network.hides_host)


def judge(
    control: NetworkObservation, observed: NetworkObservation, *, hides_host: bool
) -> EgressProof:
    """Return the proof from the observations on an open network and on that of the machines.

    ``hides_host`` is False if the engine cannot close the network of the machines towards its host.
    Then the proof has the addresses of the host that machines reach.

    Raises:
        TestbedFailure: ``egress-open``: the network of the machines has an egress.
    """
    closes = hides_host or observed.is_routed or observed.resolver == "open"
    if observed.egress and closes:
        facts = {"addresses": observed.addresses}
        raise TestbedFailure("egress-open", "canary", "; ".join(observed.egress), facts)
    reason = (
        "from an open network, neither the gateway nor the beacon answers the canary. Then it "
        "cannot detect that a network is open"
    )
    return EgressProof(
        open=control,
        machines=observed,
        not_proved="" if control.egress else reason,
        reachable=observed.addresses,
    )


def _start_beacon(container: DockerContainer) -> Beacon:
    """Start the beacon.

    Raises:
        _Refused: the engine does not start it on the network of the host, or it prints no address.
    """
    try:
        container.start()
    except docker.errors.NotFound:
        raise  # the image is missing
    except docker.errors.APIError as error:
        reason = reason_of(error)
        message = f"the engine refuses a container on the network of its host: {reason}"
        raise _Refused(message) from error
    lines = split_lines(container.get_wrapped_container().logs(stream=True, follow=True))
    line = next(lines, b"").decode("utf-8", "replace")
    try:
        return parse_json(Beacon, line, "beacon")
    except DataError:
        message = f"the beacon on the network of the engine's host does not run: {line[-300:]}"
        raise _Refused(message) from None


def _observe(
    engine: Engine, run: Run, image: Image, network: Network, beacon: Beacon, resolver: str
) -> NetworkObservation:
    canary = _container(
        engine,
        run,
        image,
        _OBSERVE,
        str(beacon.port),
        resolver,
        *beacon.addresses,
        *gateways(network),  # the beacon may run elsewhere than the gateways of a rootless engine
        network=network.name,
        # The address of a resolver that does not exist, as on a machine.
        dns=["127.0.0.1"] if resolver == "closed" else None,
        dns_opt=["timeout:2", "attempts:1"],  # by default a query ends after ten seconds
    )
    try:
        canary.start()
        output = b"".join(canary.get_wrapped_container().logs(stream=True, follow=True))
    finally:
        remove(canary)
    text = output.decode("utf-8", "replace")
    try:
        return parse_json(NetworkObservation, text, "canary")
    except DataError:
        raise TestbedFailure("machine-lost", "canary", f"no observation: {text[-300:]}") from None


def _container(
    engine: Engine, run: Run, image: Image, script: str, *arguments: str, **options: Any
) -> DockerContainer:
    """Return a container that runs a Python script without any capability, not yet started."""
    return (
        new_container(engine, image)
        .with_command(["python3", "-c", script, *arguments])
        .with_kwargs(
            labels=run.labels(),
            user=_NOBODY,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            **options,
        )
    )
