"""A testbed: one closed network with the index, on which clean machines start."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from containers import canary
from containers.engine import Engine, Run
from containers.index import Index, IndexContents, UploadMachine, publish, read_log
from containers.machine import Machine, MachineSetup
from containers.network import ClosedNetwork, NetworkHandle, closed_network
from verification.models.base import Model
from verification.models.index_log import IndexRequest
from verification.models.machine import MachineSpec
from verification.models.testbed import EgressProof, Image, IndexHosts, Upload


class Testbed(Model):
    """A running testbed, as plain values: another process can start machines on it too."""

    __test__ = False

    network: NetworkHandle
    index: str
    """The engine's id of the index's container."""
    hosts: IndexHosts
    uploads: tuple[Upload, ...] = ()
    egress: EgressProof | None = None
    """None where another testbed of the run has the proof."""

    @property
    def engine(self) -> Engine:
        """The engine that it runs on."""
        return self.network.engine

    @property
    def run(self) -> Run:
        """The run that it belongs to."""
        return self.network.run

    def machine(
        self, spec: MachineSpec, image: Image, setup: MachineSetup | None = None
    ) -> Machine:
        """Return a clean machine on this testbed's network, not yet started."""
        return Machine(spec, image, self.network, setup)

    def requests(self, machine: Machine) -> list[IndexRequest]:
        """Return what a running machine asked of the index, oldest first."""
        # An address is given to another machine once this one is gone.
        address, since = machine.address_and_start()
        return read_log(machine.client, self.index, since, address)


@dataclasses.dataclass(frozen=True)
class PreparedNetwork:
    """A closed network, and what starts on it before there are wheels."""

    closed: ClosedNetwork
    upload_machine: Future[tuple[UploadMachine, IndexHosts]]
    """The machine that uploads, once it runs, and where its clients go by default."""
    proof: Future[EgressProof] | None
    """The proof that the network is closed, once the canary has it."""


@contextlib.contextmanager
def prepare_network(
    engine: Engine, run: Run, image: Image, *, internal: bool = True, prove: bool = True
) -> Iterator[PreparedNetwork]:
    """Make a network, which is removed at the end with what started on it.

    The upload machine and the canary are made of ``image``. What goes wrong with them is raised by
    their results. ``internal=False`` plants an open network for tests. ``prove=False`` leaves the
    canary out, where another testbed of the run has the proof.

    Raises:
        TestbedFailure: ``machine-lost``: there is no network.
    """
    with contextlib.ExitStack() as stack:
        closed = stack.enter_context(closed_network(engine, run, internal=internal))
        upload_machine = UploadMachine(image, closed)
        stack.callback(upload_machine.close)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        proof = pool.submit(canary.prove_closed, closed, image) if prove else None
        yield PreparedNetwork(closed, pool.submit(_start, upload_machine), proof)


def _start(upload_machine: UploadMachine) -> tuple[UploadMachine, IndexHosts]:
    started = upload_machine.__enter__()  # it is closed with its network
    return started, started.hosts()


@contextlib.contextmanager
def start(
    network: PreparedNetwork, index_image: Image, contents: IndexContents, wheels: Sequence[Path]
) -> Iterator[Testbed]:
    """Start an index, publish ``wheels`` on it with twine, and remove it at the end.

    Raises:
        TestbedFailure: ``egress-open``, ``index-unreachable`` or ``machine-lost``.
    """
    upload_machine, hosts = network.upload_machine.result()
    with Index(index_image, network.closed, hosts, contents) as index:
        client = network.closed.engine.client()
        with contextlib.closing(client):
            uploads = (publish(upload_machine, index, client, wheels),) if wheels else ()
        upload_machine.close()
        yield Testbed(
            network=network.closed.handle(),
            index=index.id,
            hosts=hosts,
            uploads=uploads,
            egress=network.proof.result() if network.proof else None,
        )
