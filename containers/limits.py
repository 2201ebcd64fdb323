"""Limit containers, read the limits back, and record which of them a container met.

The kernel limits memory, processes and processors, if the engine supports it. Only some storage
drivers limit the disk. For all others, a watchdog measures the container and stops it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import docker
import docker.errors
from docker.models.containers import Container
from docker.types import HostConfig, LogConfig
from pydantic import TypeAdapter
from testcontainers.core.exceptions import ContainerStartException

from containers.commands import ManagedContainer, execute, read_state
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS
from verification.models.base import Model
from verification.models.limits import MIB, LimitRecord, Limits, LimitsInForce, LimitUsage
from verification.models.testbed import ContainerState

Kind = Literal["machine", "index", "forge", "publisher", "conductor", "job", "builder", "browser"]
_LIMITED_BY_OPTIONS: tuple[Kind, ...] = ("machine", "job")
"""The kinds whose limits the options of a run set: these containers run the package's code."""
_FILE = Path(__file__).with_name("limits.toml")
_LOG_SIZE = "16m"
"""The maximum size of the output that the engine stores for a container."""
_API_VERSION = "1.41"
"""A version of the engine's API that has all settings of `host_config`."""
_WATCH_SECONDS = 2.0
_MAX_LOAD = 0.1
"""The largest share of the time in which the watchdog measures."""
_BLOCK_BYTES = 512
"""The unit of ``st_blocks`` (stat(2))."""
_EXEC_PROCESSES = 2
"""With fewer free processes, the engine may be unable to start a program in a container."""
_CGROUPS = "/sys/fs/cgroup"
# The files of cgroup v2, then those of v1. Names without a controller folder are of v2.
_COUNTERS = (
    *("memory.peak", "memory.events", "pids.events"),
    *("memory/memory.max_usage_in_bytes", "memory/memory.oom_control", "pids/pids.events"),
)
_ERRORS = (*ENGINE_ERRORS, OSError)


class _KindSettings(Limits):
    """One table of limits.toml."""

    capabilities: tuple[str, ...]
    new_privileges: bool = False


@functools.cache
def _settings() -> Mapping[str, _KindSettings]:
    tables = tomllib.loads(_FILE.read_text("utf-8"))
    return TypeAdapter(dict[str, _KindSettings]).validate_python(tables)


def default_limits(kind: Kind = "machine") -> Limits:
    """Return the limits of a kind of containers in limits.toml."""
    settings = _settings()[kind]
    return Limits.model_validate(settings.model_dump(include=set(Limits.model_fields)))


def limits_of(kind: Kind, run: Run) -> Limits:
    """Return the limits of a kind of containers in a run."""
    limits = default_limits(kind)
    if run.limits is None or kind not in _LIMITED_BY_OPTIONS:
        return limits
    return limits.model_copy(update=run.limits.model_dump(exclude_none=True))


# ---- before the start ----


class EngineSupport(Model):
    """The limits that an engine can enforce."""

    memory: bool = True
    processes: bool = True
    cpus: int = 0
    """The number of its processors; 0 if it cannot limit them."""
    disk: bool = False
    """True if its storage driver limits the size of a container."""


@functools.cache
def support(engine: Engine, image: str) -> EngineSupport:
    """Return the limits that an engine can enforce. ``image`` is any image of the engine."""
    try:
        with contextlib.closing(engine.client(timeout_seconds=60)) as client:
            info: dict[str, Any] = client.info() or {}
            return EngineSupport(
                memory=info.get("MemoryLimit", True),
                processes=info.get("PidsLimit", True),
                cpus=info.get("NCPU", 0) if info.get("CpuCfsQuota", True) else 0,
                disk=_may_limit_disk(info) and _limits_disk(client, image),
            )
    except _ERRORS:
        return EngineSupport()  # the start of the container reports the failure


def _may_limit_disk(info: Mapping[str, Any]) -> bool:
    """Return True if a storage driver can limit the files of a container without its image.

    This is overlay2 on XFS with project quotas, and ZFS. btrfs counts the image as well.
    """
    status = dict(info.get("DriverStatus") or ())
    driver = info.get("Driver")
    return driver == "zfs" or (driver == "overlay2" and status.get("Backing Filesystem") == "xfs")


