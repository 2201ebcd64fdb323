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

from containers import machine as machine_module
from containers import network as network_module
from containers import processors
from containers.engine import Engine, Run
from containers.images import tar_of
from containers.machine import Machine, MachineSetup
from containers.network import NetworkHandle
from tests.helpers.sample_machines import sample_machine
from verification.models.errors import TestbedFailure
from verification.models.machine import MachineSpec
from verification.models.testbed import Image

SPEC = sample_machine()
ENGINE = Engine(url="unix:///sock", origin="a test", version="20.10", os="linux")
RUN = Run(id="1", owner="a:b:c:d")


# ---- a running machine ----


class _Wrapped:
    """The engine's side of a container: its commands, its files, and how it ends."""

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
        self.answer: tuple[int | None, tuple[bytes | None, bytes | None]] = (0, (None, None))
        self.said = b""
        self.error: Exception | None = None
        self.removed = 0

    def _fail(self) -> None:
        if self.error:
            raise self.error

    def exec_run(
        self, command: list[str], *, demux: bool, **how: Any
    ) -> tuple[int | None, tuple[bytes | None, bytes | None]]:
        self._fail()
        assert demux
        self.commands.append((command, how))
        return self.answer

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
        return self.said

    def remove(self, **_: bool) -> None:
        self.removed += 1


class _Container:
    """What stands in for the container library's own class."""

    def __init__(self, image: str, wrapped: _Wrapped) -> None:
        self.image = image
        self.wrapped = wrapped
        self.how: dict[str, Any] = {}
        self.envs: dict[str, str] = {}
        self.command: list[str] = []
        self.start_error: BaseException | None = None

    def with_command(self, command: list[str]) -> _Container:
        self.command = command
        return self

    def with_kwargs(self, **how: Any) -> _Container:
        self.how = how
        return self

    def with_envs(self, **envs: str) -> _Container:
        self.envs = envs
        return self

    def start(self) -> None:
        if self.start_error:
            raise self.start_error

    def get_wrapped_container(self) -> _Wrapped:
        return self.wrapped

    def get_docker_client(self) -> Any:
        return types.SimpleNamespace(client=types.SimpleNamespace(close=lambda: None))


