"""A testbed: one closed network with the index on it, where clean machines are started."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import docker.errors
import requests
import trustme
from testcontainers.core.config import testcontainers_config
from testcontainers.core.network import Network

from containers import canary
from containers.engine import Engine, Run
from containers.images import Image
from containers.index import Hosts, Index, Publisher, Upload, read_log
from containers.machine import Machine
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec

# The reaper's image cannot be had everywhere; the labels and the sweep do its work.
testcontainers_config.ryuk_disabled = True


@dataclasses.dataclass(frozen=True)
class Testbed:
    """A running testbed, as plain values: another process can start machines on it too."""

    __test__ = False

    engine: Engine
    run: Run
    network: str
    index: str
    """The engine's id of the index's container."""
    authority: str
    """The certificate of the run's own authority, PEM."""
    hosts: dict[str, str]
    uploads: tuple[Upload, ...]
    egress: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the values, for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the testbed that another process told of."""
        return cls(
            **values
            | {
                "engine": Engine(**values["engine"]),
                "run": Run(**values["run"]),
                "uploads": tuple(
                    Upload(**told | {"command": tuple(told["command"])})
                    for told in values["uploads"]
                ),
            }
        )

    def machine(
        self,
        spec: MachineSpec,
        image: Image,
        environment: dict[str, str] | None = None,
        tmpfs: dict[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Machine:
        """Return a clean machine on this testbed's network, not yet started.

        ``tmpfs`` are mount options by folder, ``files`` are put into the suite's own folder.
        """
        use(self.engine)
        return Machine(
            spec,
            image,
            network=self.network,
            run=self.run,
            authority=self.authority.encode(),
            environment=environment,
            tmpfs=tmpfs,
            files=files,
            engine=self.engine,
        )

    def requests(self, machine: Machine) -> list[dict[str, Any]]:
        """Return what a running machine asked of the index, oldest first."""
        use(self.engine)
        # An address is given to another machine once this one is gone.
        address, since = machine.lease()
        return read_log(machine.client, self.index, since, address)


def use(engine: Engine) -> None:
    """Point the container library, which asks the environment, at ``engine``."""
    os.environ.update(engine.environment())


@dataclasses.dataclass(frozen=True)
class Images:
    """The images every testbed needs."""

    index: Image
    publisher: Image


@dataclasses.dataclass(frozen=True)
class ClosedNetwork:
    """The machines' network, and what begins on it before there are wheels."""

    network: Network
    authority: trustme.CA
    """The run's own."""
    publisher: Future[tuple[Publisher, Hosts]]
    """The machine that uploads, once it runs, and where its clients go by default."""
    proof: Future[dict[str, Any]] | None
    """That the network is closed, once the canary has it."""


@contextlib.contextmanager
def closed_network(
    engine: Engine, run: Run, image: Image, *, internal: bool = True, prove: bool = True
) -> Iterator[ClosedNetwork]:
    """Make a network, which is removed at the end with what began on it.

    The publisher and the canary are made of ``image``. What goes wrong with them is for who asks
    for their results.

    Raises:
        TestbedFailure: ``machine-lost``: there is no network.
    """
    use(engine)
    authority = trustme.CA(organization_name="quiverdb-e2e")
    network = Network(docker_network_kw={"internal": internal, "labels": run.labels()})
    with contextlib.ExitStack() as stack:
        try:
            network.create()
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise TestbedFailure("machine-lost", "network", str(error)) from error
        stack.callback(remove_network, network)
        publisher = Publisher(image, network, run, authority)
        stack.callback(publisher.close)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        proof = pool.submit(canary.prove_closed, image, network.name, run) if prove else None
        yield ClosedNetwork(network, authority, pool.submit(_begin, publisher), proof)


def _begin(publisher: Publisher) -> tuple[Publisher, Hosts]:
    started = publisher.__enter__()  # it is closed with its network
    return started, started.hosts()


@contextlib.contextmanager
def start(
    engine: Engine,
    run: Run,
    images: Images,
    *,
    wheels: Sequence[Path],
    dependencies: Sequence[Path],
    faults: Sequence[dict[str, Any]] = (),
    yanked: Mapping[str, str] | None = None,
    internal: bool = True,
    prove: bool = True,
    project: str = "quiverdb",
    closed: ClosedNetwork | None = None,
) -> Iterator[Testbed]:
    """Start a testbed, publish ``wheels`` on its index with twine, and remove it all at the end.

    ``dependencies`` are on the index from the start; ``yanked`` tells, of those withdrawn, the
    reason by file name. ``faults`` and ``internal=False`` plant faults for tests.
    ``project`` is whose wheels the index takes.
    ``prove=False`` leaves the canary out, where another testbed of the run had it. ``closed`` is
    the network, where there is one already.

    Raises:
        TestbedFailure: ``egress-open``, ``index-unreachable`` or ``machine-lost``.
    """
    use(engine)
    with contextlib.ExitStack() as stack:
        closed = closed or stack.enter_context(
            closed_network(engine, run, images.publisher, internal=internal, prove=prove)
        )
        publisher, hosts = closed.publisher.result()
        index = stack.enter_context(
            Index(
                images.index,
                closed.network,
                run,
                closed.authority,
                hosts,
                store=dependencies,
                faults=faults,
                yanked=yanked,
                project=project,
            )
        )
        uploads = (publisher.upload(wheels, index.password),) if wheels else ()
        publisher.close()
        yield Testbed(
            engine=engine,
            run=run,
            network=closed.network.name,
            index=index.id,
            authority=closed.authority.cert_pem.bytes().decode(),
            hosts=dataclasses.asdict(index.hosts),
            uploads=uploads,
            egress=closed.proof.result() if closed.proof else {},
        )


def remove_network(network: Network) -> None:
    """Remove it, and close its connection to the engine; harmless if it is gone."""
    with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
        network.remove()  # what cannot be removed now carries our label: the sweep takes it
    network._docker.client.close()  # the library leaves its connection open
