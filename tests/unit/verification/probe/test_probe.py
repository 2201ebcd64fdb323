"""The probe: snapshots, commands, and the evidence of a cell."""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.helpers.sample_exercise import PLAN_KEYS, SMOKE, TABLES, install, write_scripts
from verification.models.machine import (
    DATA_FOLDER,
    LAYOUTS,
    OWN_ACTIONS,
    PLAN,
    PLUGIN,
    SCRIPTS,
    SMOKE_TEST,
)
from verification.probe import probe
from verification.probe.probe import Account, CommandRun, FilesystemSnapshot, Instructions

OTHER = os.getuid() + 1
"""The number of another user."""
SAME = Account("")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return a folder with system files, and with home files that each user can write."""
    for name in ("system/bin/tool", "system/lib/deep/library", "home/notes", "home/empty/.keep"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o666 if name.startswith("home") else 0o644)
    (tmp_path / "system/link").symlink_to("bin/tool")
    return tmp_path


CHANGES = {
    "none": "true",
    "change a user's file": "echo other >home/notes",
    "change the mode of a file": "chmod 600 home/notes",
    "add a file": "touch system/lib/deep/new",
    "remove a file": "rm system/bin/tool",
    "replace a file": "mv system/lib/deep/library system/bin/tool",
    "replace a link": "ln -sf lib/deep/library system/link",
    "add a folder": "mkdir -p home/empty/folder/below",
    "change the mode of a folder": "chmod 700 system/lib",
    "rename a folder": "mv system/lib system/other",
    "replace a folder by a file": "rm -r home/empty; touch home/empty",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_second_snapshot_equals_a_full_one(
    machine: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TICK", 0)
    time.sleep(0.02)
    before = FilesystemSnapshot([str(machine)], [], OTHER)
    time.sleep(0.02)
    subprocess.run(["sh", "-ec", CHANGES[change]], cwd=machine, check=True)
    full = FilesystemSnapshot([str(machine)], [], OTHER)

    assert FilesystemSnapshot([str(machine)], [], OTHER, before).tree == full.tree
    assert (full.tree == before.tree) == (change == "none")


def test_a_change_within_one_tick_of_the_clock_is_recorded(machine: Path) -> None:
    # The next snapshot reads a folder again that changed just before the snapshot.
    for number in range(50):
        path = machine / f"system/bin/{number}"
        before = FilesystemSnapshot([str(machine)], [], OTHER)
        path.touch()
        assert str(path) in FilesystemSnapshot([str(machine)], [], OTHER, before).tree


def test_unchanged_system_files_are_not_read_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TICK", 0)
    time.sleep(0.02)
    before = FilesystemSnapshot([str(machine)], [], OTHER)
    paths: list[str] = []
    lstat = os.lstat

    def recording_lstat(path: str) -> os.stat_result:
        paths.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", recording_lstat)
    FilesystemSnapshot([str(machine)], [], OTHER, before)

    assert str(machine / "home/notes") in paths
    assert str(machine / "system/bin/tool") not in paths


def test_skipped_folders_are_in_no_snapshot(machine: Path) -> None:
    skipped = [str(machine / "home")]
    first = FilesystemSnapshot([str(machine)], skipped, OTHER)
    second = FilesystemSnapshot([str(machine)], skipped, OTHER, first)
    assert first.tree == second.tree
    assert not [path for path in first.tree if path.startswith(skipped[0])]


# ---- commands ----


def _run(tmp_path: Path, script: str, seconds: float = 20) -> CommandRun:
    return probe.run(["sh", "-c", script], os.environ, str(tmp_path), seconds, SAME)


def test_the_exit_code_and_the_output_of_a_command_are_recorded(tmp_path: Path) -> None:
    result = _run(tmp_path, "echo out; echo err >&2; exit 3")
    assert (result["code"], result["stdout"], result["stderr"]) == (3, "out\n", "err\n")
    assert not result["timed_out"]


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    result = _run(tmp_path, "sleep 50 & echo $! >child; wait", 0.3)
    assert result["timed_out"]
    assert result["code"] == -9
    child = int((tmp_path / "child").read_text())
    for _ in range(100):  # until the new parent process reaps the child
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child still runs")


def test_a_child_that_keeps_running_does_not_delay_its_command(tmp_path: Path) -> None:
    result = _run(tmp_path, "sleep 50 & echo $!")
    os.kill(int(result["stdout"]), 9)
    assert (result["code"], result["timed_out"]) == (0, False)


# ---- the evidence of a cell ----


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instructions:
    """Return the instructions of a cell. It creates a file as its installation and removes it."""
    monkeypatch.setattr(probe, "processes", lambda _: [])  # other tests start and end processes
    data = tmp_path / "suite" / DATA_FOLDER
    data.mkdir(parents=True)
    (tmp_path / "suite" / SCRIPTS["exercise.py"]).write_text(
        f"open('{data}/steps.jsonl', 'w').write('{{\"step\": \"end\"}}\\nnoise\\n')\n"
        f"open('{data}/trace.txt', 'w').write('trace')\nopen('data.db', 'w').write('x')\n"
    )
    return {
        "folder": str(tmp_path / "suite"),
        "cwd": str(tmp_path / "project"),
        "account": "",
        "env": {"SHOWN": "2"},
        "exercise_env": {},
        "python": [sys.executable],
        "setup": [["true"], ["sh", "-c", "exit 4"], ["true"]],
        "first": [],
        "install": ["touch", str(tmp_path / "installed")],
        "reinstall": False,
        "umask": -1,
        "after_install": [],
        "before_uninstall": [],
        "prelude": "",
        "import_statement": "open('made', 'w')",
        "uninstall": ["rm", str(tmp_path / "installed")],
        "roots": [str(tmp_path)],
        "skipped": [str(tmp_path / "suite")],
        "skipped_keys": [],
        "seconds": {"install": 20, "import": 20, "exercise": 20, "tests": 20},
    }


def _evidence(spec: Instructions, **changes: Any) -> dict[str, Any]:
    cell = probe.ProbeRun(cast(Instructions, {**spec, **changes}))
    cell.run()
    evidence: dict[str, Any] = json.loads(json.dumps(cell.evidence))
    return evidence


def test_the_result_of_each_command_is_recorded(spec: Instructions, tmp_path: Path) -> None:
    evidence = _evidence(spec)
    installed = str(tmp_path / "installed")
    assert evidence["installed"] == {"added": [installed], "removed": [], "changed": []}
    assert evidence["since_installed"] == {"added": [], "removed": [installed], "changed": []}
    assert evidence["left"] == {"added": [], "removed": [], "changed": []}
    assert evidence["registry"] == {"added": [], "removed": [], "changed": []}
    assert [run["code"] for run in evidence["setup"]] == [0, 4], "the last command did not run"
    assert evidence["import"]["made"] == ["made"]
    assert evidence["exercise"]["trace"] == "trace"
    assert list(evidence["exercise"]["steps"]) == ["end", "garbled"]
    assert evidence["on_disk"] == {"data.db": "eA=="}
    assert (evidence["install"]["code"], evidence["uninstall"]["code"]) == (0, 0)
    assert evidence["env"]["SHOWN"] == "2"
    assert set(evidence["seconds"]) == {"first-look", "all"}
    assert "again" not in evidence
    assert "tests" not in evidence


def test_after_a_failed_installation_the_package_is_not_used(spec: Instructions) -> None:
    evidence = _evidence(spec, install=["sh", "-c", "echo no >&2; exit 1"], reinstall=True)
    assert (evidence["install"]["code"], evidence["install"]["stderr"]) == (1, "no\n")
    assert not {"again", "import", "exercise", "on_disk", "uninstall"} & set(evidence)
    assert evidence["left"]["added"] == []


def test_a_repeated_installation_is_recorded(spec: Instructions, tmp_path: Path) -> None:
    command = ["sh", "-c", f"date +%N >> {tmp_path / 'installed'}"]
    evidence = _evidence(spec, install=command, reinstall=True)
    assert evidence["again"]["code"] == 0
    assert evidence["again"]["difference"]["changed"] == [str(tmp_path / "installed")]


def test_the_packages_own_tests_run_after_the_exercise(spec: Instructions, tmp_path: Path) -> None:
    (tmp_path / "suite" / "tests" / "tests").mkdir(parents=True)
    own_tests = {
        "source": str(tmp_path / "suite" / "tests"),
        "root": str(tmp_path / "project" / "own-tests"),
        "folder": str(tmp_path / "project" / "own-tests"),
        "tests": str(tmp_path / "project" / "own-tests" / "tests"),
        "scratch": str(tmp_path / "project" / "scratch"),
        "test_events": str(tmp_path / "suite" / "test_events"),
        "trace": str(tmp_path / "suite" / "own-trace"),
        "tool": ["true"],
        "command": [
            "sh",
            "-c",
            "ls; echo line > ../../suite/test_events; echo stack > ../../suite/own-trace; exit 3",
        ],
        "env": {},
    }
    tests = _evidence(spec, tests=own_tests)["tests"]
    assert (tests["code"], tests["stdout"], tests["tool"]["code"]) == (3, "tests\n", 0)
    assert (tests["test_events"], tests["trace"]) == ("line\n", "stack\n")
    without_pytest = _evidence(spec, tests=own_tests | {"tool": ["false"]})["tests"]
    assert without_pytest["tool"]["code"] == 1
    assert without_pytest["test_events"] == ""
    assert "code" not in without_pytest
    crash = {**spec, "python": ["sh", "-c", "exit 3"]}
    assert "tests" not in _evidence(cast(Instructions, crash), tests=own_tests)


def test_a_process_that_keeps_running_is_recorded(
    spec: Instructions, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = iter([["init"]])
    monkeypatch.setattr(probe, "processes", lambda _: next(running, ["init", "child"]))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    evidence = _evidence(spec)
    assert (evidence["processes_before"], evidence["processes"]) == (["init"], ["child"])


def test_running_processes_are_listed_by_their_command_lines() -> None:
    command = ["sh", "-c", "echo; read line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()  # the program has started
        assert " ".join(command) in probe.processes(SAME)
        process.stdin.close()


def test_process_with_the_command_line_of_another_one_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "processes", lambda _: ["init", "init"])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert probe.new_processes(["init"], SAME) == ["init"]
    assert probe.new_processes(["init", "init"], SAME) == []


def test_process_without_a_command_line_has_the_name_of_its_program(
    sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open

    def open_file(path: object, *arguments: Any, **options: Any) -> Any:
        is_line = str(path).endswith("/cmdline")
        return io.BytesIO(b"\0") if is_line else real(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(builtins, "open", open_file)
    assert probe.processes(OtherAccount(sleeper)) == ["[sleep]"]
    os.kill(sleeper, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper, os.WEXITED | os.WNOWAIT)  # it stays, without a parent that waits
    assert probe.processes(OtherAccount(sleeper)) == []


def test_command_that_cannot_start_has_an_exit_code(tmp_path: Path) -> None:
    for command, folder in ((["no-such-command"], tmp_path), (["true"], tmp_path / "none")):
        result = probe.run_after_install(command, os.environ, str(folder), 20, SAME)
        assert (result["code"], result["timed_out"]) == (127, False)
        assert result["stderr"].startswith("FileNotFoundError: ")
    with pytest.raises(FileNotFoundError):
        probe.run(["no-such-command"], os.environ, str(tmp_path), 20, SAME)


def test_names_of_a_difference_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_NAME_CHARACTERS", 3)
    after = {name: [0] for name in ("a", "bb", "c")}
    assert probe.difference({}, after)["added"] == ["a", "bb"]


@pytest.mark.parametrize("name", ["question", "second"])
def test_evidence_of_a_package_that_replaces_files_of_the_suite_is_refused(
    spec: Instructions, name: str
) -> None:
    (Path(spec["folder"]) / DATA_FOLDER / name).symlink_to("target")
    evidence = _evidence(spec)
    assert evidence["testbed"]["cause"] == "evidence-refused"
    assert "left" in evidence


# ---- the account of the user ----


@pytest.mark.parametrize(
    ("signals", "state"),
    [([], "running"), ([signal.SIGSTOP], "stopped"), ([signal.SIGKILL], "ended")],
    ids=["none", "stop", "kill"],
)
def test_signal_to_another_process_of_the_user_is_recorded(signals: list[int], state: str) -> None:
    account = Account("")
    account.is_separate = True
    other = probe.OtherProcess(account)
    process = other._process
    assert process
    for number in signals:
        process.send_signal(number)
    deadline = time.monotonic() + 10
    while other.state() != state and time.monotonic() < deadline:
        time.sleep(0.01)
    assert other.state() == state
    other.end()
    assert probe.OtherProcess(SAME).state() is None


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Start a process that sleeps, and return its number."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


class OtherAccount(Account):
    """An account to which only the given process belongs."""

    def __init__(self, process: int) -> None:
        super().__init__("")
        self.is_separate = True
        self._process = process

    def processes(self) -> set[int]:
        """Return the given process."""
        return {self._process}


def test_processes_of_the_user_are_stopped_for_a_reading(sleeper: int) -> None:
    with OtherAccount(sleeper).stopped():
        assert _state(sleeper) == "T"
    assert _state(sleeper) in "SR"


def test_processes_of_the_user_continue_after_an_error(sleeper: int) -> None:
    with pytest.raises(ValueError, match="planted"), OtherAccount(sleeper).stopped():
        raise ValueError("planted")
    assert _state(sleeper) in "SR"


def test_a_process_that_does_not_stop_is_an_error(
    sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_STOP_SECONDS", 0)
    monkeypatch.setattr(probe, "_is_running", lambda _: True)
    with pytest.raises(OSError, match="stop"), OtherAccount(sleeper).stopped():
        pass


def test_only_the_processes_of_an_account_belong_to_it(sleeper: int) -> None:
    assert sleeper in SAME.processes()
    assert os.getpid() not in SAME.processes()
    nobody = Account("")
    nobody.uid = 2**31 - 5
    assert nobody.processes() == set()


def test_a_claim_is_only_a_regular_file_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a\r\nb")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    assert probe.read_text(str(tmp_path / "file"), SAME) == "a\nb"
    assert probe.read_claim(str(tmp_path / "file"), SAME, 1) == b"a"
    for name in ("link", "fifo", "absent", "."):
        assert probe.read_claim(str(tmp_path / name), SAME) is None, name


ASK = "import os\nopen('question', 'w').write({number})\nopen('answer', 'rb', buffering=0).read(1)"


def _asked(folder: Path, number: str) -> dict[str, Any]:
    """Return the reading of a process that asks for the reading of a number."""
    reader = probe.LibraryReader(str(folder), SAME)
    command = [sys.executable, "-c", f"import _sqlite3\n{ASK.format(number=number)}"]
    result = probe.run(command, os.environ, str(folder), 20, SAME, reader)
    assert (result["code"], result["timed_out"]) == (0, False)
    return dict(reader.reading)


def test_the_probe_reads_the_libraries_of_the_process_that_asks(tmp_path: Path) -> None:
    reading = _asked(tmp_path, "str(os.getpid())")
    assert [path for path in reading["libraries"] if "_sqlite3" in path]


@pytest.mark.parametrize("number", ["'1'", "'no number'", "str(os.getppid())"])
def test_the_probe_reads_no_other_process(tmp_path: Path, number: str) -> None:
    assert _asked(tmp_path, number).keys() == {"error"}


def test_a_process_that_does_not_ask_has_no_reading(tmp_path: Path) -> None:
    reader = probe.LibraryReader(str(tmp_path), SAME)
    probe.run(["true"], os.environ, str(tmp_path), 20, SAME, reader)
    assert reader.reading == {}


def test_the_exercise_lets_the_probe_read_its_libraries(tmp_path: Path) -> None:
    site = install(tmp_path / "site")
    write_scripts(tmp_path, SMOKE, {**PLAN_KEYS, **TABLES})
    spec = {
        "folder": str(tmp_path),
        "python": [sys.executable, "-S"],
        "exercise_env": {"PYTHONPATH": str(site)},
        "seconds": {"exercise": 20},
    }
    evidence: dict[str, Any] = dict(
        probe.exercise(cast(Instructions, spec), os.environ, str(tmp_path), SAME)
    )
    assert evidence["steps"]["end"]["ok"]
    assert evidence["maps"] == {"libraries": evidence["steps"]["mapped"]["value"]}


def test_a_nested_line_is_no_step() -> None:
    steps = probe.read_steps("[" * 100_000 + "\n" + '{"step": "end"}')
    assert list(steps) == ["garbled", "end"]


# ---- what the package can see ----


def test_no_name_on_a_machine_says_that_the_package_is_tested() -> None:
    scripts = [path.read_text("utf-8") for path in Path(probe.__file__).parent.glob("*.py")]
    assert not [text for text in scripts if "E2E_" in text]
    names = [*SCRIPTS.values(), PLAN, PLUGIN, SMOKE_TEST, OWN_ACTIONS, DATA_FOLDER]
    names += [layout.folder for layout in LAYOUTS.values()]
    for word in ("e2e", "test", "probe", "verif", "exercise", "smoke", "quiver"):
        assert not [name for name in names if word in name.lower()], word


# ---- the network ----


@pytest.mark.parametrize(
    ("growth", "code", "sent", "runs"),
    [
        ([0], 0, {}, 1),
        ([1, 0], 0, {}, 2),  # a late answer of the engine to the installer
        ([2, 1], 0, {"Udp:OutDatagrams": 2}, 2),
        ([1], 1, {"Udp:OutDatagrams": 1}, 1),
    ],
    ids=["none", "once", "each-import", "failing-import"],
)
def test_import_uses_the_network_if_each_import_does(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    growth: list[int],
    code: int,
    sent: dict[str, int],
    runs: int,
) -> None:
    total, commands = [5], []

    def run(command: list[str], _kind: str) -> dict[str, object]:
        commands.append(command)
        total[0] += growth[len(commands) - 1]
        return {"code": code}

    monkeypatch.setattr(probe, "network_counters", lambda: {"Udp:OutDatagrams": total[0]})
    evidence: dict[str, Any] = {}
    instructions = {"cwd": str(tmp_path), "python": ["python"], "import_statement": "import x"}
    cell = SimpleNamespace(instructions=instructions, evidence=evidence, _run=run)
    probe.ProbeRun._import(cast(Any, cell))
    assert evidence["import"]["sent"] == sent
    assert len(commands) == runs
