from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from containers import limits
from containers.engine import Engine, Run
from containers.limits import EngineSupport, Watchdog
from tests.helpers.exec_client import ExecClient, Result
from verification.models.limits import MIB, LimitOptions, LimitRecord, LimitUsage
from verification.models.testbed import ContainerState

ENGINE = Engine(url="unix:///nonexistent/sock", origin="a test", version="1", os="linux")
LOW = LimitOptions(memory_mib=256, processes=128, cpus=1.0, disk_mib=64)
RUN = Run(id="1", owner="a:b:c:d", limits=LOW)


def _set_support(monkeypatch: pytest.MonkeyPatch, **support: Any) -> None:
    monkeypatch.setattr(limits, "support", lambda *_: EngineSupport(**support))


# ---- before the start ----


@pytest.mark.parametrize("kind", ["machine", "job"])
def test_options_have_the_limits_of_the_run(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    _set_support(monkeypatch, cpus=8)
    options = limits.options(ENGINE, RUN, kind, "image")
    assert options["mem_limit"] == options["memswap_limit"] == 256 * MIB
    assert (options["pids_limit"], options["nano_cpus"]) == (128, 1_000_000_000)
    assert options["cap_drop"] == ["ALL"]
    assert options["init"]
    assert options["log_config"].config["max-size"]
    assert "storage_opt" not in options


def test_index_has_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_support(monkeypatch, cpus=8)
    assert limits.limits_of("index", RUN) == limits.default_limits("index")
    assert limits.limits_of("machine", RUN.model_copy(update={"limits": None})) == (
        limits.default_limits("machine")
    )


def test_only_a_job_may_gain_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_support(monkeypatch)
    kinds: tuple[limits.Kind, ...] = ("machine", "index", "forge", "publisher", "conductor")
    for kind in (*kinds, "builder", "browser"):
        assert limits.options(ENGINE, RUN, kind, "i")["security_opt"] == ["no-new-privileges"]
    assert "security_opt" not in limits.options(ENGINE, RUN, "job", "i")


def test_no_container_can_administer_the_system_or_open_raw_sockets() -> None:
    for settings in limits._settings().values():
        assert not {"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "MKNOD"} & {*settings.capabilities}


def test_limits_that_the_engine_cannot_enforce_are_not_requested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _set_support(monkeypatch, memory=False, processes=False)
    options = limits.options(ENGINE, RUN, "machine", "image")
    assert not {"mem_limit", "memswap_limit", "pids_limit", "nano_cpus"} & options.keys()


def test_cpus_are_at_most_those_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_support(monkeypatch, cpus=1)
    run = RUN.model_copy(update={"limits": LOW.model_copy(update={"cpus": 4.0})})
    assert limits.options(ENGINE, run, "machine", "image")["nano_cpus"] == 1_000_000_000


def test_windows_container_has_limits_of_memory_and_processors_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _set_support(monkeypatch, cpus=2)
    engine = ENGINE.model_copy(update={"os": "windows"})
    assert limits.options(engine, RUN, "machine", "i").keys() == {"mem_limit", "nano_cpus"}


def test_arguments_and_host_settings_are_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_support(monkeypatch, cpus=2, disk=True)
    assert {
        "--init",
        f"--memory={256 * MIB}",
        f"--memory-swap={256 * MIB}",
        "--pids-limit=128",
        "--cpus=1.0",
        "--storage-opt=size=64m",
        "--cap-drop=ALL",
    } <= {*limits.arguments(ENGINE, RUN, "machine", "image")}
    config = limits.host_config(ENGINE, RUN, "machine", "image")
    assert (config["Memory"], config["MemorySwap"], config["PidsLimit"]) == (
        256 * MIB,
        256 * MIB,
        128,
    )
    assert config["StorageOpt"] == {"size": "64m"}
    assert (config["Init"], config["CapDrop"]) == (True, ["ALL"])
    assert "NetworkMode" not in config


class _Engine:
    """A fake of the docker library's client."""

    def __init__(self, info: dict[str, Any], *, accepts_size: bool = False) -> None:
        self.info = lambda: info
        self.accepts_size = accepts_size
        self.trials = 0
        self.containers = self

    def create(self, *_: Any, **options: Any) -> Any:
        assert options["storage_opt"]
        self.trials += 1
        if not self.accepts_size:
            raise docker.errors.APIError("only with pquota")
        return SimpleNamespace(remove=lambda **_: None)

    def close(self) -> None:
        pass


XFS = {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "xfs"]]}
EXT4 = {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}


