"""How the commands end: a crash of the suite is no verdict, and a killed run leaves none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.engine import Engine
from containers.state import state_folder
from tests.faults.commands import ROOT, environment, read_report, run_to_end
from tests.helpers.sample_run import LINUX, cell
from tests.helpers.sample_run import report as sample_report
from tests.helpers.sample_wheels import linux_wheel
from verification.models.errors import ExitCode
from verification.models.verdict import Verdict
from verification.report import writer

_CLOSED = "http://127.0.0.1:9/simple"
"""The discard port: nothing listens there."""
NO_INDEX = {
    "PIP_INDEX_URL": _CLOSED,
    "PIP_EXTRA_INDEX_URL": _CLOSED,
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": os.devnull,
}
GATE = ("gate", "--machine=debian-13")
DYING_WORKER = "tests.faults.dying_worker"


def launch(*words: str, **changes: str) -> tuple[int, str]:
    """Run the launcher to its end; return its exit code and all output."""
    ended = run_to_end([str(ROOT / "e2e"), *words], **changes)
    return ended.code, ended.output


def _last(output: str) -> str:
    """Return the last line, which must be the launcher's or a command's, without a traceback."""
    assert "Traceback" not in output, output
    line = output.strip().splitlines()[-1]
    assert line.startswith("e2e: "), output
    return line


# ---- the launcher ----


@pytest.mark.parametrize("closed", ["<&- 2>&-", "<&- >&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_do_not_change_the_exit_code(closed: str) -> None:
    shell = ["sh", "-c", f'"$0" compare --list {closed}', str(ROOT / "e2e")]
    ran = subprocess.run(shell, env=environment(), capture_output=True, text=True, timeout=60)

    assert ran.returncode == ExitCode.VERIFIED, ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_crash_of_the_launcher_is_one_line_and_no_failure_of_the_package(tmp_path: Path) -> None:
    for name in ("e2e", "verification", "containers", "requirements", "tox.ini"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path)
    (tmp_path / "containers" / "machines.toml").write_bytes(b"\xd9")
    ran = subprocess.run([tmp_path / "e2e", "gate"], env=environment(), capture_output=True)

    assert ran.returncode == ExitCode.TESTBED_FAILED
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_selection_without_a_test_is_unverified(tmp_path: Path) -> None:
    code, output = launch(*GATE, "-k", "nothing_matches", "--report", str(tmp_path / "report"))

    assert code == ExitCode.UNVERIFIED, output


# ---- environments ----


@pytest.mark.parametrize("command", ["gate", "lint"])
def test_an_index_that_is_down_while_the_environment_is_made(tmp_path: Path, command: str) -> None:
    code, output = launch(command, **NO_INDEX, E2E_TOX_WORK_DIR=str(tmp_path / "tox"))

    assert code == ExitCode.TESTBED_FAILED
    assert "cannot be made: ERROR: " in _last(output)
    assert "pip config list" in _last(output)


def test_doctor_answers_without_an_environment(tmp_path: Path) -> None:
    code, output = launch("doctor", **NO_INDEX, E2E_TOX_WORK_DIR=str(tmp_path / "tox"))

    assert code == ExitCode.TESTBED_FAILED
    assert "missing  the environment of the suite" in output
    assert "mmdebstrap" in output


@pytest.mark.long
def test_a_cached_tox_that_is_empty_is_made_again(tmp_path: Path) -> None:
    version = f"tox-{sys.version_info.major}.{sys.version_info.minor}"
    launch("compare", "--list")  # makes it
    shutil.copytree(state_folder() / version, tmp_path / version, symlinks=True)
    (tmp_path / version / "bin" / "tox").write_bytes(b"")
    code, output = launch("gate", **NO_INDEX, QUIVERDB_E2E_STATE=str(tmp_path))

    assert code == ExitCode.TESTBED_FAILED
    assert "making the private environment for tox" in output
    assert "pip cannot install tox" in _last(output)


@pytest.mark.long
@pytest.mark.parametrize("damage", ["bin/python", "lib/python*/site-packages/pydantic"])
def test_a_damaged_environment_is_made_again(tmp_path: Path, damage: str) -> None:
    launch("compare", "--list")  # makes it
    made = Path(os.environ.get("E2E_TOX_WORK_DIR") or ROOT / ".tox") / "gate"
    shutil.copytree(made, tmp_path / "gate", symlinks=True)
    (damaged,) = (tmp_path / "gate").glob(damage)
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    code, output = launch("gate", **NO_INDEX, E2E_TOX_WORK_DIR=str(tmp_path))

    assert code == ExitCode.TESTBED_FAILED
    assert "making the environment gate" in output
    assert "the environment gate cannot be made" in _last(output)


@pytest.mark.long
@pytest.mark.usefixtures("container_engine")
def test_two_gates_at_once_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    linux_wheel(wheels)
    options = [f"--wheels={wheels}", "--machine=debian-13", "-k", "uv"]
    gates = [
        subprocess.Popen(
            [str(clone / "e2e"), "gate", *options, f"--report={tmp_path / name}"],
            env=environment(E2E_TOX_WORK_DIR=""),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("first", "second")
    ]
    outputs = [gate.communicate(timeout=600)[0] for gate in gates]
    codes = [gate.returncode for gate in gates]
    # The sample wheel has no library: what counts is that both runs came to their verdict.
    assert codes == [ExitCode.PACKAGE_FAILED] * 2, outputs
    verdicts = [read_report(tmp_path / name).verdict for name in ("first", "second")]
    assert verdicts == [Verdict.FAILED] * 2


# ---- wrong use ----


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["gate", "--no-such-option"], "gate: unrecognized arguments: --no-such-option"),
        (["gate", "-n", "few"], "gate: argument -n/--numprocesses"),
        (["gate", "-p", "no_such_plugin"], 'gate: Error importing plugin "no_such_plugin"'),
        (["gate", "no/such/file"], "no/such/file: there is no such option"),
        (["gate", "--wheels", "no/such/folder"], "there is no such folder"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(
    tmp_path: Path, words: list[str], line: str
) -> None:
    code, output = launch(*words, f"--report={tmp_path / 'new' / 'report'}")

    assert code == ExitCode.WRONG_USE
    assert line in _last(output)
    assert len(output.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def _verified(folder: Path) -> dict[str, bytes]:
    """Write the report of yesterday's run, and return its files."""
    report = sample_report(cell(LINUX)).model_copy(update={"verdict": Verdict.VERIFIED})
    writer.write(folder, report)
    return _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("noticed", ["at once", "in the set-up"])
