"""A fake prepared testbed, and fake machines whose command results a test sets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import PrivateAttr

from containers.commands import CommandResult
from containers.engine import Engine, Run
from containers.machine import Machine, MachineSetup
from containers.network import NetworkHandle
from containers.testbed import Testbed
from tests.helpers.sample_evidence import Fields, healthy
from tests.helpers.sample_run import LINUX_WHEEL, WHEELS, WINDOWS_WHEEL, inspection
from verification.models.errors import TestbedFailure
from verification.models.index_log import IndexRequest
from verification.models.inspection import ReleaseInspection
from verification.models.limits import LimitRecord, LimitsInForce, LimitUsage
from verification.models.machine import PROBE, MachineSpec
from verification.models.release import Release, ReleaseFile
from verification.models.report import ReplayInputs
from verification.models.testbed import Image, IndexHosts, Upload
from verification.session.prepare import EngineTestbed, PreparedRun, RunSetup

ENGINE = Engine(url="unix:///none", origin="a test", version="20.10", os="linux")
NETWORK = NetworkHandle(
    engine=ENGINE, run=Run(id="0123456789", owner="1"), name="none", ca_certificate=""
)
HOSTS = IndexHosts(index="i.example", files="f.example", upload="u.example")
TESTBED = Testbed(network=NETWORK, index="none", hosts=HOSTS)
REFUSED = Upload(
    command=("twine", "upload"),
    code=1,
    output="ERROR    HTTPError: 400 Bad Request",
    refusals=("400 Bad Request",),
)
"""An upload that the index refused."""


def image(name: str) -> Image:
    """Return an image with this name."""
    tag = f"quiverdb-e2e/{name}:0123456789ab"
    return Image(
        name=name,
        tag=tag,
        id=f"sha256:{name}",
        created="2026-01-01T00:00:00Z",
        packages=("apt=3.0.3",),
    )


def release(*names: str, folder: Path = Path("/dist"), version: str = "0.5.0") -> Release:
    """Return a release with wheels of these names. By default, one wheel for each system."""
    wheels = tuple(
        ReleaseFile(path=folder / name, sha256=WHEELS.get(name, "0" * 64))
        for name in names or (LINUX_WHEEL, WINDOWS_WHEEL)
    )
    return Release(origin="wheels", location=str(folder), version=version, wheels=wheels)


def prepared_run(
    files: Release | None = None,
    *machines: str,
    testbed: Testbed = TESTBED,
    no_history: str = "",
) -> PreparedRun:
    """Return a prepared run with this release and the images of these machines."""
    return PreparedRun(
        testbed=testbed,
        release=files or release(),
        machines={name: image(name) for name in machines},
        unavailable={},
        infrastructure=(image("index"), image("publisher")),
        no_history=no_history,
    )


def on_engines(prepared: PreparedRun, *names: str) -> PreparedRun:
    """Return the prepared run on engines with these names, which all have the same images."""

    def named(name: str) -> Testbed:
        network = prepared.testbed.network
        engine = network.engine.model_copy(update={"name": name})
        handle = network.model_copy(update={"engine": engine})
        return prepared.testbed.model_copy(update={"network": handle})

    first, *others = names
    parts = {
        name: EngineTestbed(
            testbed=named(name), machines=prepared.machines, unavailable=prepared.unavailable
        )
        for name in others
    }
    return prepared.model_copy(update={"testbed": named(first), "others": parts})


INPUTS = ReplayInputs(
    subject="quiverdb",
    origin="wheels",
    wheels=(),
    dependencies=(),
    earlier=(),
    tools=(),
    yanked={},
    suite="0",
)
"""What a replay of this run needs, without files."""


def run_setup(prepared: PreparedRun | None = None) -> RunSetup:
    """Return the set-up of the controller for this run. The inspection has no causes."""
    ready = prepared or prepared_run()
    wheels = (inspection(file.name, file.sha256) for file in ready.release.wheels)
    return RunSetup(ready, ReleaseInspection(wheels=tuple(wheels)))


# ---- fake machines ----


class RecordedCommand(NamedTuple):
    """A recorded command of a fake machine."""

    command: tuple[str, ...]
    user: str
    seconds: int | None


class CopiedFiles(NamedTuple):
    """Files that were copied to a fake machine."""

    files: dict[str, bytes]
    folder: str | None
    mode: int


Answer = Callable[[Sequence[str]], CommandResult]


LIMITS = LimitRecord(
    in_force=LimitsInForce(
        kind="machine",
        memory_mib=4096,
        swap=True,
        processes=2048,
        cpus=2.0,
        disk_mib=10240,
        disk_by="watchdog",
    ),
    usage=LimitUsage(memory_peak_mib=100, disk_mib=10),
)
"""The limits of a healthy machine."""


class FakeMachine(Machine):
    """A fake machine without a container. ``answer`` returns the result of each command."""

    def __init__(
        self,
        spec: MachineSpec,
        of: Image,
        answer: Answer,
        setup: MachineSetup | None = None,
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        self.spec, self.image, self.layout = spec, of, spec.layout
        self.setup = setup or MachineSetup()
        self.commands: list[RecordedCommand] = []
        self.copied_files: list[CopiedFiles] = []
        self.closed = False
        self._contents = contents or {}
        self._answer = answer

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Record that the machine is removed."""
        self.closed = True

    @property
    def id(self) -> str:
        """A fixed text in place of the id of a container."""
        return f"container-of-{self.spec.name}"

    @contextlib.contextmanager
    def recorded_limits(self, keep: Callable[[LimitRecord], None]) -> Iterator[None]:
        """Pass `LIMITS` to ``keep`` at the end."""
        try:
            yield
        finally:
            keep(LIMITS)

    def put(self, files: dict[str, bytes], folder: str | None = None, *, mode: int = 0o644) -> None:
        """Record the files."""
        self.copied_files.append(CopiedFiles(files, folder, mode))

    def get(self, path: str, limit: int | None = None) -> bytes | None:
        """Return the content that the test has set."""
        content = self._contents.get(path)
        return None if content is None else content[:limit]

    def run(
        self,
        command: list[str],
        *,
        user: str = "user",
        folder: str | None = None,
        environment: dict[str, str] | None = None,
        seconds: int | None = None,
    ) -> CommandResult:
        """Record the command and return the result that the test has set."""
        assert (folder, environment) == (None, None)
        self.commands.append(RecordedCommand(tuple(command), user, seconds))
        return self._answer(command)