@pytest.mark.parametrize(
    ("info", "accepts_size", "limits_disk", "trials"),
    [
        (XFS, True, True, 1),
        (XFS, False, False, 1),
        ({"Driver": "zfs"}, True, True, 1),
        (EXT4, True, False, 0),
        ({"Driver": "btrfs"}, True, False, 0),
    ],
)
def test_size_of_a_container_is_tried_only_where_the_driver_may_limit_it(
    monkeypatch: pytest.MonkeyPatch,
    info: dict[str, Any],
    accepts_size: bool,
    limits_disk: bool,
    trials: int,
) -> None:
    client = _Engine(info, accepts_size=accepts_size)
    monkeypatch.setattr(Engine, "client", lambda *_, **__: client)
    limits.support.cache_clear()
    assert limits.support(ENGINE, "image").disk is limits_disk
    assert client.trials == trials


def test_support_is_that_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"MemoryLimit": False, "PidsLimit": False, "CpuCfsQuota": False, "NCPU": 4}
    monkeypatch.setattr(Engine, "client", lambda *_, **__: _Engine(info))
    limits.support.cache_clear()
    expected = EngineSupport(memory=False, processes=False, cpus=0, disk=False)
    assert limits.support(ENGINE, "image") == expected


@pytest.fixture(autouse=True)
def _clear_support() -> Iterator[None]:
    clear = limits.support.cache_clear
    yield
    clear()


def test_limit_without_an_option_is_that_of_the_kind() -> None:
    run = RUN.model_copy(update={"limits": LimitOptions(memory_mib=256)})
    kinds: tuple[limits.Kind, ...] = ("machine", "job")
    for kind in kinds:
        expected = limits.default_limits(kind).model_copy(update={"memory_mib": 256})
        assert limits.limits_of(kind, run) == expected


# ---- after the start ----

HOST_CONFIG = {
    "Memory": 256 * MIB,
    "MemorySwap": 256 * MIB,
    "PidsLimit": 128,
    "NanoCpus": 1_000_000_000,
}


def test_limits_are_read_back() -> None:
    found = limits.in_force("machine", RUN, {"HostConfig": HOST_CONFIG})
    assert (found.memory_mib, found.swap, found.processes, found.cpus) == (256, True, 128, 1.0)
    assert (found.disk_mib, found.disk_by) == (64, "watchdog")
    assert found.missing == ()


def test_limits_that_the_engine_dropped_are_missing() -> None:
    # Docker without swap accounting stores -1. Without cgroups it stores nothing.
    without_swap = {**HOST_CONFIG, "MemorySwap": -1}
    assert limits.in_force("machine", RUN, {"HostConfig": without_swap}).missing == ("swap",)
    nothing = {"Memory": 0, "MemorySwap": -1, "PidsLimit": None, "NanoCpus": 0}
    found = limits.in_force("machine", RUN, {"HostConfig": nothing})
    assert found.missing == ("memory", "swap", "processes", "cpus")


def test_quota_of_the_storage_driver_is_read_back() -> None:
    config = {**HOST_CONFIG, "StorageOpt": {"size": "64m"}}
    assert limits.in_force("machine", RUN, {"HostConfig": config}).disk_by == "storage driver"


class _Container:
    """A fake container whose program grep prints ``output``."""

    id = "c1"

    def __init__(self, output: str = "", error: Exception | None = None, **state: Any) -> None:
        self.attrs = {"State": {"Status": "running", **state}, "HostConfig": HOST_CONFIG}
        self.client = ExecClient(self._run)
        self.pids = {"current": 3, "limit": 128}
        self._output, self._error = output, error

    def reload(self) -> None:
        pass

    def stats(self, *, stream: bool) -> dict[str, Any]:
        assert not stream
        return {"pids_stats": self.pids}

    def _run(self, command: list[str], **_: Any) -> Result:
        if self._error:
            raise self._error
        assert command[0] == "grep"
        return 0, (self._output.encode(), None)


V1 = """\
/sys/fs/cgroup/memory/memory.max_usage_in_bytes:268435456
/sys/fs/cgroup/memory/memory.oom_control:oom_kill_disable 0
/sys/fs/cgroup/memory/memory.oom_control:under_oom 0
/sys/fs/cgroup/memory/memory.oom_control:oom_kill 2
/sys/fs/cgroup/pids/pids.events:max 6
"""
V2 = """\
/sys/fs/cgroup/memory.peak:268435456
/sys/fs/cgroup/memory.events:max 77
/sys/fs/cgroup/memory.events:oom 2
/sys/fs/cgroup/memory.events:oom_kill 2
/sys/fs/cgroup/pids.events:max 6
"""