def _limits_disk(client: docker.DockerClient, image: str) -> bool:
    """Return True if the engine creates a container with a limited size."""
    try:
        trial = client.containers.create(image, ["true"], storage_opt={"size": "64m"})
    except docker.errors.APIError:
        return False  # for example XFS without project quotas
    trial.remove(force=True)
    return True


def options(engine: Engine, run: Run, kind: Kind, image: str) -> dict[str, Any]:
    """Return the options with which the docker library starts a limited container.

    A container of Windows has a limit of memory and processors only.
    """
    limits, settings = limits_of(kind, run), _settings()[kind]
    supported = support(engine, image)
    values: dict[str, Any] = {}
    if supported.memory:
        values["mem_limit"] = limits.memory_mib * MIB
    if supported.cpus:
        values["nano_cpus"] = int(min(limits.cpus, supported.cpus) * 1e9)
    if engine.os == "windows":
        return values
    if supported.memory:
        values["memswap_limit"] = limits.memory_mib * MIB
    if supported.processes:
        values["pids_limit"] = limits.processes
    if supported.disk:
        values["storage_opt"] = {"size": f"{limits.disk_mib}m"}
    if not settings.new_privileges:
        values["security_opt"] = ["no-new-privileges"]
    return values | {
        "cap_drop": ["ALL"],
        "cap_add": list(settings.capabilities),
        "init": True,  # it reaps the processes whose parent has ended
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": _LOG_SIZE}),
    }


def host_config(engine: Engine, run: Run, kind: Kind, image: str) -> dict[str, Any]:
    """Return the same options as a part of a request of the engine's API."""
    config: dict[str, Any] = HostConfig(version=_API_VERSION, **options(engine, run, kind, image))
    return {name: value for name, value in config.items() if name != "NetworkMode"}


def arguments(engine: Engine, run: Run, kind: Kind, image: str) -> list[str]:
    """Return the same options as arguments of ``docker create``."""
    config = host_config(engine, run, kind, image)
    values = {
        "--memory": config.get("Memory"),
        "--memory-swap": config.get("MemorySwap"),
        "--pids-limit": config.get("PidsLimit"),
        "--cpus": config.get("NanoCpus", 0) / 1e9 or None,
    }
    lists = {
        "--storage-opt": [
            f"{name}={value}" for name, value in config.get("StorageOpt", {}).items()
        ],
        "--security-opt": config.get("SecurityOpt") or [],
        "--cap-drop": config.get("CapDrop") or [],
        "--cap-add": config.get("CapAdd") or [],
        "--log-opt": [f"max-size={_LOG_SIZE}"],
    }
    return [
        "--init",
        "--log-driver=json-file",
        *(f"{name}={value}" for name, value in values.items() if value is not None),
        *(f"{name}={value}" for name, items in lists.items() for value in items),
    ]


# ---- after the start ----


def in_force(kind: Kind, run: Run, attributes: Mapping[str, Any]) -> LimitsInForce:
    """Return the limits of a started container, from its ``attributes`` on the engine.

    An engine that cannot enforce a limit stores none.
    """
    config: Mapping[str, Any] = attributes.get("HostConfig") or {}
    memory, processes = config.get("Memory") or 0, config.get("PidsLimit") or 0
    has_quota = bool((config.get("StorageOpt") or {}).get("size"))
    return LimitsInForce(
        kind=kind,
        memory_mib=memory // MIB if memory > 0 else None,
        swap=memory > 0 and config.get("MemorySwap") == memory,
        processes=processes if processes > 0 else None,
        cpus=config.get("NanoCpus", 0) / 1e9 or None,
        disk_mib=limits_of(kind, run).disk_mib,
        disk_by="storage driver" if has_quota else "watchdog",
    )


