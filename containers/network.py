"""The closed network of a run. All containers on it belong to one engine and one run."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import trustme
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network

from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS
from verification.models.base import Model
from verification.models.errors import TestbedFailure
from verification.models.testbed import Image

# The image of the library's reaper may be unavailable. The labels and the sweep replace it.
testcontainers_config.ryuk_disabled = True
_SECONDS = 60
"""The time limit for a response of the engine; the default of the library."""


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


def new_container(engine: Engine, image: Image) -> DockerContainer:
    """Return a new container of ``image`` on ``engine``, not yet started."""
    container = DockerContainer(image.tag, docker_client_kw=engine.library_arguments())
    _replace_client(container.get_docker_client(), engine)
    return container


def _replace_client(library: DockerClient, engine: Engine) -> None:
    """Make an object of testcontainers use the client that repeats requests."""
    library.client.close()
    library.client = engine.client(_SECONDS)


@contextlib.contextmanager
def new_network(engine: Engine, run: Run, *, internal: bool = True) -> Iterator[Network]:
    """Create a network with the run's labels, and remove it at the end.

    Raises:
        TestbedFailure: ``machine-lost``: the engine cannot create it.
    """
    try:
        network = Network(
            docker_client_kw=engine.library_arguments(),
            docker_network_kw={"internal": internal, "labels": run.labels()},
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
def closed_network(engine: Engine, run: Run, *, internal: bool = True) -> Iterator[ClosedNetwork]:
    """Create the network of a run and its CA. ``internal=False`` plants an open network for tests.

    Raises:
        TestbedFailure: ``machine-lost``: the engine cannot create the network.
    """
    with new_network(engine, run, internal=internal) as network:
        yield ClosedNetwork(engine, run, network, trustme.CA(organization_name="quiverdb-e2e"))