def test_wrong_use_leaves_the_earlier_report(tmp_path: Path, noticed: str) -> None:
    report, wheels = tmp_path / "report", tmp_path / "wheels"
    earlier = _verified(report)
    if noticed == "in the set-up":
        wheels.mkdir()
        (wheels / "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl").write_text("no wheel")
    code, output = launch("gate", f"--wheels={wheels}", f"--report={report}")

    assert code == ExitCode.WRONG_USE, output
    assert _files(report) == earlier


# ---- a run that ends in its set-up ----


@contextlib.contextmanager
def _silent_engine(folder: Path) -> Iterator[str]:
    """Yield the address of an engine that never answers: the set-up waits for it."""
    path = folder / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(16)
        yield f"unix://{path}"


@contextlib.contextmanager
def _in_set_up(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a run in its set-up, which began to write its report over an earlier one.

    `words` are its command and options, by default those of a gate.
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
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not _has_begun(report, before):
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            for pid in (*_children(process.pid), process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()


def _has_begun(report: Path, before: bytes) -> bool:
    """Return whether the last form of the report of this run is written."""
    results, page = report / "results.json", report / "index.html"
    return page.exists() and results.exists() and results.read_bytes() != before


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text("ascii").split()] if path.exists() else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_interrupted_in_its_set_up_ends_with_5(
    tmp_path: Path, number: signal.Signals
) -> None:
    _verified(tmp_path / "report")
    with _in_set_up(tmp_path) as process:
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == ExitCode.UNVERIFIED, output
    report = read_report(tmp_path / "report")
    assert (report.verdict, report.interrupted) == (Verdict.UNVERIFIED, True)


@pytest.mark.parametrize("words", [GATE, ("reproduce", "--os=debian-13")], ids=lambda w: w[0])
def test_a_run_killed_in_its_set_up_leaves_no_verdict(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    _verified(tmp_path / "report")
    with _in_set_up(tmp_path, *words) as process:
        (command,) = _children(process.pid)
        os.kill(command, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == ExitCode.TESTBED_FAILED
    assert "signal 9 ended it before a verdict" in _last(output)
    report = read_report(tmp_path / "report")
    assert (report.verdict, report.finished) == (Verdict.UNVERIFIED, False)
    for name in writer.FILES[1:]:
        assert "did not finish" in (tmp_path / "report" / name).read_text("utf-8"), name


def test_a_launcher_that_is_killed_interrupts_its_run(tmp_path: Path) -> None:
    with _in_set_up(tmp_path) as process:
        process.kill()
        process.communicate(timeout=60)  # to the end of all that writes to this terminal

    assert process.returncode == -signal.SIGKILL, "the code is the shell's"
    assert read_report(tmp_path / "report").interrupted


@pytest.mark.parametrize(
    "words", [["replay", "--all", "--from"], ["bundle", "--from"], ["compare"]], ids=lambda w: w[0]
)
def test_the_report_of_a_killed_run_is_read_by_no_command(tmp_path: Path, words: list[str]) -> None:
    report = sample_report(cell(LINUX)).model_copy(update={"finished": False})
    writer.write(tmp_path, report)
    code, output = launch(*words, str(tmp_path), QUIVERDB_E2E_HISTORY=str(tmp_path / "none"))

    assert code == ExitCode.WRONG_USE
    assert "did not finish" in _last(output)
    assert len(output.strip().splitlines()) == 1


# ---- a crash of the suite ----


@pytest.mark.usefixtures("container_engine")
def test_a_cache_that_is_damaged(tmp_path: Path) -> None:
    state, wheels, report = tmp_path / "state", tmp_path / "wheels", tmp_path / "report"
    version = f"tox-{sys.version_info.major}.{sys.version_info.minor}"
    launch("compare", "--list")  # makes it
    for folder in (state, wheels):
        folder.mkdir()
    (state / version).symlink_to(state_folder() / version)
    (state / "downloads").write_text("a file where a folder was")
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
def test_a_worker_that_dies_while_it_starts(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    linux_wheel(wheels)
    report = tmp_path / "report"
    options = [f"--wheels={wheels}", f"--report={report}", "--machine=debian-13"]
    code, output = launch("gate", *options, "-p", DYING_WORKER)

    assert code == ExitCode.TESTBED_FAILED, output
    assert read_report(report).verdict is Verdict.TESTBED


class _Relay:
    """Passes connections on to the engine until it is closed; then nothing answers."""

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
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._engine)
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def close(self) -> None:
        self._path.unlink()
        for one in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.long
@pytest.mark.parametrize("point", ["publishing the release: done", "cell 1/1"])
def test_an_engine_that_is_gone_after_the_set_up(
    tmp_path: Path, container_engine: Engine, good_wheel: Path, point: str
) -> None:
    if not container_engine.url.startswith("unix://"):
        pytest.skip("the engine has no socket here; run the tests where it has one")
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
        if point in line:
            relay.close()
            break
    lines += process.communicate(timeout=300)[0].splitlines()

    assert process.returncode == ExitCode.TESTBED_FAILED, "\n".join(lines)
    results = json.loads((report / "results.json").read_text("utf-8"))
    assert results["verdict"] == "testbed-failure"
    causes = {cause["name"] for item in results["items"] for cause in item["causes"]}
    assert "engine-unreachable" in causes
