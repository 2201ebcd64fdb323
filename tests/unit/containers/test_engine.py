from __future__ import annotations

import datetime
import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import docker
import docker.errors
import pytest
import requests

from containers import endpoint, engine, temporary
from containers.endpoint import Endpoint
from containers.engine import LABEL_IMAGE, LABEL_OWNER, LABEL_RUN, Engine, Run
from containers.owner import identity
from verification.models.errors import TestbedFailure

ENGINE = Engine(url="unix:///some.sock", origin="a test", version="1.2.3", os="linux")


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def _forbidden(*_: object, **__: object) -> Never:
    pytest.fail("unexpected call")


# ---- the connection ----


def test_connected_engine_has_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    client = SimpleNamespace(
        version=lambda: {"Version": "27.1", "Os": "linux"}, close=lambda: closed.append(True)
    )
    monkeypatch.setattr(engine, "EngineClient", lambda *_, **__: client)
    answer = engine.connect(Endpoint(url="tcp://example.invalid:1", origin="a test"))
    assert answer == Engine(
        url="tcp://example.invalid:1", origin="a test", version="27.1", os="linux"
    )
    assert closed == [True]
    assert answer.environment() == {"DOCKER_HOST": "tcp://example.invalid:1"}


def _assert_reason(answer: Engine | str, url: str, origin: str) -> None:
    """Check that the answer is one line that names the endpoint."""
    assert isinstance(answer, str)
    assert answer.startswith(f"{url} ({origin}): ")
    assert "\n" not in answer


def test_missing_socket_has_a_reason_without_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "EngineClient", _forbidden)
    url = f"unix://{tmp_path}/missing.sock"
    answer = engine.connect(Endpoint(url=url, origin="DOCKER_HOST"))
    _assert_reason(answer, url, "DOCKER_HOST")