Make = Callable[..., tuple[Machine, _Container]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return the way to a machine whose container is not real."""

    def made(
        spec: MachineSpec = SPEC,
        files: dict[str, bytes] | None = None,
        **environment: str,
    ) -> tuple[Machine, _Container]:
        containers: list[_Container] = []

        def container(image: str, docker_client_kw: dict[str, Any]) -> _Container:
            assert docker_client_kw == ENGINE.library_arguments()
            containers.append(_Container(image, _Wrapped()))
            return containers[0]

        monkeypatch.setattr(network_module, "DockerContainer", container)
        machine = Machine(
            spec,
            Image(name="debian", tag="e2e/debian:1", id="sha256:1", created="2024"),
            NetworkHandle(engine=ENGINE, run=RUN, name="closed", ca_certificate="CERTIFICATE"),
            MachineSetup(environment=environment, files=files or {}),
        )
        return machine, containers[0]

    return made


def test_a_machine_has_the_runs_labels_its_network_and_no_resolver(make: Make) -> None:
    _, container = make(LANG="C")
    assert container.image == "e2e/debian:1"
    assert container.how["labels"] == RUN.labels()
    assert container.how["network"] == "closed"
    assert container.how["dns"] == ["127.0.0.1"]
    assert container.envs == {"LANG": "C"}


def test_a_started_machine_trusts_the_runs_authority_and_is_removed_at_the_end(make: Make) -> None:
    made, container = make()
    assert container.how["user"] == "root"
    assert container.command[:2] == ["sh", "-c"]
    assert container.command[3:6] == ["sh", "CERTIFICATE", "linux"]
    assert container.command[7:] == ["sleep", "infinity"]
    with made as machine:
        assert container.wrapped.files == {}
        address, since = machine.address_and_start()
        assert (machine.id, address) == ("0123", "10.0.0.2")
        assert since.isoformat() == "2026-01-02T03:04:05.123456+00:00"
        assert container.wrapped.removed == 0
    assert container.wrapped.removed == 1


def test_a_machine_that_has_lost_its_address_is_no_client_of_the_index(make: Make) -> None:
    made, container = make()
    with made as machine:
        container.wrapped.attrs |= {"NetworkSettings": {"Networks": {"closed": {"IPAddress": ""}}}}
        container.wrapped.said = b"Killed"
        with pytest.raises(TestbedFailure, match=r"no address: Killed") as caught:
            machine.address_and_start()
    assert caught.value.cause == "machine-lost"


def test_a_machine_whose_processor_the_engine_has_not_is_kept_to_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_usable", lambda _: (7,))
    machine, container = make(sample_machine(system="windows"))
    asked = []

    def start() -> None:
        asked.append(container.how.get("cpuset_cpus"))
        if asked[-1]:
            raise docker.errors.APIError("Requested CPUs are not available - requested 7")

    monkeypatch.setattr(container, "start", start)
    with machine:
        assert asked == ["7", None]


def test_a_machine_on_wine_alone_is_kept_to_one_processor_until_it_ends(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_usable", lambda _: (7, 8))
    on_wine, wine = make(sample_machine(system="windows"))
    ordinary, linux = make(SPEC)
    with on_wine, ordinary:
        assert wine.how["cpuset_cpus"] == "7"
        assert wine.how["labels"] == RUN.labels()
        assert "cpuset_cpus" not in linux.how
        with processors.reserve(ENGINE) as other:
            assert other == "8"
    with processors.reserve(ENGINE) as again:
        assert again == "7"


@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("no\nspace"), requests.ConnectionError("no\nspace")]
)
def test_a_machine_that_does_not_start_is_lost_and_removed(make: Make, error: Exception) -> None:
    machine, container = make()
    container.start_error = error
    with pytest.raises(TestbedFailure, match="machine-lost: debian: no space"):
        machine.__enter__()
    assert container.wrapped.removed == 1


def test_an_interrupted_start_removes_the_machine_and_goes_on_ending(make: Make) -> None:
    machine, container = make()
    container.start_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        machine.__enter__()
    assert container.wrapped.removed == 1


def _begin(
    folder: Path,
    runs_on: str = "linux",
    authority: str = "OURS\n",
    packed: str = "",
    tools: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run what a machine starts with, on a file system below ``folder``; tell how it ended."""
    script = machine_module._FIRST.replace("/etc", f"{folder}/etc").replace("/run", f"{folder}/run")
    script = script.replace("-C /", f"-C {folder}").replace("'/'", f"'{folder}'")
    found = folder / "bin"
    found.mkdir()
    for name in ("mkdir", "true", *tools):
        real = sys.executable if name == "python3" else shutil.which(name)
        (found / name).symlink_to(real or name)
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", authority, runs_on, packed, "true"],
        env={"PATH": str(found)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("bundle", machine_module._BUNDLES)
def test_a_machine_adds_the_authority_to_its_own_before_it_is_ready(
    tmp_path: Path, bundle: str
) -> None:
    kept = Path(f"{tmp_path}{bundle}")
    kept.parent.mkdir(parents=True)
    kept.write_text("OTHERS\n", "utf-8")
    done = _begin(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept.read_text("utf-8") == "OTHERS\nOURS\n"
    assert Path(f"{tmp_path}{machine_module._READY}").exists()


@pytest.mark.parametrize(("runs_on", "number"), [("linux", 1), ("wine", 0)])
def test_openssl_finds_the_authority_in_its_folder_by_a_hash(
    tmp_path: Path, runs_on: str, number: int
) -> None:
    folder = tmp_path / "etc" / "ssl" / "certs"
    folder.mkdir(parents=True)
    (folder / "ca-certificates.crt").touch()
    pem = trustme.CA().cert_pem.bytes().decode()
    done = _begin(tmp_path, runs_on, pem, tools=["openssl"])
    assert (done.returncode, done.stderr) == (0, "")
    found = [path for path in folder.iterdir() if path.suffix == ".0"]
    assert [path.read_text("utf-8") for path in found] == [pem] * number


def test_a_machine_without_a_store_of_authorities_ends_and_is_never_ready(tmp_path: Path) -> None:
    done = _begin(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "no CA bundle: none of" in done.stdout
    assert not Path(f"{tmp_path}{machine_module._READY}").exists()


@pytest.mark.parametrize("tools", [["base64", "tar", "gzip"], ["python3"]], ids=" ".join)
def test_a_machine_begins_with_the_suites_files(
    make: Make, tmp_path: Path, tools: list[str]
) -> None:
    _, container = make()
    bundle = tmp_path / machine_module._BUNDLES[0].strip("/")
    bundle.parent.mkdir(parents=True)
    bundle.touch()
    done = _begin(tmp_path, packed=container.command[6], tools=tools)
    assert (done.returncode, done.stderr) == (0, "")
    kept = tmp_path / "e2e" / "ca.pem"
    assert kept.read_text("utf-8") == "CERTIFICATE"
    assert (kept.stat().st_uid, kept.stat().st_mode & 0o777) == (1000, 0o644)
    assert Path(f"{tmp_path}{machine_module._READY}").exists()


def test_a_machine_that_cannot_unpack_the_suites_files_is_never_ready(tmp_path: Path) -> None:
    bundle = tmp_path / machine_module._BUNDLES[0].strip("/")
    bundle.parent.mkdir(parents=True)
    bundle.touch()
    done = _begin(tmp_path, packed="bm8gYXJjaGl2ZQ==", tools=["base64", "tar", "gzip"])
    assert done.returncode != 0
    assert not Path(f"{tmp_path}{machine_module._READY}").exists()


def test_files_too_large_for_an_argument_are_put_into_the_machine(make: Make) -> None:
    large = os.urandom(100_000)
    machine, container = make(files={"large.bin": large})
    assert container.command[6] == ""
    with machine:
        told = {"/e2e/ca.pem": b"CERTIFICATE", "/e2e/large.bin": large}
        assert container.wrapped.files == told
    assert max(map(len, container.command)) < machine_module._ARGUMENT


@pytest.mark.parametrize("error", [None, docker.errors.APIError("it is not running")])
def test_a_machine_that_ended_before_its_first_command_says_why(
    make: Make, error: docker.errors.APIError | None
) -> None:
    machine, container = make()
    container.wrapped.status = "exited"
    container.wrapped.error = error
    container.wrapped.said = b"no CA bundle: none of ..."
    with pytest.raises(TestbedFailure, match=r"machine-lost: .*: no CA bundle: none of"):
        machine.wait()


def test_a_command_runs_as_the_user_in_the_home_folder(make: Make) -> None:
    machine, container = make()
    container.wrapped.answer = (3, (b"no\xff", b"why"))
    result = machine.run(["id"], environment={"A": "b"})
    assert (result.code, result.stdout) == (3, "no\N{REPLACEMENT CHARACTER}")
    assert (result.stderr, result.output) == ("why", f"{result.stdout}why")
    ((command, how),) = container.wrapped.commands
    assert command[-1:] == ["id"]
    assert how == {"user": "user", "workdir": "/home/user", "environment": {"A": "b"}}


def test_the_first_command_alone_waits_until_the_machine_is_ready(make: Make) -> None:
    machine, container = make()
    machine.run(["id"])
    machine.run(["id"])
    (first, _), (second, _) = container.wrapped.commands
    assert first == ["sh", "-c", machine_module._WAIT, "sh", "id"]
    assert f"until [ -e {machine_module._READY} ]" in machine_module._WAIT
    assert second == ["id"]


def test_a_command_with_a_limit_is_ended_by_it(make: Make) -> None:
    machine, container = make()
    machine.run(["pip", "list"], seconds=7)
    ((command, _),) = container.wrapped.commands
    assert command[-6:] == ["timeout", "-k", "5", "7", "pip", "list"]


def test_a_command_without_an_exit_code_has_failed(make: Make) -> None:
    machine, container = make()
    container.wrapped.answer = (None, (None, None))
    assert machine.run(["id"]).code == -1


def test_a_machine_that_stopped_meanwhile_is_lost(make: Make) -> None:
    machine, container = make()
    container.wrapped.status = "exited"
    with pytest.raises(TestbedFailure, match="the machine stopped while `pip list` ran: no word"):
        machine.run(["pip", "list"])


def _run(machine: Machine) -> object:
    return machine.run(["id"])


def _put(machine: Machine) -> object:
    return machine.put({"a": b""})  # type: ignore[func-returns-value]


def _get(machine: Machine) -> object:
    return machine.get("/e2e/a")


@pytest.mark.parametrize("use", [_run, _put, _get])
@pytest.mark.parametrize(
    "error", [docker.errors.DockerException("gone"), requests.ConnectionError("gone")]
)
def test_a_machine_that_does_not_answer_is_lost(
    make: Make, use: Callable[[Machine], object], error: Exception
) -> None:
    machine, container = make()
    container.wrapped.error = error
    with pytest.raises(TestbedFailure) as raised:
        use(machine)
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "debian")


def test_a_file_can_be_put_on_a_machine_for_its_user_and_got_back(make: Make) -> None:
    machine, container = make()
    machine.put({"out.json": b"{}"})
    assert machine.get("/e2e/out.json") == b"{}"
    assert container.wrapped.owners == {1000}


def test_a_file_that_is_not_there_is_none(make: Make) -> None:
    machine, _ = make()
    assert machine.get("/e2e/absent") is None


def test_an_empty_answer_for_a_file_is_a_lost_machine(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, container = make()
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    monkeypatch.setattr(container.wrapped, "get_archive", lambda _: ([empty.getvalue()], {}))
    with pytest.raises(TestbedFailure, match="machine-lost"):
        machine.get("/e2e/out.json")


def test_closing_a_machine_that_is_gone_is_harmless(make: Make) -> None:
    machine, container = make()
    asked: list[bool] = []

    def remove(**_: bool) -> Never:
        asked.append(True)
        raise docker.errors.NotFound("gone")

    container.wrapped = SimpleNamespace(remove=remove)  # type: ignore[assignment]
    machine.close()
    assert asked == [True]
