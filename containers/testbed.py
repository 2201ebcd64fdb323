"""A testbed: one closed network with the index, on which clean machines start."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from containers import canary
from containers.engine import Engine, Run
from containers.index import Index, IndexContents, UploadMachine, publish, read_log
from containers.machine import Machine, MachineSetup
from containers.network import ClosedNetwork, NetworkHandle, closed_network
from verification.models.base import Model
from verification.models.errors import TestbedFailure
from verification.models.index_log import IndexRequest
from verification.models.limits import LimitsInForce
from verification.models.machine import MachineSpec
from verification.models.testbed import EgressProof, Image, IndexHosts, Upload


class Testbed(Model):
    """A running testbed, as plain values. Another process can start machines on it as well."""

    __test__ = False

    network: NetworkHandle
    index: str
    """The engine's id of the index's container."""
    hosts: IndexHosts
    uploads: tuple[Upload, ...] = ()
    limits: tuple[LimitsInForce, ...] = ()
    """The limits of the index that are in force."""
    egress: EgressProof | None = None
    """The proof that machines have no egress, or why there is none. None if another testbed of the
    run has it."""

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

    @contextlib.contextmanager
    def recorded_requests(
        self, machine: Machine, keep: Callable[[list[IndexRequest]], None]
    ) -> Iterator[None]:
        """Pass the requests of a running machine to ``keep`` at the end, oldest first.

        They are also recorded if the block raises `TestbedFailure`, because the machine is lost.

        Raises:
            TestbedFailure: ``machine-lost``; ``index-unreachable``.
        """
        # A machine that has ended has no address. Another one may have had the address before.
        address, start_time = machine.address_and_start_time()
        try:
            yield
        except TestbedFailure:
            keep(read_log(machine.client, self.index, start_time, address))
            raise
        keep(read_log(machine.client, self.index, start_time, address))


@dataclasses.dataclass(frozen=True)
class PreparedNetwork:
    """A closed network, with its upload machine and its canary, which need no wheels."""

    closed: ClosedNetwork
    upload_machine: Future[tuple[UploadMachine, IndexHosts]]
    """The running upload machine, and the default host names of its clients."""
    proof: Future[EgressProof] | None
    """The proof that the network is closed. None if the canary is omitted."""


@contextlib.contextmanager
def prepare_network(
    engine: Engine, run: Run, image: Image, *, prove: bool = True
) -> Iterator[PreparedNetwork]:
    """Create a network, and start the upload machine and the canary. Remove them at the end.

    ``image`` is the image of both. The futures of `PreparedNetwork` raise the errors of both.
    ``prove=False`` omits the canary, if another testbed of the run has the proof.

    Raises:
        TestbedFailure: ``machine-lost``: the engine cannot create the network.
    """
    with contextlib.ExitStack() as stack:
        closed = stack.enter_context(closed_network(engine, run))
        upload_machine = UploadMachine(image, closed)
        stack.callback(upload_machine.close)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        proof = pool.submit(canary.prove_closed, closed, image) if prove else None
        yield PreparedNetwork(closed, pool.submit(_start, upload_machine), proof)


def _start(upload_machine: UploadMachine) -> tuple[UploadMachine, IndexHosts]:
    upload_machine.__enter__()  # closed with its network
    return upload_machine, upload_machine.hosts()


@contextlib.contextmanager
def start(
    network: PreparedNetwork, index_image: Image, contents: IndexContents, wheels: Sequence[Path]
) -> Iterator[Testbed]:
    """Start an index and publish ``wheels`` on it with twine. Remove the index at the end.

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
            limits=(index.limits(),),
            egress=network.proof.result() if network.proof else None,
        )