class Watchdog:
    """Measures containers while its ``with`` block runs, and stops those that met their limit.

    ``filters`` are filters of the engine, such as the id of a container or a label. A measurement
    counts the files in the layer of the container and its open files without a name, not its
    volumes. Between two measurements a container can write more than the limit.
    """

    def __init__(self, engine: Engine, limit_mib: int, filters: Mapping[str, str]) -> None:
        self._engine = engine
        self._limit_mib = limit_mib
        self._filters = dict(filters)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._client: docker.DockerClient | None = None
        self._process_ids: dict[str, int] = {}
        self.sizes_mib: dict[str, int] = {}
        """The largest measured size of each container, by its id."""
        self.stopped: set[str] = set()
        """The ids of the containers that it stopped."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._end.is_set():
            return
        self._end.set()
        self._thread.join()
        self._measure()  # a container may have written everything since the last measurement
        if self._client:
            self._client.close()

    def _run(self) -> None:
        pause = _WATCH_SECONDS
        while not self._end.wait(pause):
            started_at = time.monotonic()
            self._measure()
            pause = max(_WATCH_SECONDS, (time.monotonic() - started_at) / _MAX_LOAD)

    def _measure(self) -> None:
        """Measure the containers once. Stop those that met their limit.

        If the engine fails, nothing is measured. Other calls report the failure.
        """
        with contextlib.suppress(*_ERRORS, KeyError):
            self._client = self._client or self._engine.client(timeout_seconds=60)
            for entry in self._client.api.containers(all=True, size=True, filters=self._filters):
                container, size = entry["Id"], int(entry.get("SizeRw") or 0)
                if size >= self._limit_mib * MIB:
                    size = _allocated_bytes(self._client, container, size)
                if entry["State"] == "running":
                    size += _unlinked_bytes(self._process_id(container), container)
                size_mib = size // MIB
                self.sizes_mib[container] = max(size_mib, self.sizes_mib.get(container, 0))
                if size_mib >= self._limit_mib and entry["State"] == "running":
                    self.stopped.add(container)
                    self._client.api.kill(container)

    def _process_id(self, container: str) -> int:
        """Return the id of the first process of a container, on the host of the engine."""
        if container not in self._process_ids and self._client:
            state = self._client.api.inspect_container(container)["State"]
            self._process_ids[container] = int(state["Pid"])
        return self._process_ids[container]


def _unlinked_bytes(process_id: int, container: str) -> int:
    """Return how much disk the open files without a name need in a container.

    The engine does not count them. 0 if this process cannot read them: it does not run as root on
    the host of the engine.
    """
    blocks: dict[tuple[int, int], int] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process_id}/cgroup").read_text("utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            folder = Path(_CGROUPS, controllers.partition(",")[0], group.lstrip("/"))
            if container in group and folder.is_dir():
                for processes in folder.rglob("cgroup.procs"):
                    for number in processes.read_text("ascii").split():
                        blocks |= _unlinked_blocks(number)
                break
    return sum(blocks.values()) * _BLOCK_BYTES


def _unlinked_blocks(process_id: str) -> dict[tuple[int, int], int]:
    """Return the number of blocks of each open file without a name, by device and inode."""
    blocks = {}
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = descriptor.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    blocks[status.st_dev, status.st_ino] = status.st_blocks
    return blocks


def _allocated_bytes(client: docker.DockerClient, container: str, size: int) -> int:
    """Return how much disk the files of a container need.

    The engine reports ``size``, the sum of the lengths of the files. A sparse file needs less. If
    this process cannot read the files on the disk of the engine, return ``size``.
    """
    driver = client.api.inspect_container(container).get("GraphDriver") or {}
    folder = Path((driver.get("Data") or {}).get("UpperDir") or "")
    if not folder.is_absolute() or not folder.is_dir():
        return size
    blocks: dict[tuple[int, int], int] = {}
    try:
        for path in _walk(folder):
            with contextlib.suppress(FileNotFoundError):  # the container has just removed it
                status = path.lstat()
                blocks[status.st_dev, status.st_ino] = status.st_blocks
    except OSError:
        return size
    return sum(blocks.values()) * _BLOCK_BYTES


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder.

    Raises:
        OSError: this process cannot read a folder.
    """

    def check(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for parent, _, names in os.walk(folder, onerror=check):
        yield from (Path(parent, name) for name in names)


def read_usage(container: Container) -> LimitUsage:
    """Return which limits of memory and processes a container met.

    If no program can start in the container, only the engine is asked.

    Raises:
        ENGINE_ERRORS: the engine or the container is gone.
    """
    container.reload()
    state = container.attrs["State"]
    killed = int(bool(state.get("OOMKilled")))
    if state["Status"] != "running":
        return LimitUsage(memory_kills=killed)
    with contextlib.suppress(docker.errors.APIError):
        files = [f"{_CGROUPS}/{name}" for name in _COUNTERS]
        result = execute(container, ["grep", "-s", "-H", "", *files], user="0")
        if counters := _counters(result.stdout):
            return _usage(counters)
    # The exec of a program fails if the container already has all its processes.
    statistics: Any = container.stats(stream=False)
    processes = statistics.get("pids_stats") or {}
    is_full = 0 < processes.get("limit", 0) <= processes.get("current", 0) + _EXEC_PROCESSES
    return LimitUsage(memory_kills=killed, refused_processes=int(is_full))


def _counters(output: str) -> dict[str, int]:
    """Return the counters in the output of grep, by file and key, such as ``pids.events max``."""
    counters = {}
    for line in output.splitlines():
        path, _, value = line.partition(":")
        name = path.removeprefix(f"{_CGROUPS}/").rpartition("/")[2]
        *key, number = value.split()
        if number.isdecimal():
            counters[" ".join((name, *key))] = int(number)
    return counters


def _usage(counters: Mapping[str, int]) -> LimitUsage:
    peak = counters.get("memory.peak", counters.get("memory.max_usage_in_bytes"))
    kills = (
        counters.get(f"{name} oom_kill", 0) for name in ("memory.events", "memory.oom_control")
    )
    return LimitUsage(
        memory_kills=max(kills),
        memory_peak_mib=None if peak is None else peak // MIB,
        refused_processes=counters.get("pids.events max", 0),
    )


def checked_state(container: Container) -> ContainerState:
    """Return the state of a container of the testbed, with the limits that it met."""
    state = read_state(container)
    if state.failure:
        return state
    try:
        usage = read_usage(container)
    except _ERRORS:
        return state
    return state.model_copy(
        update={
            "out_of_memory": bool(usage.memory_kills),
            "met_limit": "processes" if usage.refused_processes else "",
        }
    )


class LimitedContainer(ManagedContainer):
    """A container of the testbed that is watched, and that reports the limits that it met."""

    _kind: Kind
    _owning_run: Run
    _engine: Engine
    _watchdog: Watchdog | None = None

    def watch(self) -> None:
        """Start the watchdog. The container must run."""
        limit_mib = limits_of(self._kind, self._owning_run).disk_mib
        self._watchdog = Watchdog(self._engine, limit_mib, {"id": self.id})
        self._watchdog.__enter__()  # closed with the container

    def end_watch(self) -> None:
        """End the watchdog, if it was started."""
        if self._watchdog:
            self._watchdog.__exit__()

    def close(self) -> None:
        """Remove the container. It may be removed already."""
        self.end_watch()
        super().close()

    def checked_state(self) -> ContainerState:
        """Return the state of the container, with the limits that it met."""
        if self._watchdog and self._watchdog.stopped:
            return self.state().model_copy(update={"met_limit": "disk"})
        try:
            return checked_state(self._container.get_wrapped_container())
        except ContainerStartException:
            return ContainerState(status="gone")

    def limits(self) -> LimitsInForce:
        """Return the limits that are in force. The container must have started."""
        return in_force(self._kind, self._owning_run, self._container.get_wrapped_container().attrs)


@contextlib.contextmanager
def recorded(
    engine: Engine, run: Run, kind: Kind, container: Container, keep: Callable[[LimitRecord], None]
) -> Iterator[None]:
    """Watch a started container, and pass the record of its limits to ``keep`` at the end.

    There is no record if the engine or the container is gone.
    """
    limits = in_force(kind, run, container.attrs)
    identifier = str(container.id)
    watchdog = Watchdog(engine, limits.disk_mib or 0, {"id": identifier})
    usage = LimitUsage()
    try:
        with watchdog:
            try:
                yield
            finally:
                with contextlib.suppress(*_ERRORS):
                    usage = read_usage(container)
    finally:
        disk = {
            "disk_mib": watchdog.sizes_mib.get(identifier),
            "stopped": identifier in watchdog.stopped,
        }
        keep(LimitRecord(in_force=limits, usage=usage.model_copy(update=disk)))
