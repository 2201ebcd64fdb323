"""The closed network of a run. All containers on it belong to one engine and one run."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import trustme
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network

from containers import limits
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS, failing_as
from verification.models.base import Model
from verification.models.errors import TestbedFailure
from verification.models.testbed import Image

# The image of the library's reaper may be unavailable. The labels and the sweep replace it.
testcontainers_config.ryuk_disabled = True
_SECONDS = 60
"""The time limit for a response of the engine; the default of the library."""

_ISOLATED_API = (1, 48)
"""The API version of Docker 28.0, the first one with the gateway mode ``isolated``."""
_ISOLATED = {
    f"com.docker.network.bridge.gateway_mode_{family}": "isolated" for family in ("ipv4", "ipv6")
}
_NO_ADDRESS = {"com.docker.network.bridge.inhibit_ipv4": "true"}


class NetworkHandle(Model):
    """The values with which another process starts machines on an existing network."""

    engine: Engine
    run: Run
    name: str
    ca_certificate: str
    """The certificate of the run's CA, PEM."""


@dataclasses.dataclass(frozen=True)
class ClosedNetwork:
    """A network of a run, with the CA that issues the certificates of its servers."""

    engine: Engine
    run: Run
    network: Network
    ca: trustme.CA
    hides_host: bool = True
    """False if the engine cannot make a network without an address of its host."""

    @property
    def name(self) -> str:
        """The network's name on the engine."""
        return self.network.name

    @property
    def ca_certificate(self) -> bytes:
        """The certificate of the run's CA, PEM."""
        return self.ca.cert_pem.bytes()

    def handle(self) -> NetworkHandle:
        """Return the values with which another process starts machines on this network."""
        return NetworkHandle(
            engine=self.engine,
            run=self.run,
            name=self.name,
            ca_certificate=self.ca_certificate.decode(),
        )

    def container(self, image: Image) -> DockerContainer:
        """Return a new container on this network, not yet started."""
        return new_container(self.engine, image).with_network(self.network)

    def limits(self, kind: limits.Kind, image: Image) -> dict[str, Any]:
        """Return the options that limit a container on this network."""
        return limits.options(self.engine, self.run, kind, image.tag)


def new_container(engine: Engine, image: Image) -> DockerContainer:
    """Return a new container of ``image`` on ``engine``, not yet started."""
    container = DockerContainer(image.tag, docker_client_kw=engine.library_arguments())
    _replace_client(container.get_docker_client(), engine)
    return container


def _replace_client(library: DockerClient, engine: Engine) -> None:
    """Make an object of testcontainers use the client that retries requests."""
    library.client.close()
    library.client = engine.client(_SECONDS)


def without_host(version: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the options of an internal network on which the engine's host has no address.

    ``version`` is the engine's answer to ``/version``. The result is empty if the engine has no
    such option: the name server of Podman's networks answers at the address of the host, and Podman
    refuses unknown options.

    An internal network of Docker alone is open towards the host: the host has an address on it, and
    answers there for its other addresses too (Docker documentation, "Bridge network driver").
    """
    components = [component.get("Name", "") for component in version.get("Components") or ()]
    if version["Os"] != "linux" or any("podman" in name.lower() for name in components):
        return {}
    api = tuple(map(int, str(version["ApiVersion"]).split(".")))
    return _ISOLATED if api >= _ISOLATED_API else _NO_ADDRESS


def gateways(network: Network) -> tuple[str, ...]:
    """Return the gateways of a network, as the engine reports them. They may not answer."""
    created = network._network
    ipam = (created and created.attrs.get("IPAM")) or {}
    return tuple(entry["Gateway"] for entry in ipam.get("Config") or () if entry.get("Gateway"))


@contextlib.contextmanager
def new_network(
    engine: Engine,
    run: Run,
    *,
    internal: bool = True,
    options: Mapping[str, str] | None = None,
) -> Iterator[Network]:
    """Create a network with the run's labels, and remove it at the end.

    ``options`` are the options of the network's driver.

    Raises:
        TestbedFailure: ``machine-lost``: the engine cannot create it.
    """
    try:
        network = Network(
            docker_client_kw=engine.library_arguments(),
            docker_network_kw={
                "internal": internal,
                "labels": run.labels(),
                "options": dict(options or {}),
            },
        )
        _replace_client(network._docker, engine)
        network.create()
    except ENGINE_ERRORS as error:
        raise TestbedFailure("machine-lost", "network", str(error)) from error
    try:
        yield network
    finally:
        # If the engine fails now, the sweep removes the network by its label.
        with contextlib.suppress(*ENGINE_ERRORS):
            network.remove()
        network._docker.client.close()  # the library leaves its connection open


@contextlib.contextmanager
def closed_network(
    engine: Engine, run: Run, *, internal: bool = True, hide_host: bool = True
) -> Iterator[ClosedNetwork]:
    """Create the network of a run and its CA.

    For tests, ``internal=False`` plants an open network, and ``hide_host=False`` an internal one on
    which the host has an address.

    Raises:
        TestbedFailure: ``machine-lost``: the engine cannot create the network.
    """
    with failing_as("machine-lost", "network"), contextlib.closing(engine.client()) as client:
        options = without_host(client.version())
    used = options if internal and hide_host else {}
    with new_network(engine, run, internal=internal, options=used) as network:
        ca = trustme.CA(organization_name="Local")
        yield ClosedNetwork(engine, run, network, ca, hides_host=bool(options))