@pytest.mark.parametrize(
    "error",
    [
        docker.errors.DockerException("broken\npipe"),
        requests.ConnectionError("broken\npipe"),
        OSError("broken\npipe"),
    ],
)
def test_failed_connection_has_the_reason_and_is_closed(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    closed: list[bool] = []

    def version() -> Never:
        raise error

    client = SimpleNamespace(version=version, close=lambda: closed.append(True))
    monkeypatch.setattr(engine, "EngineClient", lambda *_, **__: client)
    answer = engine.connect(Endpoint(url="tcp://example.invalid:1", origin="a test"))
    _assert_reason(answer, "tcp://example.invalid:1", "a test")
    assert "broken pipe" in str(answer)
    assert closed == [True]


@pytest.mark.parametrize("url", ["foo://x", "tcp://host:port", "tcp://[::", "justname"])
def test_malformed_address_has_a_reason(url: str) -> None:
    _assert_reason(engine.connect(Endpoint(url=url, origin="DOCKER_HOST")), url, "DOCKER_HOST")


def test_find_returns_the_first_engine_and_the_reasons_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = [Endpoint(url=url, origin="a test") for url in ("one", "two", "three")]
    monkeypatch.setattr(engine, "endpoints", lambda: iter(endpoints))
    answers: dict[str, Engine | str] = {"one": "reason one", "two": ENGINE}
    monkeypatch.setattr(engine, "connect", lambda endpoint: answers[endpoint.url])
    assert engine.find() == (ENGINE, ["reason one"])


def test_find_tries_only_the_endpoint_that_the_user_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = [
        Endpoint(url="one", origin="DOCKER_HOST", named_by_user=True),
        Endpoint(url="two", origin="a test"),
    ]
    monkeypatch.setattr(engine, "endpoints", lambda: iter(endpoints))
    monkeypatch.setattr(engine, "connect", lambda endpoint: f"reason {endpoint.url}")
    assert engine.find() == (None, ["reason one"])


# ---- starting an engine ----


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up a host without an engine. Starting one is possible, but it fails the test."""
    monkeypatch.setattr(engine, "connect", lambda endpoint, *_: f"{endpoint.url}: a reason")
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    monkeypatch.setattr(engine, "_permission_obstacle", lambda _: None)
    for name in ("_install", "install_client", "_start_daemon"):
        monkeypatch.setattr(engine, name, _forbidden)


@pytest.mark.usefixtures("no_engine")
def test_no_engine_replaces_an_unreachable_engine_that_the_user_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://named-by-user.example.invalid:2375")
    with pytest.raises(TestbedFailure) as raised:
        engine.ensure()
    assert raised.value.cause == "engine-unreachable"
    assert "tcp://named-by-user.example.invalid:2375" in raised.value.message
    assert "docker.sock" not in raised.value.message


@pytest.mark.usefixtures("no_engine")
def test_no_provision_is_one_line_with_the_endpoint_and_a_command() -> None:
    with pytest.raises(TestbedFailure) as raised:
        engine.ensure(provision=False)
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "engine")
    for text in ("unix:///var/run/docker.sock", "--no-provision", "as root run: "):
        assert text in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.usefixtures("no_engine")
def test_failure_to_start_an_engine_has_the_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "provision_obstacle", lambda: "an obstacle")
    with pytest.raises(TestbedFailure, match="an obstacle"):
        engine.ensure()


# ---- the obstacle and what the user can do ----


def _host(
    monkeypatch: pytest.MonkeyPatch, *, debian: bool, programs: tuple[str, ...], systemd: bool
) -> None:
    """Set up a host whose user is not root."""
    monkeypatch.setattr(engine, "endpoints", lambda: iter([endpoint.DEFAULT]))
    monkeypatch.setattr(engine, "_permission_obstacle", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(engine, "is_debian", lambda: debian)
    monkeypatch.setattr(engine, "_has_systemd", lambda: systemd)
    monkeypatch.setattr(shutil, "which", lambda name: f"/{name}" if name in programs else None)


@pytest.mark.parametrize(
    ("debian", "programs", "systemd", "fix"),
    [
        (True, ("dockerd",), True, "systemctl start docker"),
        (True, ("dockerd",), False, "dockerd"),
        (False, ("dockerd",), True, "systemctl start docker"),
        (True, (), False, "apt-get install docker.io && dockerd"),
        (True, (), True, "apt-get install docker.io"),
        (False, (), False, "DOCKER_HOST"),
    ],
)
@pytest.mark.parametrize("provision", [True, False])
def test_fix_follows_from_the_host(
    monkeypatch: pytest.MonkeyPatch,
    *,
    debian: bool,
    programs: tuple[str, ...],
    systemd: bool,
    fix: str,
    provision: bool,
) -> None:
    _host(monkeypatch, debian=debian, programs=programs, systemd=systemd)
    obstacle = engine.start_obstacle(provision=provision)
    assert obstacle
    assert fix in obstacle.fix
    assert ("apt-get" in obstacle.fix) is ("apt-get" in fix)


@pytest.mark.parametrize(
    ("origin", "fix"),
    [("DOCKER_HOST", "unset DOCKER_HOST"), ("docker context far", "docker context use default")],
)
def test_named_engine_is_started_by_the_user_or_not_named(
    monkeypatch: pytest.MonkeyPatch, origin: str, fix: str
) -> None:
    _host(monkeypatch, debian=True, programs=(), systemd=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    named = Endpoint(url="tcp://x:1", origin=origin, named_by_user=True)
    monkeypatch.setattr(engine, "endpoints", lambda: iter([named]))
    obstacle = engine.start_obstacle()
    assert obstacle
    assert fix in obstacle.fix
    assert "apt-get" not in obstacle.fix


@pytest.mark.parametrize(
    ("mode", "group", "fix"),
    [(0o660, 100, "usermod --append --groups"), (0o600, 100, "as root"), (0o660, 0, "as root")],
)
def test_running_engine_that_refuses_the_user_needs_no_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int, group: int, fix: str
) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(mode)
        os.chown(path, -1, group)
        monkeypatch.setattr(os, "access", lambda *_: False)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        obstacle = engine.start_obstacle()
    assert obstacle
    assert str(path) in obstacle.reason
    assert fix in obstacle.fix
    assert "apt-get" not in obstacle.fix
    assert "DOCKER_HOST" not in obstacle.fix


def test_socket_that_the_user_can_use_is_no_refusal(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    assert engine._permission_obstacle(path) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert engine._permission_obstacle(path) is None


def _answer_find(monkeypatch: pytest.MonkeyPatch, *engines: Engine | None) -> None:
    """Make successive calls of `find` return these engines."""
    answers = iter(engines)
    monkeypatch.setattr(engine, "find", lambda: (next(answers), ["a reason"]))


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    "answers", [(ENGINE,), (None, ENGINE)], ids=["running", "started by another run"]
)
def test_existing_engine_is_used(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Engine | None, ...]
) -> None:
    _answer_find(monkeypatch, *answers)
    assert engine.ensure() is ENGINE


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("started", [ENGINE, None])
def test_missing_engine_is_installed_and_started(
    monkeypatch: pytest.MonkeyPatch, started: Engine | None
) -> None:
    calls: list[str] = []
    for name in ("_install", "install_client", "_start_daemon"):
        monkeypatch.setattr(engine, name, lambda *_, name=name: calls.append(name))
    _answer_find(monkeypatch, None, None, started)
    if started:
        assert engine.ensure() is started
    else:
        with pytest.raises(TestbedFailure, match="a reason") as raised:
            engine.ensure()
        assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "engine")
    assert calls == ["_install", "install_client", "_start_daemon"]


def _os_release(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read(path: Path, *_: object) -> str:
        assert str(path) == "/etc/os-release"
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(
    ("user", "text", "apt", "has_obstacle"),
    [
        (0, 'ID=debian\nNAME="x"', "/apt-get", False),
        (0, "ID=ubuntu\nID_LIKE=debian", "/apt-get", False),
        (0, 'ID=mint\nID_LIKE="ubuntu debian"', "/apt-get", False),
        (1000, "ID=debian", "/apt-get", True),
        (0, "ID=debian", None, True),
        (0, "ID=alpine", "/apt-get", True),
        (0, "ID=notdebian", "/apt-get", True),
        (0, None, "/apt-get", True),
    ],
)
def test_only_root_on_debian_or_a_derivative_can_start_an_engine(
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    text: str | None,
    apt: str | None,
    *,
    has_obstacle: bool,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(shutil, "which", lambda _: apt)
    _os_release(monkeypatch, text)
    assert bool(engine.provision_obstacle()) is has_obstacle


RunProgram = Callable[..., subprocess.CompletedProcess[str]]


def _apt(commands: list[tuple[str, ...]], *, failing: str = "") -> RunProgram:
    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        code = 100 if failing in command else 0
        return subprocess.CompletedProcess(command, code, "", "first\nE: no route\n")

    return run


def test_package_lists_are_updated_before_the_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", _apt(commands, failing="nothing"))
    engine.install_packages(("tool",), ("tool-package", "other"))
    assert [command[-1] for command in commands] == ["update", "other"]
    assert "--no-install-recommends" in commands[1]


def test_packages_of_installed_programs_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", _forbidden)
    engine.install_packages(("tool",), ("tool-package",))
    assert shutil.which("tool") == "/bin/tool"


@pytest.mark.parametrize("failing", ["update", "install"])
def test_apt_get_failure_has_its_command_exit_code_and_last_line(
    monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", _apt([], failing=failing))
    with pytest.raises(
        TestbedFailure, match=rf"(?=.*apt-get .*{failing})(?=.*100)(?=.*E: no route)"
    ) as raised:
        engine.install_packages(("tool",), ("tool-package",))
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "apt-get")


def test_packages_that_cannot_be_installed_are_reported_with_the_obstacle_and_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "provision_obstacle", lambda: "an obstacle")
    monkeypatch.setattr(engine, "is_debian", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", _forbidden)
    with pytest.raises(
        TestbedFailure, match=r"(?=.*an obstacle)(?=.*apt-get install tool-package)"
    ):
        engine.install_packages(("tool",), ("tool-package",))


@pytest.mark.parametrize(("code", "package"), [(0, "docker-cli"), (100, "docker.io")])
def test_docker_command_is_installed_from_docker_io_without_docker_cli(
    monkeypatch: pytest.MonkeyPatch, code: int, package: str
) -> None:
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, code)
    )
    monkeypatch.setattr(engine, "_install", lambda _, packages: installed.append(packages))
    engine.install_client()
    assert installed == [(package,)]


# ---- the daemon ----


def _write(path: Path, text: str) -> dict[Path, str]:
    path.write_text(text)
    return {path: Path("/proc/self/comm").read_text().strip()}


def test_pid_file_of_a_dead_process_is_removed(tmp_path: Path, dead_pid: int) -> None:
    files = _write(tmp_path / "dead.pid", f"{dead_pid}\n")
    assert engine.remove_stale_pid_files(files) == list(files)
    assert not (tmp_path / "dead.pid").exists()


def test_pid_file_of_another_program_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "reused.pid"
    path.write_text(str(os.getpid()))
    assert engine.remove_stale_pid_files({path: "dockerd-of-a-test"}) == [path]
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "\n", "garbage", "12 34", "-1", "0"])
def test_pid_file_without_a_process_number_is_removed(tmp_path: Path, text: str) -> None:
    files = _write(tmp_path / "garbage.pid", text)
    assert engine.remove_stale_pid_files(files) == list(files)
    assert not (tmp_path / "garbage.pid").exists()


def test_pid_file_of_a_running_program_stays(tmp_path: Path) -> None:
    files = _write(tmp_path / "live.pid", f"{os.getpid()}\n")
    assert engine.remove_stale_pid_files(files) == []
    assert (tmp_path / "live.pid").exists()


def test_missing_pid_file_is_not_removed(tmp_path: Path) -> None:
    assert engine.remove_stale_pid_files({tmp_path / "absent.pid": "dockerd"}) == []


class _Daemon:
    """A fake Docker daemon that writes to its log. With an exit code it has ended."""

    def __init__(self, code: int | None) -> None:
        self.returncode = code
        self.pid = 4_000_000_000

    def __call__(self, *_: object, stdout: Any, **__: object) -> _Daemon:
        stdout.write(b"starting\nfailed: no iptables\n")
        return self

    def poll(self) -> int | None:
        return self.returncode


def _start_daemon(monkeypatch: pytest.MonkeyPatch, answer: Engine | str) -> None:
    """Start the fake daemon without systemd. `answer`: the result of each `engine.connect`."""
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda p: is_dir(p) and "systemd" not in p.parts)
    monkeypatch.setattr(engine, "_process_ids", lambda _: [])
    monkeypatch.setattr(engine, "_PID_FILES", {})
    monkeypatch.setattr(engine, "connect", lambda *_: answer)
    engine._start_daemon()


def test_daemon_that_ends_while_starting_is_a_failure_with_its_last_line(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    monkeypatch.setattr(subprocess, "Popen", _Daemon(7))
    with pytest.raises(TestbedFailure) as raised:
        _start_daemon(monkeypatch, "a reason")
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "dockerd")
    for text in ("7", "failed: no iptables", str(isolated / "dockerd.log")):
        assert text in raised.value.message


def test_daemon_without_an_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_START_SECONDS", 0)
    monkeypatch.setattr(subprocess, "Popen", _Daemon(None))
    with pytest.raises(TestbedFailure) as raised:
        _start_daemon(monkeypatch, "a reason")
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "dockerd")


def test_started_daemon_is_in_a_new_session_and_causes_no_resource_warning(
    monkeypatch: pytest.MonkeyPatch, isolated: Path, tmp_path: Path
) -> None:
    daemon = tmp_path / "dockerd"
    daemon.write_text("#!/bin/sh\nexec sleep 60\n")
    daemon.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    gc.collect()  # without the warnings of other tests
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _start_daemon(monkeypatch, ENGINE)
        gc.collect()
    process_id = int((isolated / "dockerd.pid").read_text())
    try:
        assert os.getsid(process_id) == process_id, "it does not end with this program"
    finally:
        os.kill(process_id, signal.SIGTERM)
        os.waitpid(process_id, 0)
    messages = [str(warning.message) for warning in caught]
    assert [message for message in messages if "subprocess" in message] == []


def test_temporary_files_of_the_started_daemon_stay_after_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment: dict[str, str] = {}

    class Daemon(_Daemon):
        def __call__(self, *words: object, stdout: Any, **options: Any) -> _Daemon:
            environment.update(options["env"])
            return super().__call__(*words, stdout=stdout)

    monkeypatch.setattr(subprocess, "Popen", Daemon(None))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary.process_folder() as folder:
        _start_daemon(monkeypatch, ENGINE)
    assert not folder.exists()
    assert Path(environment["TMPDIR"]) == tmp_path


@pytest.mark.parametrize(
    "text", [None, "garbage", str(os.getpid())], ids=["no file", "garbage", "other program"]
)
def test_only_a_daemon_of_this_project_is_stopped(
    monkeypatch: pytest.MonkeyPatch, isolated: Path, text: str | None
) -> None:
    monkeypatch.setattr(os, "kill", _forbidden)
    isolated.mkdir(parents=True)
    if text is not None:
        (isolated / "dockerd.pid").write_text(text)
    assert engine.stop_provided() is False


def test_daemon_of_this_project_is_stopped(monkeypatch: pytest.MonkeyPatch, isolated: Path) -> None:
    isolated.mkdir(parents=True)
    (isolated / "dockerd.pid").write_text("1234567")
    process_ids = [1234567]
    monkeypatch.setattr(engine, "_process_ids", lambda _: process_ids)
    monkeypatch.setattr(os, "kill", lambda pid, _: process_ids.remove(pid))
    assert engine.stop_provided() is True
    assert process_ids == []
    assert not (isolated / "dockerd.pid").exists()


# ---- the sweep ----


@pytest.mark.parametrize(
    "attributes",
    [
        {"Created": "2024-05-01T12:00:00.123456789Z"},
        {"CreatedAt": "2024-05-01T12:00:00Z"},
        {"Created": "2024-05-01T19:30:00+07:30"},
        {"Created": "2024-05-01T12:00:00"},
    ],
)
def test_age_respects_the_time_zone(attributes: dict[str, str]) -> None:
    same_time = {"Created": "2024-05-01T12:00:00Z"}
    age_hours = engine.age_hours_of(attributes)
    assert age_hours == pytest.approx(engine.age_hours_of(same_time), abs=0.01)
    assert age_hours > 1000


@pytest.mark.parametrize("attributes", [{}, {"Created": "yesterday"}, {"Created": None}])
def test_unknown_age_is_zero(attributes: dict[str, Any]) -> None:
    assert engine.age_hours_of(attributes) == 0


# ---- the sweep ----

DEAD = {LABEL_RUN: "dead", LABEL_OWNER: "nobody"}
KINDS = ("containers", "networks", "volumes", "images")


class _Resource:
    """A fake container, network, volume or image. It records the options of its removal."""

    def __init__(
        self,
        labels: dict[str, str],
        error: Exception | None = None,
        *,
        name: str = "happy_name",
        created: str = "2024-05-01T12:00:00Z",
    ) -> None:
        self.labels = labels
        self.name = name
        self.attrs = {"Labels": labels, "Created": created}
        self.error = error
        self.removed: dict[str, bool] | None = None

    def remove(self, **options: bool) -> None:
        if self.error:
            raise self.error
        self.removed = options


def _client(**resources: list[_Resource]) -> Any:
    """Return a fake engine client. It lists these resources by label."""

    def collection(kind: str) -> Any:
        def list_by_label(filters: dict[str, str], **__: bool) -> list[_Resource]:
            if name := filters.get("name"):
                return [one for one in resources.get(kind, []) if name in one.name]
            key, _, value = filters["label"].partition("=")
            return [
                resource
                for resource in resources.get(kind, [])
                if key in resource.labels and value in ("", resource.labels[key])
            ]

        return SimpleNamespace(list=list_by_label)

    def list_images(filters: dict[str, str]) -> list[dict[str, Any]]:
        images = collection("images").list(filters)
        return [{"Id": image, "Created": 0, "Labels": image.labels} for image in images]

    def remove_image(image: _Resource, **options: bool) -> None:
        image.remove(**options)

    client = SimpleNamespace(**{kind: collection(kind) for kind in KINDS})
    client.images.remove = remove_image
    client.api = SimpleNamespace(images=list_images)
    return client


def _api_error(status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("refused", response=response)


def test_sweep_removes_only_resources_of_dead_runs() -> None:
    live = Run.new().labels()
    resources = {
        kind: [_Resource(DEAD), _Resource(live), _Resource({"other": "project"})] for kind in KINDS
    }
    assert engine.sweep(_client(**resources)) == len(KINDS)
    for of_kind in resources.values():
        assert [resource.removed is not None for resource in of_kind] == [True, False, False]


def test_sweep_removes_running_containers_with_their_volumes() -> None:
    container = _Resource(DEAD)
    engine.sweep(_client(containers=[container]))
    assert container.removed == {"force": True, "v": True}


def test_sweep_of_one_run_removes_its_resources_although_it_is_alive() -> None:
    run = Run.new()
    swept, other, dead = (_Resource(labels) for labels in (run.labels(), Run.new().labels(), DEAD))
    assert engine.sweep(_client(networks=[swept, other, dead]), run=run.id) == 1
    assert swept.removed is not None
    assert other.removed is dead.removed is None


def test_sweep_of_everything_removes_resources_of_live_runs() -> None:
    live, foreign = _Resource(Run.new().labels()), _Resource({})
    assert engine.sweep(_client(volumes=[live, foreign]), everything=True) == 1
    assert foreign.removed is None


@pytest.mark.parametrize(
    "error", [docker.errors.NotFound("gone"), _api_error(409), _api_error(403)]
)
def test_sweep_ignores_a_resource_that_another_sweep_removes(error: Exception) -> None:
    assert engine.sweep(_client(networks=[_Resource(DEAD, error), _Resource(DEAD)])) == 1


@pytest.fixture
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the delay before the retry of a failed removal to zero."""
    monkeypatch.setattr(engine, "_RETRY_SECONDS", 0)


@pytest.mark.usefixtures("no_retry_delay")
@pytest.mark.parametrize(("second", "removed"), [(None, 2), (docker.errors.NotFound("gone"), 1)])
def test_sweep_retries_a_failed_removal(second: Exception | None, removed: int) -> None:
    class Busy(_Resource):
        def remove(self, **_options: bool) -> None:
            first, self.error = self.error, second
            if first:
                raise first

    busy = Busy(DEAD, _api_error(500))
    assert engine.sweep(_client(containers=[busy, _Resource(DEAD)])) == removed


@pytest.mark.usefixtures("no_retry_delay")
@pytest.mark.parametrize("error", [_api_error(500), requests.ConnectionError("gone")])
def test_engine_failure_in_the_sweep_is_a_testbed_failure(error: Exception) -> None:
    with pytest.raises(TestbedFailure) as raised:
        engine.sweep(_client(containers=[_Resource(DEAD, error)]))
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "sweep")


