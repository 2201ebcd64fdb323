"""The canary: shows in every run that a machine has no way out, and that it would notice one.

A beacon listens beyond the engine's host, on a cable of its own (a veth pair), since the engine
keeps its bridges from one another even where they are open. From an ordinary network the canary
must reach it, or it could not tell an open network from a closed one; from the machines' network it
must not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker.errors
import requests
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from containers.commands import execute, remove
from containers.engine import Run
from containers.images import Image
from verification.models.errors import TestbedFailure

_PORT = 8765
_BEACON = f"""
import socket
listener = socket.create_server(("", {_PORT}))
while True:
    listener.accept()[0].close()
"""
# A name below .invalid never exists (RFC 2606). A resolver that can ask somebody outside says so
# for certain (EAI_NONAME); one that cannot, says that it failed for now (EAI_AGAIN).
_LOOK = """
import json, socket, sys, threading
told = {"reached": False, "resolver": sys.argv[3]}
def reach():
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5).close()
        told["reached"] = True
    except OSError:
        pass
reaching = threading.Thread(target=reach)
reaching.start()
if told["resolver"] == "closed":
    try:
        socket.getaddrinfo("canary.invalid", 443)
        told["resolver"] = "open"
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            told["resolver"] = "open"
reaching.join()
print(json.dumps(told))
"""


@dataclasses.dataclass(frozen=True)
class Sighting:
    """What the canary saw from one network."""

    reached: bool
    resolver: str
    """``closed``, ``open`` or ``not asked``: a name server outside may take ten seconds."""

    @property
    def ways_out(self) -> tuple[str, ...]:
        """The ways out that were seen, in words; empty means closed."""
        found = ["it reached the beacon outside"] if self.reached else []
        if self.resolver == "open":
            found.append("names outside are resolved")
        return tuple(found)


def prove_closed(image: Image, network: str, run: Run) -> dict[str, Any]:
    """Show that machines on ``network`` have no way out; return what was seen, as evidence.

    Raises:
        TestbedFailure: ``egress-open`` with the ways out; or with the reason why the canary could
            not have noticed any.
    """
    labels = run.labels()
    outside = Network(docker_network_kw={"labels": labels})
    beacon = (
        DockerContainer(image.tag)
        .with_command(["python3", "-c", _BEACON])
        .with_kwargs(
            labels=labels, network_mode="none", user="root", cap_add=["NET_ADMIN"], init=True
        )
    )
    with contextlib.ExitStack() as stack:
        try:
            outside.create()
            stack.callback(outside._docker.client.close)  # the library leaves it open
            stack.callback(outside.remove)
            stack.callback(remove, beacon)
            beacon.start()
            address = _connect(image, beacon, run)
            with ThreadPoolExecutor(2) as pool:
                both = (
                    pool.submit(_look, image, outside.name, run, address, resolver=None),
                    pool.submit(_look, image, network, run, address, resolver=["127.0.0.1"]),
                )
                control, seen = (look.result() for look in both)
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            raise TestbedFailure("machine-lost", "canary", " ".join(str(error).split())) from error
    if not control.reached:
        raise TestbedFailure(
            "egress-open",
            "canary",
            "it does not reach its beacon from an open network either, so it cannot prove one "
            "closed; look at the engine's bridge and firewall",
        )
    if seen.ways_out:
        raise TestbedFailure("egress-open", "canary", "; ".join(seen.ways_out))
    return {"open": dataclasses.asdict(control), "machines": dataclasses.asdict(seen)}


def _connect(image: Image, beacon: DockerContainer, run: Run) -> str:
    """Lay a cable from the engine's host to the beacon; return the beacon's address.

    It goes with the beacon's network namespace. The addresses are of the range for benchmarks,
    which no network routes (RFC 2544); each run has four of its own.
    """
    wrapped = beacon.get_wrapped_container()
    wrapped.reload()
    first = int(run.id[:4], 16) * 4 % 65536
    subnet = f"198.18.{first // 256}"
    near, far = f"{subnet}.{first % 256 + 1}", f"{subnet}.{first % 256 + 2}"
    cable = f"e2e{run.id}"
    script = (
        f"ip link add {cable} type veth peer name eth1 netns {wrapped.attrs['State']['Pid']}"
        f" && ip address add {near}/30 dev {cable} && ip link set {cable} up"
    )
    layer = (
        DockerContainer(image.tag)
        .with_command(["sh", "-c", script])
        .with_kwargs(
            labels=run.labels(),
            user="root",
            network_mode="host",
            pid_mode="host",
            cap_add=["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"],  # to enter the beacon's namespace
            security_opt=["apparmor=unconfined"],
        )
    )
    try:
        layer.start()
        ended = layer.get_wrapped_container().wait(timeout=30)
        if ended["StatusCode"]:
            told = layer.get_wrapped_container().logs().decode("utf-8", "replace")
            raise TestbedFailure("machine-lost", "canary", f"no cable to its beacon: {told}")
    finally:
        remove(layer)
    done = execute(
        wrapped,
        [
            "sh",
            "-c",
            f"ip address add {far}/30 dev eth1 && ip link set eth1 up"
            f" && ip route add default via {near}",
        ],
    )
    if done.code:
        raise TestbedFailure("machine-lost", "canary", done.output.strip())
    return far


def _look(
    image: Image, network: str, run: Run, address: str, *, resolver: list[str] | None
) -> Sighting:
    canary = (
        DockerContainer(image.tag)
        .with_command("sleep infinity")
        .with_kwargs(
            network=network,
            labels=run.labels(),
            init=True,
            dns=resolver,
            dns_opt=["timeout:2", "attempts:1"],  # the engine's resolver gives up only after ten
        )
    )
    try:
        canary.start()
        looked = execute(
            canary.get_wrapped_container(),
            ["python3", "-c", _LOOK, address, str(_PORT), "closed" if resolver else "not asked"],
        )
    finally:
        remove(canary)
    try:
        return Sighting(**json.loads(looked.output))
    except (ValueError, TypeError):
        raise TestbedFailure(
            "machine-lost", "canary", f"exit {looked.code}: {looked.output[-300:]}"
        ) from None
