"""The limits of containers: what they may use, what the engine enforces, and what was met."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from verification.models.base import Model

MIB = 1 << 20


class Limits(Model):
    """What one container may use."""

    memory_mib: int
    """The memory with swap, in MiB."""
    processes: int
    """The number of processes and threads."""
    cpus: float
    """The number of processors."""
    disk_mib: int
    """The size of the written files, in MiB."""


class LimitOptions(Model):
    """The limits that a user chose. Null means the default limit of the kind of container."""

    memory_mib: int | None = Field(default=None, ge=64, description="In MiB.")
    processes: int | None = Field(default=None, ge=32)
    """The number of processes and threads."""
    cpus: float | None = Field(default=None, ge=0.1)
    """The number of processors."""
    disk_mib: int | None = Field(default=None, ge=32, description="In MiB.")


class LimitsInForce(Model):
    """The limits of a running container, read back from the engine."""

    kind: str
    """The kind of the container: a key of `containers/limits.toml`."""
    memory_mib: int | None = Field(description="In MiB; null if memory is not limited.")
    swap: bool = Field(description="True if the limit of the memory includes swap.")
    processes: int | None = Field(
        description="The number of processes and threads; null if it is not limited."
    )
    cpus: float | None = Field(description="The number of processors; null if it is not limited.")
    disk_mib: int | None = Field(description="In MiB; null if the disk is not limited.")
    disk_by: Literal["storage driver", "watchdog"]
    """What limits the disk. The watchdog measures every two seconds, or less often."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the limits that are not in force."""
        values = {
            "memory": self.memory_mib,
            "swap": self.swap or None,
            "processes": self.processes,
            "cpus": self.cpus,
            "disk": self.disk_mib,
        }
        return tuple(name for name, value in values.items() if value is None)


class LimitUsage(Model):
    """What a container used, and which of its limits it met. The kernel counts for each cgroup."""

    memory_kills: int = 0
    """The number of processes that the kernel killed because memory ran out."""
    memory_peak_mib: int | None = None
    """The most memory that was in use, in MiB, including the file cache; null if unknown."""
    refused_processes: int = 0
    """The number of processes and threads that the kernel refused to start."""
    disk_mib: int | None = None
    """The largest measured size of the written files, in MiB; null if not measured."""
    stopped: bool = False
    """True if the watchdog stopped the container."""


class LimitRecord(Model):
    """The limits of a container and what it used."""

    in_force: LimitsInForce
    """The limits, as the engine reports them."""
    usage: LimitUsage
    """What the container used, and how often it met a limit."""

    @property
    def memory_met(self) -> bool:
        """True if the container met its own limit. Memory of the host can run out as well."""
        limit, peak = self.in_force.memory_mib, self.usage.memory_peak_mib
        # The kernel counts in batches, so that the peak can be a little below the limit.
        return bool(self.usage.memory_kills and limit) and (
            peak is None or peak >= 0.9 * (limit or 0)
        )

    @property
    def processes_met(self) -> bool:
        """True if the kernel refused to start a process because of the limit."""
        return bool(self.usage.refused_processes and self.in_force.processes)

    @property
    def disk_met(self) -> bool:
        """True if the container wrote more than its limit, or filled its quota."""
        limit, used = self.in_force.disk_mib, self.usage.disk_mib
        if limit is None or used is None:
            return False
        # A quota refuses the last block, so the measured size stays below the limit.
        return used >= (0.95 * limit if self.in_force.disk_by == "storage driver" else limit)