class FakeTestbed(Testbed):
    """A fake testbed with fake machines. The probe of each machine returns the next result."""

    _probes: list[CommandResult | TestbedFailure] = PrivateAttr(default_factory=list)
    _machines: list[FakeMachine] = PrivateAttr(default_factory=list)
    _requests: tuple[IndexRequest, ...] = PrivateAttr(default=())
    _failing: str = PrivateAttr(default="")
    _files: dict[str, bytes] = PrivateAttr(default_factory=dict)

    @classmethod
    def with_probe_results(
        cls,
        *probes: CommandResult | TestbedFailure,
        requests: tuple[IndexRequest, ...] = (),
        failing: str = "",
    ) -> Self:
        """Return a testbed with these probe results. Other commands with ``failing`` fail."""
        testbed = cls(network=NETWORK, index="none", hosts=HOSTS)
        testbed._probes.extend(probes)
        testbed._requests, testbed._failing = requests, failing
        return testbed

    @property
    def files(self) -> dict[str, bytes]:
        """The contents of files on the machines, by path. A test adds some."""
        return self._files

    @property
    def machines(self) -> list[FakeMachine]:
        """The machines in the order of their starts."""
        return self._machines

    def machine(
        self, spec: MachineSpec, image: Image, setup: MachineSetup | None = None
    ) -> FakeMachine:
        """Return a fake machine."""
        machine = FakeMachine(spec, image, self._answer, setup, self.files)
        self._machines.append(machine)
        return machine

    @contextlib.contextmanager
    def recorded_requests(
        self, _machine: Machine, keep: Callable[[list[IndexRequest]], None]
    ) -> Iterator[None]:
        """Pass the requests that the test has set to ``keep`` at the end."""
        try:
            yield
        finally:
            keep(list(self._requests))

    def _answer(self, command: Sequence[str]) -> CommandResult:
        if not any(word.endswith(PROBE) for word in command):
            fails = bool(self._failing) and any(self._failing in word for word in command)
            return CommandResult(int(fails), "no space left" if fails else "")
        answer = self._probes.pop(0)
        if isinstance(answer, TestbedFailure):
            raise answer
        return answer


_HOST_FIELDS = (
    *("schema", "cell", "image", "started", "wall_seconds", "on_disk"),
    *("deviation", "loader", "requests", "limits"),
)
"""The fields of the evidence that the probe does not print."""


def probe_output(*changes: Callable[[Fields], object], stderr: str = "") -> CommandResult:
    """Return the output of the probe in a cell without faults, after these changes."""
    fields = {name: value for name, value in healthy().items() if name not in _HOST_FIELDS}
    for change in changes:
        change(fields)
    return CommandResult(0, f"a line of Wine\n{json.dumps(fields)}\n", stderr)
