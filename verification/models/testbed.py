"""The records of the testbed: images, containers, host names, uploads, and the egress proof."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
    packages: tuple[str, ...] = ()
    """What was downloaded for it and is not fixed by its tag, as ``name=version``, sorted."""

    def record(self) -> ImageRecord:
        """Return the record of the image for a report."""
        text = "".join(f"{package}\n" for package in self.packages)
        digest = hashlib.sha256(text.encode()).hexdigest() if text else ""
        return ImageRecord(tag=self.tag, id=self.id, created=self.created, packages=digest)


class ImageRecord(Model):
    """A container image that the run used."""

    tag: str = Field(description="Ends with the hash of its recipe.")
    id: str
    """The engine's id of the image."""
    created: str
    """When it was made (ISO 8601)."""
    packages: str = Field(
        default="",
        description="The sha256 of the list of its packages with versions; empty without a list.",
    )

    def is_equal(self, other: ImageRecord) -> bool:
        """Return True if both are the same image, or builds of one recipe with equal packages."""
        has_equal_packages = bool(self.packages) and self.packages == other.packages
        return self.tag == other.tag and (self.id == other.id or has_equal_packages)


class TestbedFailureRecord(Model):
    """A failure of the testbed. ``cause`` is a name in `causes.toml`."""

    __test__ = False  # pytest must not collect it, although its name starts with Test
    cause: str
    """The name of the cause."""
    where: str
    """The part of the testbed that failed."""
    observed: str
    """What was observed, in one line."""
    facts: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict, description="The values in this line, by name."
    )

    @classmethod
    def of(cls, failure: TestbedFailure) -> TestbedFailureRecord:
        """Return the record of a failure."""
        return cls(
            cause=failure.cause,
            where=failure.where,
            observed=failure.message,
            facts=failure.facts,
        )


class ContainerState(Model):
    """The state of a container of the testbed, as the engine reports it."""

    status: str
    """The engine's word, such as running or exited; gone if the engine has no such container."""
    exit_code: int | None = None
    """None while it runs, and if it is gone."""
    out_of_memory: bool = False
    """True if the kernel killed one of its processes because memory ran out."""
    met_limit: Literal["", "processes", "disk"] = ""
    """Another limit that it met; empty if it met none, or if the limits were not read."""

    @property
    def failure(self) -> str:
        """The reason why the container is unusable; empty if it runs without a fault."""
        if self.out_of_memory:
            return "memory ran out, and the kernel killed a process in its container"
        if self.met_limit:
            return f"its container met its limit ({self.met_limit})"
        if self.status == "running":
            return ""
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        return f"its container is {self.status}{code}"

    def cause(self, default: str) -> str:
        """Return the name of the cause of `failure`: ``default``, or that of a met limit."""
        return "testbed-limit" if self.out_of_memory or self.met_limit else default


class IndexHosts(Model):
    """The host names of the default index in the settings of pip and twine."""

    index: str
    files: str
    upload: str

    def all(self) -> list[str]:
        """Return the distinct names."""
        return sorted({self.index, self.files, self.upload})


class Upload(Model):
    """A run of twine: its command, exit code and output."""

    command: tuple[str, ...]
    code: int
    output: str
    refusals: tuple[str, ...] = ()
    """The reasons in the log of the index why it refused files."""


class NetworkObservation(Model):
    """The observations of the canary on one network."""

    reached: bool
    """True if the canary reached the beacon outside the network."""
    resolver: Literal["closed", "open", "not asked"]
    """Whether external names are resolved. The canary does not ask on the open network, because a
    response can take ten seconds."""
    addresses: tuple[str, ...] = Field(
        default=(),
        description="The addresses outside the network that answered: the beacon accepted a "
        "connection there, or the address resolved (ARP).",
    )
    gateway: str = Field(
        default="", description="The gateway of the default route; empty if there is no such route."
    )

    @property
    def is_routed(self) -> bool:
        """True if the gateway answers, so that packets can leave for other networks."""
        return self.gateway in self.addresses

    @property
    def egress(self) -> tuple[str, ...]:
        """A description of each observed egress; empty if the network is closed."""
        names = ", ".join(self.addresses)
        routes = [f"the canary reached {names or 'the beacon'}"] if self._answered else []
        if self.resolver == "open":
            routes.append("external names are resolved")
        return tuple(routes)

    @property
    def _answered(self) -> bool:
        return self.reached or bool(self.addresses)


class EgressProof(Model):
    """The proof that a machine has no egress, and that the canary would detect one."""

    open: NetworkObservation | None = None
    """The observations on an ordinary network; null if the canary did not run there."""
    machines: NetworkObservation | None = None
    """The observations on the machines' network; null if the canary did not run there."""
    not_proved: str = Field(
        default="",
        description="Why it is not proved that the network is closed; empty if this is proved.",
    )
    reachable: tuple[str, ...] = Field(
        default=(),
        description="The addresses of the engine's host that machines reach, because the engine "
        "cannot close its network towards its host.",
    )
