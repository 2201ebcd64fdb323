from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import docker
import docker.errors
import pytest
import requests

from containers import engine
from containers.engine import LABEL_OWNER, LABEL_RUN, Endpoint, Engine, Run
from verification.models.errors import TestbedFailure, WrongUse

ANSWERING = Engine(url="unix:///somewhere.sock", origin="a test", version="1.2.3", os="linux")


def _context(folder: Path, name: str, told: object) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps(told))


def _address(url: str) -> dict[str, Any]:
    return {"Name": "any", "Metadata": {}, "Endpoints": {"docker": {"Host": url}}}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def _forbidden(*_: object, **__: object) -> Never:
    pytest.fail("this must not be done here")


# ---- where an engine may be ----


def test_docker_host_comes_before_any_context(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _context(config, "mine", _address("tcp://context.example.invalid:2375"))
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    monkeypatch.setenv("DOCKER_HOST", "tcp://host.example.invalid:2375")
    assert list(engine.endpoints()) == [
        Endpoint(url="tcp://host.example.invalid:2375", origin="DOCKER_HOST", named_by_user=True)
    ]


def test_the_current_context_comes_before_the_sockets(config: Path) -> None:
    _context(config, "mine", _address("tcp://context.example.invalid:2375"))
    (config / "config.json").write_text('{"currentContext": "mine"}')
    assert list(engine.endpoints()) == [
        Endpoint(
            url="tcp://context.example.invalid:2375",
            origin="docker context mine",
            named_by_user=True,
        )
    ]


def test_docker_context_overrides_the_current_context(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "other"):
        _context(config, name, _address(f"tcp://{name}.example.invalid:2375"))
    (config / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert [found.url for found in engine.endpoints()] == ["tcp://other.example.invalid:2375"]


def test_contexts_are_looked_for_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["HOME"]) / ".docker"
    _context(folder, "mine", _address("tcp://home.example.invalid:2375"))
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert [found.url for found in engine.endpoints()] == ["tcp://home.example.invalid:2375"]


@pytest.mark.parametrize(
    "text",
    [None, "{}", "not json", "[]", '{"currentContext": "default"}', '{"currentContext": ""}'],
)
def test_without_a_context_the_default_socket_is_first_and_not_demanded(
    config: Path, text: str | None
) -> None:
    if text is not None:
        (config / "config.json").write_text(text)
    assert next(engine.endpoints()) == Endpoint(
        url="unix:///var/run/docker.sock", origin="the default socket", named_by_user=False
    )


@pytest.mark.parametrize("told", [None, {}, {"Endpoints": None}, {"Endpoints": {"docker": {}}}])
def test_a_named_context_that_is_none_is_refused_and_not_passed_over(
    config: Path, monkeypatch: pytest.MonkeyPatch, told: object
) -> None:
    if told is not None:
        _context(config, "gone", told)
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(WrongUse, match="docker context gone: there is no such context"):
        list(engine.endpoints())


def test_podmans_socket_of_the_user_comes_after_the_default_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    socket = tmp_path / "podman" / "podman.sock"
    assert f"unix://{socket}" not in [found.url for found in engine.endpoints()]
    socket.parent.mkdir()
    socket.touch()
    first, second, *_ = engine.endpoints()
    assert first.origin == "the default socket"
    assert second == Endpoint(url=f"unix://{socket}", origin="podman's socket")


# ---- asking ----


def test_an_engine_that_answers_is_told_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    client = SimpleNamespace(
        version=lambda: {"Version": "27.1", "Os": "linux"}, close=lambda: closed.append(True)
    )
    monkeypatch.setattr(docker, "DockerClient", lambda **_: client)
    answer = engine.connect(Endpoint(url="tcp://example.invalid:1", origin="a test"))
    assert answer == Engine(
        url="tcp://example.invalid:1", origin="a test", version="27.1", os="linux"
    )
    assert closed == [True]
    assert answer.environment() == {"DOCKER_HOST": "tcp://example.invalid:1"}


def test_a_socket_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    answer = engine.connect(Endpoint(url=f"unix://{tmp_path}/nobody.sock", origin="DOCKER_HOST"))
    assert answer == f"unix://{tmp_path}/nobody.sock (DOCKER_HOST): there is no such socket"


@pytest.mark.parametrize(
    "error",
    [
        docker.errors.DockerException("broken\npipe"),
        requests.ConnectionError("broken\npipe"),
        OSError("broken\npipe"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_in_one_line_and_closed(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    closed: list[bool] = []

    def version() -> Never:
        raise error

    client = SimpleNamespace(version=version, close=lambda: closed.append(True))
    monkeypatch.setattr(docker, "DockerClient", lambda **_: client)
    answer = engine.connect(Endpoint(url="tcp://example.invalid:1", origin="a test"))
    assert answer == "tcp://example.invalid:1 (a test): no engine answers: broken pipe"
    assert closed == [True]


@pytest.mark.parametrize("url", ["foo://x", "tcp://host:port", "tcp://[::", "justname"])
def test_an_address_that_is_none_is_told_in_one_line(url: str) -> None:
    answer = engine.connect(Endpoint(url=url, origin="DOCKER_HOST"))
    assert isinstance(answer, str)
    assert answer.startswith(f"{url} (DOCKER_HOST): ")
    assert "\n" not in answer


def test_the_first_engine_that_answers_is_taken_and_the_misses_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [Endpoint(url=url, origin="a test") for url in ("one", "two", "three")]
    monkeypatch.setattr(engine, "endpoints", lambda: iter(places))
    answers: dict[str, Engine | str] = {"one": "one is silent", "two": ANSWERING}
    monkeypatch.setattr(engine, "connect", lambda place: answers[place.url])
    assert engine.find() == (ANSWERING, ["one is silent"])


def test_no_other_engine_is_tried_in_place_of_the_demanded_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [
        Endpoint(url="one", origin="DOCKER_HOST", named_by_user=True),
        Endpoint(url="two", origin="a test"),
    ]
    monkeypatch.setattr(engine, "endpoints", lambda: iter(places))
    monkeypatch.setattr(engine, "connect", lambda place: f"{place.url} is silent")
    assert engine.find() == (None, ["one is silent"])


# ---- providing one ----


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine answers, and one could be provided."""
    monkeypatch.setattr(engine, "connect", lambda place, *_: f"{place.url}: no engine answers")
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    for name in ("_install", "install_client", "_start_daemon"):
        monkeypatch.setattr(engine, name, _forbidden)


@pytest.mark.usefixtures("no_engine")
def test_a_demanded_engine_that_is_silent_is_named_and_no_other_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://named_by_user.example.invalid:2375")
    with pytest.raises(TestbedFailure) as raised:
        engine.ensure()
    assert raised.value.cause == "engine-unreachable"
    assert "tcp://named_by_user.example.invalid:2375" in raised.value.observed
    assert "You named that engine" in raised.value.observed
    assert "docker.sock" not in raised.value.observed


@pytest.mark.usefixtures("no_engine")
def test_no_provision_ends_in_one_line_with_the_command_that_mends_it() -> None:
    with pytest.raises(TestbedFailure) as raised:
        engine.ensure(provision=False)
    message = str(raised.value)
    assert message.startswith("engine-unreachable: engine: unix:///var/run/docker.sock")
    assert "--no-provision forbids starting one" in message
    assert "apt-get install docker.io && dockerd" in message
    assert "\n" not in message


@pytest.mark.usefixtures("no_engine")
def test_where_none_can_be_provided_the_obstacle_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "provision_obstacle", lambda: "only root can install and start one")
    with pytest.raises(TestbedFailure, match="Only root can install and start one"):
        engine.ensure()


def _finds(monkeypatch: pytest.MonkeyPatch, *answers: Engine | None) -> None:
    left = list(answers)

    def find() -> tuple[Engine | None, list[str]]:
        return left.pop(0), ["it is silent"]

    monkeypatch.setattr(engine, "find", find)


@pytest.mark.usefixtures("no_engine")
def test_an_engine_that_answers_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _finds(monkeypatch, ANSWERING)
    assert engine.ensure() is ANSWERING


@pytest.mark.usefixtures("no_engine")
def test_an_engine_started_by_another_run_meanwhile_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _finds(monkeypatch, None, ANSWERING)
    assert engine.ensure() is ANSWERING


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("last", [ANSWERING, None])
def test_a_missing_engine_is_installed_started_and_asked(
    monkeypatch: pytest.MonkeyPatch, last: Engine | None
) -> None:
    done: list[str] = []
    for name in ("_install", "install_client", "_start_daemon"):
        monkeypatch.setattr(engine, name, lambda *_, name=name: done.append(name))
    _finds(monkeypatch, None, None, last)
    if last:
        assert engine.ensure() is last
    else:
        with pytest.raises(TestbedFailure, match="engine-unreachable: engine: it is silent"):
            engine.ensure()
    assert done == ["_install", "install_client", "_start_daemon"]


def _os_release(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read(path: Path, *_: object) -> str:
        assert str(path) == "/etc/os-release"
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(
    ("user", "text", "apt", "obstacle"),
    [
        (0, 'ID=debian\nNAME="x"', "/apt-get", None),
        (0, "ID=ubuntu\nID_LIKE=debian", "/apt-get", None),
        (0, 'ID=mint\nID_LIKE="ubuntu debian"', "/apt-get", None),
        (1000, "ID=debian", "/apt-get", "only root can install and start one"),
        (0, "ID=debian", None, "one is provided on Debian and Ubuntu only"),
        (0, "ID=alpine", "/apt-get", "one is provided on Debian and Ubuntu only"),
        (0, "ID=notdebian", "/apt-get", "one is provided on Debian and Ubuntu only"),
        (0, None, "/apt-get", "one is provided on Debian and Ubuntu only"),
    ],
)
def test_an_engine_is_provided_for_root_on_debian_and_its_kin_only(
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    text: str | None,
    apt: str | None,
    obstacle: str | None,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(shutil, "which", lambda _: apt)
    _os_release(monkeypatch, text)
    assert engine.provision_obstacle() == obstacle


Ran = Callable[..., subprocess.CompletedProcess[str]]


def _apt(commands: list[tuple[str, ...]], *, failing: str = "") -> Ran:
    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        code = 100 if failing in command else 0
        return subprocess.CompletedProcess(command, code, "", "first\nE: no route\n")

    return run


def test_packages_are_installed_after_the_lists_were_updated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", _apt(commands, failing="nothing"))
    engine.install_packages(("tool",), ("tool-package", "other"))
    assert [command[-1] for command in commands] == ["update", "other"]
    assert "--no-install-recommends" in commands[1]


def test_packages_whose_programs_are_there_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", _forbidden)
    engine.install_packages(("tool",), ("tool-package",))
    assert shutil.which("tool") == "/bin/tool"


@pytest.mark.parametrize("failing", ["update", "install"])
def test_an_apt_get_that_fails_is_told_with_its_last_line(
    monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(engine, "provision_obstacle", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", _apt([], failing=failing))
    with pytest.raises(TestbedFailure, match=rf"apt-get .*{failing}.* ended with 100: E: no route"):
        engine.install_packages(("tool",), ("tool-package",))


def test_packages_that_may_not_be_installed_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "provision_obstacle", lambda: "only root can")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(subprocess, "run", _forbidden)
    with pytest.raises(TestbedFailure, match=r"only root can\. Run: apt-get install tool-package"):
        engine.install_packages(("tool",), ("tool-package",))


@pytest.mark.parametrize(("known", "package"), [(0, "docker-cli"), (100, "docker.io")])
def test_the_client_comes_from_the_package_that_the_release_has_it_in(
    monkeypatch: pytest.MonkeyPatch, known: int, package: str
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, known)
    )
    monkeypatch.setattr(engine, "_install", lambda _, packages: asked.append(packages))
    engine.install_client()
    assert asked == [(package,)]


# ---- the daemon ----


def _write(path: Path, text: str) -> dict[Path, str]:
    path.write_text(text)
    return {path: Path("/proc/self/comm").read_text().strip()}


def test_the_pid_file_of_a_dead_process_is_removed(tmp_path: Path, dead_pid: int) -> None:
    files = _write(tmp_path / "dead.pid", f"{dead_pid}\n")
    assert engine.remove_stale_pid_files(files) == list(files)
    assert not (tmp_path / "dead.pid").exists()


def test_a_pid_file_whose_number_another_program_has_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "reused.pid"
    path.write_text(str(os.getpid()))
    assert engine.remove_stale_pid_files({path: "dockerd-of-a-test"}) == [path]
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "\n", "garbage", "12 34", "-1", "0"])
def test_a_pid_file_without_a_number_is_removed(tmp_path: Path, text: str) -> None:
    files = _write(tmp_path / "garbage.pid", text)
    assert engine.remove_stale_pid_files(files) == list(files)
    assert not (tmp_path / "garbage.pid").exists()


def test_the_pid_file_of_the_program_that_runs_is_kept(tmp_path: Path) -> None:
    files = _write(tmp_path / "live.pid", f"{os.getpid()}\n")
    assert engine.remove_stale_pid_files(files) == []
    assert (tmp_path / "live.pid").exists()


def test_a_pid_file_that_is_not_there_is_none_to_remove(tmp_path: Path) -> None:
    assert engine.remove_stale_pid_files({tmp_path / "absent.pid": "dockerd"}) == []


class _Daemon:
    """A daemon that writes one line to its log and ends, or goes on."""

    def __init__(self, code: int | None) -> None:
        self.returncode = code
        self.pid = 4_000_000_000

    def __call__(self, *_: object, stdout: Any, **__: object) -> _Daemon:
        stdout.write(b"starting\nfailed: no iptables\n")
        return self

    def poll(self) -> int | None:
        return self.returncode


def _start(monkeypatch: pytest.MonkeyPatch, daemon: _Daemon) -> None:
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda p: is_dir(p) and "systemd" not in p.parts)
    monkeypatch.setattr(engine, "_running", lambda _: [])
    monkeypatch.setattr(engine, "_PID_FILES", {})
    monkeypatch.setattr(engine, "connect", lambda *_: "it is silent")
    monkeypatch.setattr(subprocess, "Popen", daemon)
    engine._start_daemon()


def test_a_daemon_that_ends_while_starting_is_told_with_its_last_line(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    with pytest.raises(TestbedFailure) as raised:
        _start(monkeypatch, _Daemon(1))
    assert raised.value.cause == "engine-unreachable"
    assert "ended with 1 while starting: failed: no iptables" in raised.value.observed
    assert str(isolated / "dockerd.log") in raised.value.observed


def test_a_daemon_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_START_SECONDS", 0)
    with pytest.raises(TestbedFailure, match="does not answer after 0 s"):
        _start(monkeypatch, _Daemon(None))


_STARTS_A_DAEMON = """
from pathlib import Path
from containers import engine
is_dir = Path.is_dir
Path.is_dir = lambda path: is_dir(path) and "systemd" not in path.parts
engine._PID_FILES = {}
engine._running = lambda _: []
found = engine.Engine(url="unix:///x.sock", origin="a test", version="1.2.3", os="linux")
engine.connect = lambda *_: found
engine._start_daemon()
"""


def test_the_daemon_outlives_the_program_that_started_it_and_nothing_is_called_a_leak(
    isolated: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    daemon = tmp_path / "dockerd"
    daemon.write_text("#!/bin/sh\nexec sleep 60\n")
    daemon.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", _STARTS_A_DAEMON],
        cwd=pytestconfig.rootpath,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    started = int((isolated / "dockerd.pid").read_text())
    os.kill(started, signal.SIGTERM)  # fails if it is not there any more
    assert ran.returncode == 0, ran.stderr
    assert "ResourceWarning" not in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "text", [None, "garbage", str(os.getpid())], ids=["none", "garbage", "other-program"]
)
def test_only_a_daemon_that_this_project_started_is_stopped(
    monkeypatch: pytest.MonkeyPatch, isolated: Path, text: str | None
) -> None:
    monkeypatch.setattr(os, "kill", _forbidden)
    isolated.mkdir(parents=True)
    if text is not None:
        (isolated / "dockerd.pid").write_text(text)
    assert engine.stop_provided() is False


def test_the_daemon_that_this_project_started_is_stopped(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    isolated.mkdir(parents=True)
    (isolated / "dockerd.pid").write_text("1234567")
    running = [1234567]
    monkeypatch.setattr(engine, "_running", lambda _: running)
    monkeypatch.setattr(os, "kill", lambda pid, _: running.remove(pid))
    assert engine.stop_provided() is True
    assert running == []
    assert not (isolated / "dockerd.pid").exists()


# ---- whose things are dead ----


def _owner(**changes: str) -> str:
    names = ("boot", "namespace", "pid", "started")
    parts = dict(zip(names, Run.new().owner.split(":"), strict=True))
    return ":".join((parts | changes).values())


def test_a_process_that_runs_is_not_dead() -> None:
    assert not engine.is_dead(_owner(), age_hours=1000)


def test_a_process_that_ended_is_dead(dead_pid: int) -> None:
    assert engine.is_dead(_owner(pid=str(dead_pid)), age_hours=0)


def test_a_process_number_that_was_reused_is_dead() -> None:
    assert engine.is_dead(_owner(started="1"), age_hours=0)


@pytest.mark.parametrize("part", ["boot", "namespace"])
def test_a_process_of_another_boot_or_namespace_is_dead_after_twelve_hours(part: str) -> None:
    owner = _owner(**{part: "other"})
    assert not engine.is_dead(owner, age_hours=11.9)
    assert engine.is_dead(owner, age_hours=12.1)


@pytest.mark.parametrize("owner", ["", "nobody", "a:b:c"])
def test_an_owner_that_cannot_be_read_is_dead(owner: str) -> None:
    assert engine.is_dead(owner, age_hours=0)


def test_an_owner_without_a_process_number_is_dead() -> None:
    assert engine.is_dead(_owner(pid="x"), age_hours=0)


@pytest.mark.parametrize(
    "told",
    [
        {"Created": "2024-05-01T12:00:00.123456789Z"},
        {"CreatedAt": "2024-05-01T12:00:00Z"},
        {"Created": "2024-05-01T19:30:00+07:30"},
        {"Created": "2024-05-01T12:00:00"},
    ],
)
def test_the_age_of_a_thing_counts_in_the_zone_that_it_is_told_in(told: dict[str, str]) -> None:
    same = {"Created": "2024-05-01T12:00:00Z"}
    assert engine._age_hours(told) == pytest.approx(engine._age_hours(same), abs=0.01)
    assert engine._age_hours(told) > 1000


@pytest.mark.parametrize("told", [{}, {"Created": "yesterday"}, {"Created": None}])
def test_a_thing_of_unknown_age_is_new(told: dict[str, Any]) -> None:
    assert engine._age_hours(told) == 0


# ---- the sweep ----

DEAD = {LABEL_RUN: "dead", LABEL_OWNER: "nobody"}
KINDS = ("containers", "networks", "volumes")


class _Thing:
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

    def remove(self, **how: bool) -> None:
        if self.error:
            raise self.error
        self.removed = how


def _client(**things: list[_Thing]) -> Any:
    """Return a client of an engine that has these things, and finds them by label."""

    def listing(kind: str) -> Any:
        def found(filters: dict[str, str], **__: bool) -> list[_Thing]:
            key, _, value = filters["label"].partition("=")
            have = things.get(kind, [])
            return [t for t in have if key in t.labels and value in ("", t.labels[key])]

        return SimpleNamespace(list=found)

    return SimpleNamespace(**{kind: listing(kind) for kind in KINDS})


def _api_error(status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("refused", response=response)


def test_the_sweep_takes_what_dead_runs_left_and_nothing_else() -> None:
    live = Run.new().labels()
    mine = {kind: [_Thing(DEAD), _Thing(live), _Thing({"other": "project"})] for kind in KINDS}
    assert engine.sweep(_client(**mine)) == 3
    for things in mine.values():
        assert [thing.removed is not None for thing in things] == [True, False, False]


def test_the_sweep_forces_containers_off_with_their_volumes() -> None:
    thing = _Thing(DEAD)
    engine.sweep(_client(containers=[thing]))
    assert thing.removed == {"force": True, "v": True}


def test_the_sweep_of_one_run_takes_all_of_it_though_it_lives() -> None:
    run = Run.new()
    mine, others, dead = _Thing(run.labels()), _Thing(Run.new().labels()), _Thing(DEAD)
    assert engine.sweep(_client(networks=[mine, others, dead]), run=run.id) == 1
    assert mine.removed is not None
    assert others.removed is dead.removed is None


def test_the_sweep_of_everything_takes_live_runs_too() -> None:
    live, foreign = _Thing(Run.new().labels()), _Thing({})
    assert engine.sweep(_client(volumes=[live, foreign]), everything=True) == 1
    assert foreign.removed is None


@pytest.mark.parametrize(
    "error", [docker.errors.NotFound("gone"), _api_error(409), _api_error(403)]
)
def test_what_another_sweep_is_removing_is_left_to_it(error: Exception) -> None:
    assert engine.sweep(_client(networks=[_Thing(DEAD, error), _Thing(DEAD)])) == 1


@pytest.mark.parametrize(("second", "removed"), [(None, 2), (docker.errors.NotFound("gone"), 1)])
def test_a_removal_that_fails_once_is_tried_again(second: Exception | None, removed: int) -> None:
    class Busy(_Thing):
        def remove(self, **_how: bool) -> None:
            first, self.error = self.error, second
            if first:
                raise first

    busy = Busy(DEAD, _api_error(500))
    assert engine.sweep(_client(containers=[busy, _Thing(DEAD)])) == removed


@pytest.mark.parametrize("error", [_api_error(500), requests.ConnectionError("gone")])
def test_an_engine_that_fails_in_the_sweep_is_the_testbeds_failure(error: Exception) -> None:
    with pytest.raises(TestbedFailure) as raised:
        engine.sweep(_client(containers=[_Thing(DEAD, error)]))
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "sweep")


def test_what_is_kept_for_a_person_outlives_its_run_for_a_day() -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    young = _Thing(DEAD, name=f"{engine.KEPT_PREFIX}cell", created=now)
    old = _Thing(DEAD, name=f"{engine.KEPT_PREFIX}cell")
    other = _Thing(DEAD, created=now)
    assert engine.sweep(_client(containers=[young, old, other])) == 2
    assert young.removed is None
    assert engine.sweep(_client(containers=[young]), run=DEAD[LABEL_RUN]) == 0
    assert engine.sweep(_client(containers=[young]), everything=True) == 1


def test_what_is_kept_is_removed_with_its_network_and_nothing_else() -> None:
    kept, index = (_Thing(DEAD, name=f"{engine.KEPT_PREFIX}{name}") for name in ("cell", "index"))
    live = _Thing(Run.new().labels())
    network, others = _Thing(DEAD), _Thing(Run.new().labels())
    things = {"containers": [kept, index, live], "networks": [network, others]}
    assert engine.remove_kept(_client(**things)) == 3
    assert live.removed is others.removed is None


def test_two_runs_of_one_process_have_an_owner_in_common_and_names_of_their_own() -> None:
    one, other = Run.new(), Run.new()
    assert one.owner == other.owner
    assert one.id != other.id
    assert one.labels() == {LABEL_RUN: one.id, LABEL_OWNER: one.owner}


def test_every_name_of_an_image_is_removed_and_a_nameless_one_by_its_id() -> None:
    removed: list[str] = []
    have = [SimpleNamespace(id="1", tags=["a:1", "a:2"]), SimpleNamespace(id="sha256:2", tags=[])]
    images = SimpleNamespace(
        list=lambda filters: have if filters == {"label": engine.LABEL_IMAGE} else [],
        remove=lambda tag, **_: removed.append(tag),
    )
    client: Any = SimpleNamespace(images=images)
    assert engine.remove_images(client) == 2
    assert removed == ["a:1", "a:2", "sha256:2"]
