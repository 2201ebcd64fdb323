"""The exit codes of the commands. A crash of the suite and a killed run have no verdict."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.engine import Engine
from containers.state import state_folder
from tests.faults.commands import ROOT, child_processes, environment, read_report, run_to_end
from tests.helpers.sample_run import LINUX, cell
from tests.helpers.sample_run import report as sample_report
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode
from verification.models.verdict import Verdict
from verification.report import writer

_CLOSED_PORT = "http://127.0.0.1:9/simple"
"""Nothing listens on port 9 (discard)."""
NO_INDEX = {
    "PIP_INDEX_URL": _CLOSED_PORT,
    "PIP_EXTRA_INDEX_URL": _CLOSED_PORT,
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": os.devnull,
}
GATE = ("gate", "--machine=debian-13")
DYING_WORKER = "tests.faults.dying_worker"


def launch(*words: str, **changes: str) -> tuple[int, str]:
    """Run the launcher to its end. Return its exit code and its output."""
    finished = run_to_end([str(ROOT / "e2e"), *words], **changes)
    return finished.code, finished.output


def _error_line(output: str) -> str:
    """Return the last line, which must be an error of this project. There must be no traceback."""
    assert "Traceback" not in output, output
    line = output.strip().splitlines()[-1]
    assert line.startswith("e2e: "), output
    return line


# ---- the launcher ----


@pytest.mark.parametrize("closed", ["<&- 2>&-", "<&- >&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_do_not_change_the_exit_code(closed: str) -> None:
    shell = ["sh", "-c", f'"$0" compare --list {closed}', str(ROOT / "e2e")]
    process = subprocess.run(shell, env=environment(), capture_output=True, text=True, timeout=60)

    assert process.returncode == ExitCode.VERIFIED, process.stderr
    assert "Traceback" not in process.stderr


def test_crash_of_the_launcher_is_one_line_and_a_testbed_failure(tmp_path: Path) -> None:
    for name in ("e2e", "verification", "containers", "requirements", "tox.ini"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path)
    (tmp_path / "containers" / "machines.toml").write_bytes(b"\xd9")
    process = subprocess.run([tmp_path / "e2e", "gate"], env=environment(), capture_output=True)

    assert process.returncode == ExitCode.TESTBED_FAILED
    assert len(process.stderr.splitlines()) == 1


def _is_read_only(folder: Path) -> list[str]:
    """Return the beginning of a command that runs with a read-only folder."""
    if os.geteuid() != 0:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        return []
    # Permissions do not bind root.
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, str(folder)]


@pytest.mark.long
def test_read_only_checkout_works(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    state, wheels = tmp_path / "state", tmp_path / "wheels"
    wheels.mkdir()
    linux_wheel(wheels)
    # Without an engine the run ends after the set-up, and writes its report.
    command = ["gate", f"--wheels={wheels}", "--machine=debian-13", "--no-provision"]
    process = subprocess.run(
        [*_is_read_only(checkout), str(checkout / "e2e"), *command],
        env=environment(
            QUIVERDB_E2E_STATE=str(state),
            QUIVERDB_E2E_TOX_WORK_DIR="",
            DOCKER_HOST=f"unix://{tmp_path}/nobody.sock",
        ),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert process.returncode == ExitCode.TESTBED_FAILED, process.stdout + process.stderr
    assert process.stderr == ""
    assert read_report(state / "report").verdict is Verdict.TESTBED
    assert str(state / "report" / "index.html") in process.stdout.splitlines()[-2]


# ---- environments ----


@pytest.mark.parametrize("command", ["gate", "lint"])
def test_unreachable_index_while_an_environment_is_made_is_a_testbed_failure(
    tmp_path: Path, command: str
) -> None:
    code, output = launch(command, **NO_INDEX, QUIVERDB_E2E_TOX_WORK_DIR=str(tmp_path / "tox"))

    assert code == ExitCode.TESTBED_FAILED
    line = _error_line(output)
    assert "ERROR: " in line, "the message of pip"
    assert "pip config list" in line


def test_doctor_runs_without_an_environment(tmp_path: Path) -> None:
    code, output = launch("doctor", **NO_INDEX, QUIVERDB_E2E_TOX_WORK_DIR=str(tmp_path / "tox"))

    assert code == ExitCode.TESTBED_FAILED
    assert "mmdebstrap" in output, "doctor checks what it can without an environment"


@pytest.mark.long
def test_damaged_tox_in_the_cache_is_installed_again(tmp_path: Path) -> None:
    version = f"tox-{sys.version_info.major}.{sys.version_info.minor}"
    launch("compare", "--list")  # makes the environments
    shutil.copytree(state_folder() / version, tmp_path / version, symlinks=True)
    (tmp_path / version / "bin" / "tox").write_bytes(b"")
    code, output = launch("gate", **NO_INDEX, QUIVERDB_E2E_STATE=str(tmp_path))

    assert code == ExitCode.TESTBED_FAILED
    line = _error_line(output)
    assert "tox" in line
    assert "ERROR: " in line, "the message of pip"


@pytest.mark.long
@pytest.mark.parametrize("damage", ["bin/python", "lib/python*/site-packages/pydantic"])
def test_damaged_environment_is_made_again(tmp_path: Path, damage: str) -> None:
    launch("compare", "--list")  # makes the environments
    gate = Path(os.environ.get("QUIVERDB_E2E_TOX_WORK_DIR") or ROOT / ".tox") / "gate"
    shutil.copytree(gate, tmp_path / "gate", symlinks=True)
    (damaged,) = (tmp_path / "gate").glob(damage)
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    code, output = launch("gate", **NO_INDEX, QUIVERDB_E2E_TOX_WORK_DIR=str(tmp_path))

    assert code == ExitCode.TESTBED_FAILED
    line = _error_line(output)
    assert "environment gate" in line
    assert "ERROR: " in line, "the message of pip"


@pytest.mark.long
@pytest.mark.usefixtures("container_engine")
def test_two_gates_run_at_once_in_a_new_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    linux_wheel(wheels)
    options = [f"--wheels={wheels}", "--machine=debian-13", "-k", "uv"]
    gates = [
        subprocess.Popen(
            [str(clone / "e2e"), "gate", *options, f"--report={tmp_path / name}"],
            env=environment(QUIVERDB_E2E_TOX_WORK_DIR=""),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("first", "second")
    ]
    outputs = [gate.communicate(timeout=600)[0] for gate in gates]
    codes = [gate.returncode for gate in gates]
    # The sample wheel has no library, so both runs fail.
    assert codes == [ExitCode.PACKAGE_FAILED] * 2, outputs
    verdicts = [read_report(tmp_path / name).verdict for name in ("first", "second")]
    assert verdicts == [Verdict.FAILED] * 2


# ---- wrong use ----


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["gate", "--no-such-option"], "--no-such-option"),
        (["gate", "-n", "few"], "-n/--numprocesses"),
        (["gate", "-p", "no_such_plugin"], "no_such_plugin"),
        (["gate", "no/such/file"], "no/such/file"),
        (["gate", "-k", "nosuch"], "-k nosuch"),
        (["gate", "--wheels", "no/such/folder"], "no/such/folder"),
    ],
)
def test_wrong_use_is_one_line_and_writes_no_report(
    tmp_path: Path, words: list[str], named: str
) -> None:
    code, output = launch(*words, f"--report={tmp_path / 'new' / 'report'}")

    assert code == ExitCode.WRONG_USE
    assert named in _error_line(output)
    assert len(output.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def _write_verified_report(folder: Path) -> dict[str, bytes]:
    """Write the report of an earlier, verified run. Return its files by name."""
    report = sample_report(cell(LINUX)).model_copy(update={"verdict": Verdict.VERIFIED})
    writer.write(folder, report)
    return _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("phase", ["command line", "set-up"])
def test_wrong_use_does_not_change_an_earlier_report(tmp_path: Path, phase: str) -> None:
    report, wheels = tmp_path / "report", tmp_path / "wheels"
    earlier = _write_verified_report(report)
    if phase == "set-up":
        wheels.mkdir()
        (wheels / "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl").write_text("text")
    code, output = launch("gate", f"--wheels={wheels}", f"--report={report}")

    assert code == ExitCode.WRONG_USE, output
    assert _files(report) == earlier


# ---- a run that ends in its set-up ----


@contextlib.contextmanager
def _silent_engine(folder: Path) -> Iterator[str]:
    """Yield the address of a fake engine that never answers, so that the set-up waits."""
    path = folder / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(16)
        yield f"unix://{path}"


@contextlib.contextmanager
def _in_set_up(
    folder: Path, *words: str, terminal: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Yield the process of a run that waits in its set-up and has replaced an earlier report.

    `words` are the command and its options, by default those of a gate. `terminal` is the terminal
    of the launcher, by default none.
    """
    report, wheels = folder / "report", folder / "wheels"
    wheels.mkdir()
    linux_wheel(wheels)
    before = (report / "results.json").read_bytes() if report.exists() else b""
    words = (*(words or GATE), f"--wheels={wheels}", f"--report={report}")
    with _silent_engine(folder) as address:
        process = subprocess.Popen(
            [str(ROOT / "e2e"), *words],
            env=environment(DOCKER_HOST=address),
            stdin=terminal,
            stdout=terminal or subprocess.PIPE,
            stderr=terminal or subprocess.STDOUT,
            text=True,
            start_new_session=terminal is not None,
            preexec_fn=_take_terminal if terminal else None,
        )
        try:
            deadline = time.monotonic() + 120
            while not _is_started(report, before):
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            for pid in (*child_processes(process.pid), process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()


def _take_terminal() -> None:
    """Make standard input the terminal of this session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _is_started(report: Path, before: bytes) -> bool:
    """Return True if the folder has a report whose results.json is not ``before``."""
    results, page = report / "results.json", report / "index.html"
    return page.exists() and results.exists() and results.read_bytes() != before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_that_is_interrupted_in_its_set_up_is_unverified(
    tmp_path: Path, number: signal.Signals
) -> None:
    _write_verified_report(tmp_path / "report")
    with _in_set_up(tmp_path) as process:
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == ExitCode.UNVERIFIED, output
    report = read_report(tmp_path / "report")
    assert (report.verdict, report.interrupted) == (Verdict.UNVERIFIED, True)


def test_run_whose_terminal_closes_is_interrupted(tmp_path: Path) -> None:
    controlling, terminal = os.openpty()
    with _in_set_up(tmp_path, terminal=terminal) as process:
        os.close(terminal)
        os.close(controlling)  # the kernel sends SIGHUP to the launcher
        code = process.wait(timeout=60)

    assert code == ExitCode.UNVERIFIED
    report = read_report(tmp_path / "report")
    assert (report.verdict, report.interrupted) == (Verdict.UNVERIFIED, True)


@pytest.mark.parametrize("words", [GATE, ("reproduce", "--os=debian-13")], ids=lambda w: w[0])
def test_run_that_is_killed_in_its_set_up_has_no_verdict(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    _write_verified_report(tmp_path / "report")
    with _in_set_up(tmp_path, *words) as process:
        (command,) = child_processes(process.pid)
        os.kill(command, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == ExitCode.TESTBED_FAILED
    assert "signal 9" in _error_line(output)
    report = read_report(tmp_path / "report")
    assert (report.verdict, report.finished) == (Verdict.UNVERIFIED, False)
    expected = tmp_path / "expected"
    writer.write(expected, report)
    for name in writer.FILES:
        assert (tmp_path / "report" / name).read_bytes() == (expected / name).read_bytes(), name


def test_killed_launcher_interrupts_its_run(tmp_path: Path) -> None:
    with _in_set_up(tmp_path) as process:
        process.kill()
        process.communicate(timeout=60)  # until all processes of the run ended

    assert process.returncode == -signal.SIGKILL
    assert read_report(tmp_path / "report").interrupted


@pytest.mark.parametrize(
    "words", [["replay", "--all", "--from"], ["bundle", "--from"], ["compare"]], ids=lambda w: w[0]
)
def test_no_command_reads_the_report_of_a_killed_run(tmp_path: Path, words: list[str]) -> None:
    report = sample_report(cell(LINUX)).model_copy(update={"finished": False})
    writer.write(tmp_path, report)
    code, output = launch(*words, str(tmp_path), QUIVERDB_E2E_HISTORY=str(tmp_path / "none"))

    assert code == ExitCode.WRONG_USE
    assert str(tmp_path) in _error_line(output)
    assert len(output.strip().splitlines()) == 1


# ---- a crash of the suite ----


@pytest.mark.usefixtures("container_engine")
def test_damaged_cache_folder_is_a_testbed_failure(tmp_path: Path) -> None:
    state, wheels, report = tmp_path / "state", tmp_path / "wheels", tmp_path / "report"
    version = f"tox-{sys.version_info.major}.{sys.version_info.minor}"
    launch("compare", "--list")  # makes the environments
    for folder in (state, wheels):
        folder.mkdir()
    (state / version).symlink_to(state_folder() / version)
    (state / "downloads").write_text("a file instead of a folder")
    linux_wheel(wheels)
    options = [f"--wheels={wheels}", f"--report={report}", "--machine=debian-13"]
    code, output = launch("gate", *options, QUIVERDB_E2E_STATE=str(state))

    assert code == ExitCode.TESTBED_FAILED, output
    assert "Traceback" not in output
    assert "NotADirectoryError" in output
    assert read_report(report).verdict is Verdict.TESTBED
    assert "Traceback" in (state / "crash.log").read_text("utf-8")


@pytest.mark.long
@pytest.mark.usefixtures("container_engine")
def test_worker_that_ends_while_it_starts_is_a_testbed_failure(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    linux_wheel(wheels)
    report = tmp_path / "report"
    options = [f"--wheels={wheels}", f"--report={report}", "--machine=debian-13"]
    code, output = launch("gate", *options, "-p", DYING_WORKER)

    assert code == ExitCode.TESTBED_FAILED, output
    assert read_report(report).verdict is Verdict.TESTBED


class _Relay:
    """Forwards connections to the engine until it is closed."""

    def __init__(self, path: Path, engine: str) -> None:
        self.address = f"unix://{path}"
        self._engine = engine.removeprefix("unix://")
        self._sockets: list[socket.socket] = []
        self._path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._engine)
                self._sockets += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def close(self) -> None:
        self._path.unlink()
        for connection in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.long
@pytest.mark.parametrize(
    "pattern", [r"\bindex\b.*: done", r"\b1/1 debian-13-uv-venv"], ids=["set-up", "cell"]
)
def test_engine_that_stops_after_the_set_up_is_a_testbed_failure(
    tmp_path: Path, container_engine: Engine, good_wheel: Path, pattern: str
) -> None:
    if not container_engine.url.startswith("unix://"):
        pytest.skip("not run: the engine has no Unix socket. Set DOCKER_HOST to a Unix socket")
    report = tmp_path / "report"
    relay = _Relay(tmp_path / "engine.sock", container_engine.url)
    wheels = f"--wheels={good_wheel.parent}"
    options = [wheels, f"--report={report}", "--machine=debian-13", "-k", "uv"]
    process = subprocess.Popen(
        [str(ROOT / "e2e"), "gate", *options],
        env=environment(DOCKER_HOST=relay.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            relay.close()
            break
    lines += process.communicate(timeout=300)[0].splitlines()

    assert process.returncode == ExitCode.TESTBED_FAILED, "\n".join(lines)
    results = read_report(report)
    assert results.verdict is Verdict.TESTBED
    causes = {cause.name for item in results.items for cause in item.causes}
    assert "engine-unreachable" in causes
