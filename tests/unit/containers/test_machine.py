from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import docker.errors
import pytest
import requests
import trustme

from containers import commands, processors
from containers import machine as machine_module
from containers import network as network_module
from containers.engine import Engine, Run
from containers.images import tar_of
from containers.machine import Machine, MachineSetup
from containers.network import NetworkHandle
from tests.helpers.exec_client import ExecClient, Result
from tests.helpers.sample_machines import sample_machine
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec
from verification.models.testbed import Image

SPEC = sample_machine()
ENGINE = Engine(url="unix:///sock", origin="a test", version="20.10", os="linux")
LAYOUT = SPEC.layout
RUN = Run(id="1", owner="a:b:c:d")


# ---- a running machine ----


class _EngineContainer:
    """A fake of the docker library's container. It records commands, files and removals."""

    id = "0123"

    def __init__(self) -> None:
        self.status = "running"
        self.attrs = {
            "NetworkSettings": {"Networks": {"closed": {"IPAddress": "10.0.0.2"}}},
            "State": {"StartedAt": "2026-01-02T03:04:05.123456789Z"},
        }
        self.commands: list[tuple[list[str], dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.owners: set[int] = set()
        self.result: Result = (0, (None, None))
        self.client = ExecClient(self.exec_run, lambda path: self.get_archive(path))
        self.output = b""
        self.error: Exception | None = None
        self.removals = 0

    def _fail(self) -> None:
        if self.error:
            raise self.error

    def exec_run(self, command: list[str], **options: Any) -> Result:
        self._fail()
        self.commands.append((command, options))
        return self.result

    def put_archive(self, _: str, data: bytes) -> None:
        self._fail()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar.getmembers():
                self.owners.add(member.uid)
                if file := tar.extractfile(member):
                    self.files[f"/{member.name}"] = file.read()

    def get_archive(self, path: str) -> tuple[list[bytes], dict[str, Any]]:
        self._fail()
        if path not in self.files:
            raise docker.errors.NotFound(path)
        folder, _, name = path.rpartition("/")
        with tarfile.open(fileobj=io.BytesIO(tar_of({name: self.files[path]}, folder))) as tar:
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w") as out:
                member = tar.getmember(path.strip("/"))
                out.addfile(member, tar.extractfile(member))
        return [data.getvalue()], {}

    def reload(self) -> None:
        self._fail()

    def logs(self, **_: int) -> bytes:
        return self.output

    def remove(self, **_: bool) -> None:
        self.removals += 1


class _Container:
    """A fake of testcontainers' container class."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.wrapped = _EngineContainer()
        self.options: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        self.command: list[str] = []
        self.start_error: BaseException | None = None

    def with_command(self, command: list[str]) -> _Container:
        self.command = command
        return self

    def with_kwargs(self, **options: Any) -> _Container:
        self.options = options
        return self

    def with_envs(self, **environment: str) -> _Container:
        self.environment = environment
        return self

    def start(self) -> None:
        if self.start_error:
            raise self.start_error

    def get_wrapped_container(self) -> _EngineContainer:
        return self.wrapped

    def get_docker_client(self) -> Any:
        return types.SimpleNamespace(client=types.SimpleNamespace(close=lambda: None))


MakeMachine = Callable[..., tuple[Machine, _Container]]


@pytest.fixture
def make_machine(monkeypatch: pytest.MonkeyPatch) -> MakeMachine:
    """Return a function that returns a machine and its fake container."""

    def make(
        spec: MachineSpec = SPEC,
        files: dict[str, bytes] | None = None,
        **environment: str,
    ) -> tuple[Machine, _Container]:
        containers: list[_Container] = []

        def new_container(image: str, docker_client_kw: dict[str, Any]) -> _Container:
            assert docker_client_kw == ENGINE.library_arguments()
            containers.append(_Container(image))
            return containers[0]

        monkeypatch.setattr(network_module, "DockerContainer", new_container)
        monkeypatch.setattr(network_module, "_replace_client", lambda *_: None)
        machine = Machine(
            spec,
            Image(name="debian", tag="e2e/debian:1", id="sha256:1", created="2024"),
            NetworkHandle(engine=ENGINE, run=RUN, name="closed", ca_certificate="CERTIFICATE"),
            MachineSetup(environment=environment, files=files or {}),
        )
        return machine, containers[0]

    return make


def _assert_lost(act: Callable[[], object], text: str = "") -> None:
    with pytest.raises(TestbedFailure) as raised:
        act()
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "debian")
    assert text in raised.value.message


def test_machine_has_the_labels_of_the_run_its_network_and_no_resolver(
    make_machine: MakeMachine,
) -> None:
    _, container = make_machine(LANG="C")
    assert container.image == "e2e/debian:1"
    assert container.options["labels"] == RUN.labels()
    assert container.options["network"] == "closed"
    assert container.options["dns"] == ["127.0.0.1"]
    assert container.environment == {"LANG": "C"}


def test_machine_gets_the_ca_certificate_at_its_start_and_is_removed_at_the_end(
    make_machine: MakeMachine,
) -> None:
    machine, container = make_machine()
    assert container.options["user"] == "root"
    assert container.command[:2] == ["sh", "-c"]
    assert container.command[3:6] == ["sh", "CERTIFICATE", "linux"]
    assert container.command[7:] == [LAYOUT.data, "sleep", "infinity"]
    with machine:
        assert container.wrapped.files == {}
        address, start_time = machine.address_and_start_time()
        assert (machine.id, address) == ("0123", "10.0.0.2")
        assert start_time.isoformat() == "2026-01-02T03:04:05.123456+00:00"
        assert container.wrapped.removals == 0
    assert container.wrapped.removals == 1


def test_machine_without_an_address_is_lost(make_machine: MakeMachine) -> None:
    machine, container = make_machine()
    with machine:
        container.wrapped.attrs |= {"NetworkSettings": {"Networks": {"closed": {"IPAddress": ""}}}}
        container.wrapped.output = b"Killed"
        _assert_lost(machine.address_and_start_time, "Killed")


def test_machine_on_wine_starts_without_a_processor_that_the_engine_refuses(
    make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_assignable_processors", lambda _: (7,))
    machine, container = make_machine(sample_machine(system="windows"))
    requested = []

    def start() -> None:
        requested.append(container.options.get("cpuset_cpus"))
        if requested[-1]:
            raise docker.errors.APIError("Requested CPUs are not available - requested 7")

    monkeypatch.setattr(container, "start", start)
    with machine:
        assert requested == ["7", None]


def test_only_a_machine_on_wine_reserves_a_processor_until_its_end(
    make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_assignable_processors", lambda _: (7, 8))
    wine_machine, wine_container = make_machine(sample_machine(system="windows"))
    linux_machine, linux_container = make_machine(SPEC)
    with wine_machine, linux_machine:
        assert wine_container.options["cpuset_cpus"] == "7"
        assert wine_container.options["labels"] == RUN.labels()
        assert "cpuset_cpus" not in linux_container.options
        with processors.reserve(ENGINE) as number:
            assert number == "8"
    with processors.reserve(ENGINE) as number:
        assert number == "7"


@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("no\nspace"), requests.ConnectionError("no\nspace")]
)
def test_machine_that_cannot_start_is_lost_and_removed(
    make_machine: MakeMachine, error: Exception
) -> None:
    machine, container = make_machine()
    container.start_error = error
    _assert_lost(machine.__enter__, "no space")
    assert container.wrapped.removals == 1


def test_interrupted_start_removes_the_machine(make_machine: MakeMachine) -> None:
    machine, container = make_machine()
    container.start_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        machine.__enter__()
    assert container.wrapped.removals == 1


# ---- the start script ----


def _run_start_script(
    folder: Path,
    runs_on: str = "linux",
    ca_certificate: str = "RUN\n",
    packed_files: str = "",
    tools: Sequence[str] = (),
) -> tuple[int, bool]:
    """Run the start script in a file system below ``folder``.

    Return its exit code, and whether the machine is ready.
    """
    script = machine_module._START_SCRIPT
    for path in ("/etc", "/run"):
        script = script.replace(path, f"{folder}{path}")
    script = script.replace("-C /", f"-C {folder}").replace("'/'", f"'{folder}'")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("mkdir", "chown", "true", *tools):
        program = sys.executable if name == "python3" else shutil.which(name)
        (programs / name).symlink_to(program or name)
    data = f"{folder}{LAYOUT.data}"
    result = subprocess.run(
        ["/bin/sh", "-c", script, "sh", ca_certificate, runs_on, packed_files, data, "true"],
        env={"PATH": str(programs)},
        capture_output=True,
        check=False,
    )
    return result.returncode, Path(f"{folder}{machine_module._READY}").exists()


def _make_bundle(folder: Path, path: str = machine_module._CA_BUNDLES[0]) -> Path:
    bundle = Path(f"{folder}{path}")
    bundle.parent.mkdir(parents=True)
    bundle.write_text("IMAGE\n", "utf-8")
    return bundle


@pytest.mark.parametrize("path", machine_module._CA_BUNDLES)
def test_start_script_adds_the_ca_certificate_to_the_bundle(tmp_path: Path, path: str) -> None:
    bundle = _make_bundle(tmp_path, path)
    assert _run_start_script(tmp_path) == (0, True)
    assert bundle.read_text("utf-8") == "IMAGE\nRUN\n"


@pytest.mark.parametrize(("runs_on", "count"), [("linux", 1), ("wine", 0)])
def test_start_script_adds_the_ca_certificate_by_its_hash_on_linux_only(
    tmp_path: Path, ca_certificate: str, runs_on: str, count: int
) -> None:
    folder = _make_bundle(tmp_path).parent
    assert _run_start_script(tmp_path, runs_on, ca_certificate, tools=["openssl"]) == (0, True)
    assert [path.read_text("utf-8") for path in folder.glob("*.0")] == [ca_certificate] * count


@pytest.fixture(scope="module")
def ca_certificate() -> str:
    return trustme.CA().cert_pem.bytes().decode()


def test_start_script_fails_without_a_ca_bundle(tmp_path: Path) -> None:
    assert _run_start_script(tmp_path) == (1, False)


@pytest.mark.parametrize("tools", [["base64", "tar", "gzip"], ["python3"]], ids=" ".join)
def test_start_script_unpacks_the_files_of_the_suite(
    make_machine: MakeMachine, tmp_path: Path, tools: list[str]
) -> None:
    _, container = make_machine()
    _make_bundle(tmp_path)
    packed_files = container.command[6]
    assert _run_start_script(tmp_path, packed_files=packed_files, tools=tools) == (0, True)
    path = Path(f"{tmp_path}{LAYOUT.path('ca.pem')}")
    assert path.read_text("utf-8") == "CERTIFICATE"
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o644)
    assert (path.parent.stat().st_uid, path.parent.stat().st_mode & 0o777) == (0, 0o755)
    assert Path(f"{tmp_path}{LAYOUT.data}").stat().st_uid == 1000


def test_start_script_fails_if_the_files_cannot_be_unpacked(tmp_path: Path) -> None:
    _make_bundle(tmp_path)
    invalid = "bm8gYXJjaGl2ZQ=="
    code, is_ready = _run_start_script(
        tmp_path, packed_files=invalid, tools=["base64", "tar", "gzip"]
    )
    assert code != 0
    assert not is_ready


def test_files_that_are_too_large_for_an_argument_are_copied(make_machine: MakeMachine) -> None:
    content = os.urandom(100_000)
    machine, container = make_machine(files={"large.bin": content})
    assert container.command[6] == ""
    with machine:
        expected = {LAYOUT.path("ca.pem"): b"CERTIFICATE", LAYOUT.path("large.bin"): content}
        assert container.wrapped.files == expected
    assert max(map(len, container.command)) < machine_module._MAX_ARGUMENT_BYTES


# ---- commands and files ----


@pytest.mark.parametrize("error", [None, docker.errors.APIError("it is not running")])
def test_machine_that_ended_before_its_first_command_is_lost_with_its_output(
    make_machine: MakeMachine, error: docker.errors.APIError | None
) -> None:
    machine, container = make_machine()
    container.wrapped.status = "exited"
    container.wrapped.error = error
    container.wrapped.output = b"the output of the script"
    _assert_lost(machine.wait, "the output of the script")


def test_command_runs_as_the_user_in_the_home_folder(make_machine: MakeMachine) -> None:
    machine, container = make_machine()
    container.wrapped.result = (3, (b"out\xff", b"error"))
    result = machine.run(["id"], environment={"A": "b"})
    assert (result.code, result.stdout) == (3, "out\N{REPLACEMENT CHARACTER}")
    assert (result.stderr, result.output) == ("error", f"{result.stdout}error")
    ((command, options),) = container.wrapped.commands
    assert command[-1:] == ["id"]
    assert options == {"user": "user", "workdir": "/home/user", "environment": {"A": "b"}}


def test_only_the_first_command_waits_until_the_machine_is_ready(
    make_machine: MakeMachine,
) -> None:
    machine, container = make_machine()
    machine.run(["id"])
    machine.run(["id"])
    (first, _), (second, _) = container.wrapped.commands
    assert first == ["sh", "-c", machine_module._WAIT_SCRIPT, "sh", "id"]
    assert f"until [ -e {machine_module._READY} ]" in machine_module._WAIT_SCRIPT
    assert second == ["id"]


def test_command_with_a_time_limit_runs_under_timeout(make_machine: MakeMachine) -> None:
    machine, container = make_machine()
    machine.run(["pip", "list"], seconds=7)
    ((command, _),) = container.wrapped.commands
    assert command[-6:] == ["timeout", "-k", "5", "7", "pip", "list"]


def test_machine_with_a_command_without_an_exit_code_is_lost(
    make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_EXIT_SECONDS", 0)
    machine, container = make_machine()
    container.wrapped.result = (None, (None, None))
    _assert_lost(lambda: machine.run(["id"]))


def test_machine_that_ended_during_a_command_is_lost(make_machine: MakeMachine) -> None:
    machine, container = make_machine()
    container.wrapped.status = "exited"
    _assert_lost(lambda: machine.run(["pip", "list"]), "`pip list`")


def _run(machine: Machine) -> object:
    return machine.run(["id"])


def _put(machine: Machine) -> object:
    return machine.put({"a": b""})  # type: ignore[func-returns-value]


def _get(machine: Machine) -> object:
    return machine.get(LAYOUT.path("a"))


@pytest.mark.parametrize("act", [_run, _put, _get])
@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("gone"), requests.ConnectionError("gone")]
)
def test_machine_that_does_not_answer_is_lost(
    make_machine: MakeMachine, act: Callable[[Machine], object], error: Exception
) -> None:
    machine, container = make_machine()
    container.wrapped.error = error
    _assert_lost(lambda: act(machine))


@pytest.mark.parametrize(("folder", "owner"), [(None, 0), ("/home/user/project", 1000)])
def test_user_cannot_change_the_files_of_the_suite(
    make_machine: MakeMachine, folder: str | None, owner: int
) -> None:
    machine, container = make_machine()
    machine.put({"out.json": b"{}"}, folder)
    path = f"{folder or LAYOUT.folder}/out.json"
    assert machine.get(path) == b"{}"
    assert container.wrapped.owners == {owner}


def test_link_on_a_machine_is_no_file(
    make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, container = make_machine()
    link = tarfile.TarInfo("data.db")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(link)
    monkeypatch.setattr(container.wrapped, "get_archive", lambda _: ([archive.getvalue()], {}))
    assert machine.get("/data.db") is None


def test_missing_file_on_a_machine_is_none(make_machine: MakeMachine) -> None:
    machine, _ = make_machine()
    assert machine.get(LAYOUT.path("absent")) is None


def test_machine_that_returns_an_empty_archive_is_lost(
    make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, container = make_machine()
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    monkeypatch.setattr(container.wrapped, "get_archive", lambda _: ([empty.getvalue()], {}))
    _assert_lost(lambda: machine.get(LAYOUT.path("out.json")))


def test_closing_a_removed_machine_is_no_error(make_machine: MakeMachine) -> None:
    machine, container = make_machine()
    calls: list[bool] = []

    def remove(**_: bool) -> Never:
        calls.append(True)
        raise docker.errors.NotFound("gone")

    container.wrapped = SimpleNamespace(remove=remove)  # type: ignore[assignment]
    machine.close()
    assert calls == [True]
