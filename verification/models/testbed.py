"""What a run records about its testbed: images, hosts, uploads and the proof of no egress."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.errors import TestbedFailure


class Image(Model):
    """An image that is on the engine."""

    name: str
    """The name of its recipe."""
    tag: str
    id: str
    created: str


class ImageRecord(Model):
    """A container image that the run used."""

    tag: str = Field(description="Ends with the hash of its recipe.")
    id: str
    created: str


class TestbedFailureRecord(Model):
    """A failure of the testbed: its cause in the catalogue, its place, and what was observed."""

    __test__ = False  # the name begins like a test class; pytest must not collect it
    cause: str
    where: str
    observed: str

    @classmethod
    def of(cls, failure: TestbedFailure) -> TestbedFailureRecord:
        """Return the record of a failure."""
        return cls(cause=failure.cause, where=failure.where, observed=failure.observed)


class ContainerState(Model):
    """The state of a container of the testbed, as the engine reports it."""

    status: str
    """The engine's word, such as running or exited; gone if the engine has no such container."""
    exit_code: int | None = None
    """None while it runs, and if it is gone."""
    out_of_memory: bool = False
    """Whether the kernel killed a process in it because memory ran out."""

    @property
    def failure(self) -> str:
        """Why the container cannot be relied on; empty if it runs as it should."""
        if self.out_of_memory:
            return "memory ran out, and a process in its container was killed"
        if self.status == "running":
            return ""
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        return f"its container is {self.status}{code}"


class IndexHosts(Model):
    """The host names at which the clients look for the default index."""

    index: str
    files: str
    upload: str

    def all(self) -> list[str]:
        """Return the distinct names."""
        return sorted({self.index, self.files, self.upload})


class Upload(Model):
    """What twine did: its command, exit code and output."""

    command: tuple[str, ...]
    code: int
    output: str
    refusals: tuple[str, ...] = ()
    """The reasons with which the index refused files, from its own log."""


class NetworkObservation(Model):
    """What the canary observed from one network."""

    reached: bool
    """Whether it reached the beacon outside."""
    resolver: Literal["closed", "open", "not asked"]
    """Whether names outside are resolved. It is not asked from the open network, where an answer
    may take ten seconds."""

    @property
    def egress(self) -> tuple[str, ...]:
        """The ways out that were observed, in words; empty means closed."""
        found = ["it reached the beacon outside"] if self.reached else []
        if self.resolver == "open":
            found.append("names outside are resolved")
        return tuple(found)


class EgressProof(Model):
    """The proof that a machine has no egress, and that the canary would notice one."""

    open: NetworkObservation
    """From an ordinary network."""
    machines: NetworkObservation
    """From the machines' network."""