def test_sweep_removes_the_container_of_a_build_that_has_ended(dead_pid: int) -> None:
    boot, namespace, _, started = identity(os.getpid()).split(":")
    dead = f"{boot}_{namespace}_{dead_pid}_{started}"
    ended = _Resource({}, name=f"{engine._BUILD_PREFIX}{dead}-1")
    running = _Resource({}, name=engine.build_name())
    assert engine.sweep(_client(containers=[ended, running])) == 1
    assert running.removed is None
    assert engine.sweep(_client(containers=[running]), run="0123456789") == 0
    assert engine.sweep(_client(containers=[running]), everything=True) == 1


def test_sweep_removes_a_kept_container_after_a_day() -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    young = _Resource(DEAD, name=f"{engine.KEPT_PREFIX}cell", created=now)
    old = _Resource(DEAD, name=f"{engine.KEPT_PREFIX}cell")
    other = _Resource(DEAD, created=now)
    assert engine.sweep(_client(containers=[young, old, other])) == 2
    assert young.removed is None
    assert engine.sweep(_client(containers=[young]), run=DEAD[LABEL_RUN]) == 0
    assert engine.sweep(_client(containers=[young]), everything=True) == 1


def test_remove_kept_removes_only_kept_containers_and_their_networks() -> None:
    cell, index = (
        _Resource(DEAD, name=f"{engine.KEPT_PREFIX}{name}") for name in ("cell", "index")
    )
    live = _Resource(Run.new().labels())
    network, other_network = _Resource(DEAD), _Resource(Run.new().labels())
    resources = {"containers": [cell, index, live], "networks": [network, other_network]}
    assert engine.remove_kept(_client(**resources)) == 3
    assert live.removed is other_network.removed is None


def test_two_runs_of_one_process_have_the_same_owner_and_different_ids() -> None:
    first, second = Run.new(), Run.new()
    assert first.owner == second.owner
    assert first.id != second.id
    assert first.labels() == {LABEL_RUN: first.id, LABEL_OWNER: first.owner}


def test_images_are_removed_by_all_their_tags_or_by_their_id() -> None:
    removed: list[str] = []
    tagged, untagged = (
        SimpleNamespace(id="1", tags=["a:1", "a:2"]),
        SimpleNamespace(id="sha256:2", tags=[]),
    )
    images = SimpleNamespace(
        list=lambda filters: [tagged, untagged] if filters == {"label": LABEL_IMAGE} else [],
        remove=lambda tag, **_: removed.append(tag),
    )
    client: Any = SimpleNamespace(images=images)
    assert engine.remove_images(client) == 2
    assert removed == ["a:1", "a:2", "sha256:2"]