@pytest.mark.parametrize("output", [V1, V2], ids=["cgroup v1", "cgroup v2"])
def test_counters_of_both_versions_of_cgroups_are_read(output: str) -> None:
    container: Any = _Container(output)
    expected = LimitUsage(memory_kills=2, memory_peak_mib=256, refused_processes=6)
    assert limits.read_usage(container) == expected


def test_container_that_met_no_limit_has_only_its_peak() -> None:
    container: Any = _Container(V2.replace("oom_kill 2", "oom_kill 0").replace("max 6", "max 0"))
    assert limits.read_usage(container) == LimitUsage(memory_peak_mib=256)


@pytest.mark.parametrize(("current", "refused"), [(3, 0), (128, 1)])
def test_full_container_met_its_limit_of_processes(current: int, refused: int) -> None:
    container: Any = _Container(error=docker.errors.APIError("resource unavailable"))
    container.pids["current"] = current
    assert limits.read_usage(container).refused_processes == refused


@pytest.mark.parametrize("killed", [True, False])
def test_ended_container_has_the_state_of_the_engine(killed: bool) -> None:
    container: Any = _Container(Status="exited", OOMKilled=killed, Running=False, ExitCode=137)
    assert limits.read_usage(container) == LimitUsage(memory_kills=int(killed))


def test_state_of_a_part_of_the_testbed_has_the_limits_that_it_met() -> None:
    container: Any = _Container(V1, Running=True, OOMKilled=False)
    met = limits.checked_state(container)
    assert (met.out_of_memory, met.met_limit) == (True, "processes")
    assert met.failure
    assert met.cause("index-unreachable") == "testbed-limit"
    healthy: Any = _Container("", Running=True, OOMKilled=False)
    assert limits.checked_state(healthy) == ContainerState(status="running")


# ---- the watchdog ----


class _Client:
    """A fake client with one container. The container writes to ``folder``."""

    def __init__(self, folder: Path, size: int) -> None:
        self.api = self
        self.killed: list[str] = []
        self._folder, self._size = folder, size

    def containers(self, **options: Any) -> list[dict[str, Any]]:
        assert options == {"all": True, "size": True, "filters": {"id": "c1"}}
        return [{"Id": "c1", "SizeRw": self._size, "State": "running"}]

    def inspect_container(self, _: str) -> dict[str, Any]:
        return {
            "State": {"Pid": 0},
            "GraphDriver": {"Data": {"UpperDir": str(self._folder)}},
        }

    def kill(self, container: str) -> None:
        self.killed.append(container)

    def close(self) -> None:
        pass


def _watch(monkeypatch: pytest.MonkeyPatch, client: _Client) -> Watchdog:
    monkeypatch.setattr(Engine, "client", lambda *_, **__: client)
    with Watchdog(ENGINE, 64, {"id": "c1"}) as watchdog:
        pass
    return watchdog


def test_container_over_its_limit_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = _Client(tmp_path / "unreadable", 65 * MIB)
    watchdog = _watch(monkeypatch, client)
    assert (watchdog.stopped, watchdog.sizes_mib, client.killed) == ({"c1"}, {"c1": 65}, ["c1"])


def test_container_below_its_limit_runs_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = _Client(tmp_path, 63 * MIB)
    watchdog = _watch(monkeypatch, client)
    assert (watchdog.stopped, watchdog.sizes_mib, client.killed) == (set(), {"c1": 63}, [])


def test_sparse_file_counts_with_its_blocks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "map.bin").open("wb") as file:
        file.truncate(1 << 40)
    client = _Client(tmp_path, 1 << 40)
    watchdog = _watch(monkeypatch, client)
    assert (watchdog.stopped, watchdog.sizes_mib) == (set(), {"c1": 0})


def test_watchdog_survives_an_engine_that_does_not_answer() -> None:
    with Watchdog(ENGINE, 64, {"id": "c1"}) as watchdog:
        pass
    assert watchdog.sizes_mib == {}


def test_open_file_without_a_name_counts() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(3 * MIB))
        file.flush()
        status = file.fileno()
        blocks = limits._unlinked_blocks("self")
        assert sum(blocks.values()) * 512 >= 3 * MIB
        assert status >= 0
    assert sum(limits._unlinked_blocks("self").values()) * 512 < 3 * MIB


def test_record_has_limits_and_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = _Client(tmp_path, 63 * MIB)
    monkeypatch.setattr(Engine, "client", lambda *_, **__: client)
    container: Any = _Container(V1)
    records: list[LimitRecord] = []
    with (
        pytest.raises(ValueError, match="lost"),
        limits.recorded(ENGINE, RUN, "machine", container, records.append),
    ):
        raise ValueError("lost")
    (record,) = records
    assert (record.memory_met, record.processes_met, record.disk_met) == (True, True, False)
    assert record.usage.disk_mib == 63
