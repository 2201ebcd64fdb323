from __future__ import annotations

import ast
import configparser
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Never

import pytest

from containers.state import state_folder
from verification import suite
from verification.commands import completion, parser
from verification.models.errors import ExitCode

LAUNCHER = Path(__file__).parents[2] / "e2e"
CODE = compile(LAUNCHER.read_text("utf-8"), str(LAUNCHER), "exec")
COMMANDS = (
    "gate", "test", "lint", "compare", "shell", "replay", "reproduce", "bundle", "card", "doctor",
    "clean", "completion",
)  # fmt: skip


@pytest.fixture
def launcher() -> Any:
    """Return the launcher as a module. Its file has no suffix, so import cannot load it."""
    module = ModuleType("launcher")
    module.__dict__["__file__"] = str(LAUNCHER)
    exec(CODE, module.__dict__)  # noqa: S102
    return module


class _Programs:
    """Replaces the programs that the launcher runs. A command with a word in ``failing`` fails."""

    def __init__(self, launcher: Any, *failing: str, error: str = "") -> None:
        self.failing = failing
        self.error = error
        self.started: list[list[str]] = []
        vars(launcher)["run_quietly"] = self

    def __call__(self, command: list[str], **_: str) -> subprocess.CompletedProcess[str]:
        self.started.append([str(part) for part in command])
        failed = any(word in self.started[-1] for word in self.failing)
        if "venv" in command and not failed:
            _install(Path(command[-1]), "pip")
        if "pip" in command and not failed:
            _install(Path(command[0]).parents[1], "tox")
        if "exec" in command and not failed:
            _install(_work() / command[command.index("-e") + 1], "pydantic")
        output = json.dumps(["/gate/bin/python", {"PATH": "/gate/bin", "COLUMNS": "80"}])
        return subprocess.CompletedProcess(
            command, int(failed), f"noise\n{output}\n  gate: OK\n", self.error
        )


def _work() -> Path:
    return Path(os.environ["QUIVERDB_E2E_TOX_WORK_DIR"])


def _install(folder: Path, name: str) -> None:
    """Write the files of a package that pip installs: its RECORD, a module and a program."""
    packages = folder / "lib" / "python3.11" / "site-packages"
    info = packages / f"{name}-1.dist-info"
    for path in (folder / "bin" / "python", folder / "bin" / name, packages / f"{name}.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name if path.name != "python" else "python")
    (folder / "bin" / "python").chmod(0o755)
    info.mkdir(exist_ok=True)
    size = len(name)
    lines = [f"{name}.py,sha256=x,{size}", f"../../../bin/{name},sha256=x,{size}", "x.pyc,,"]
    (info / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def _environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a new folder for the environments of tox.ini, not the one of this checkout."""
    monkeypatch.setenv("QUIVERDB_E2E_TOX_WORK_DIR", str(tmp_path / "tox-work"))


def _error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the last line of the error output, which the launcher printed."""
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("e2e: ")
    return line


def test_unusable_state_folder_is_wrong_use(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_STATE", os.devnull)
    with pytest.raises(SystemExit) as raised:
        launcher.private_tox()
    assert raised.value.code == 4
    line = _error_line(capsys)
    assert os.devnull in line
    assert "QUIVERDB_E2E_STATE" in line


class _Process:
    """A fake process. ``confirms`` is the text that it writes to confirm its exit code."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.command = command
        self.options = options
        self.pid = 4711
        self.confirms = "5\n"
        self.code = 1
        self.signals: Sequence[int] = ()

    def wait(self) -> int:
        for number in self.signals:
            signal.getsignal(number)(number, None)  # type: ignore[operator, misc]
        if self.options.get("pass_fds") and self.confirms:
            os.write(self.options["pass_fds"][0], self.confirms.encode())
        return self.code


def _main(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str, **process: Any
) -> tuple[int, list[_Process]]:
    """Run the launcher with a fake tox; return its exit code and the commands that it started."""
    processes: list[_Process] = []

    def popen(command: list[str], **options: Any) -> _Process:
        started = _Process(command, **options)
        if options.get("pass_fds"):  # the launcher closes its descriptor before it waits
            started.options["pass_fds"] = (os.dup(options["pass_fds"][0]),)
        vars(started).update(process)
        processes.append(started)
        return started

    monkeypatch.setattr(launcher, "private_tox", lambda: Path("/state/bin/tox"))
    monkeypatch.setattr(launcher, "end_group", lambda _group: None)  # the number is invented
    if not isinstance(launcher.run_quietly, _Programs):
        _Programs(launcher)
    monkeypatch.setattr(launcher.subprocess, "Popen", popen)
    monkeypatch.setattr(sys, "argv", ["e2e", *arguments])
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", "")  # the launcher sets it; monkeypatch restores it
    monkeypatch.chdir(Path.cwd())
    before = {number: signal.getsignal(number) for number in launcher.SIGNALS}
    try:
        return launcher.main(), processes
    except SystemExit as error:
        return int(error.code or 0), processes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for started in processes:
            for descriptor in started.options.get("pass_fds", ()):
                os.close(descriptor)


def _close_terminal(*_: object) -> Never:
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("signals", "forwarded"),
    [
        ([signal.SIGINT], [signal.SIGINT]),
        ([signal.SIGHUP, signal.SIGINT, signal.SIGTERM], [signal.SIGINT]),
        ([signal.SIGINT] * 5, [signal.SIGINT, signal.SIGKILL]),
    ],
)
def test_second_signal_is_not_forwarded_and_the_fifth_kills(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    signals: list[int],
    forwarded: list[int],
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(launcher.os, "killpg", lambda _pid, number: sent.append(number))
    monkeypatch.setattr(launcher.os, "write", _close_terminal)
    code, _ = _main(launcher, monkeypatch, "gate", signals=signals, confirms="")
    assert (code, sent) == (5, forwarded)


def _processes_of(group: int) -> list[int]:
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        for fields in (_fields(path),)
        if fields[2:3] == [str(group)] and fields[0] != "Z"
    ]


def _fields(path: Path) -> list[str]:
    """Return the fields of a process from its state on (proc(5)); none if it ended."""
    try:
        return path.read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return []


@pytest.mark.parametrize("name", ["gate", "test"])
def test_processes_of_a_killed_command_are_killed(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    program = tmp_path / "program"
    # The command leaves a process that ignores signals, and is killed.
    program.write_text(
        "#!/bin/sh\n(trap '' INT TERM; sleep 600) &\necho $$ > \"$0.pid\"\nkill -9 $$"
    )
    program.chmod(0o755)
    monkeypatch.setattr(launcher, "GROUP_SECONDS", 0.2)
    if name == "gate":
        with pytest.raises(SystemExit) as raised:
            launcher.run_command(str(program), ["gate"], dict(os.environ), terminal=False)
        assert raised.value.code == 3
    else:
        assert launcher.run_tools(program, "test", []) == 1
    group = int((tmp_path / "program.pid").read_text("ascii"))
    while _processes_of(group):
        time.sleep(0.01)


LAUNCH = """
import sys
from types import ModuleType
launcher = ModuleType("launcher")
launcher.__dict__["__file__"] = sys.argv[1]
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), launcher.__dict__)
import pathlib
if sys.argv[3] == "gate":
    launcher.run_command(sys.argv[2], ["gate"], {"PATH": "/usr/bin:/bin"}, terminal=False)
else:
    launcher.run_tools(pathlib.Path(sys.argv[2]), "test", [])
"""


@pytest.mark.parametrize("name", ["gate", "test"])
def test_command_gets_a_signal_if_its_launcher_is_killed(tmp_path: Path, name: str) -> None:
    program = tmp_path / "program"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import pathlib, signal, sys\n"
        "numbers = {signal.SIGINT, signal.SIGTERM}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, numbers)\n"
        "path = pathlib.Path(sys.argv[0] + '.signal')\n"
        "path.touch()\n"
        "path.write_text(str(int(signal.sigwait(numbers))))\n"
    )
    program.chmod(0o755)
    received = tmp_path / "program.signal"
    process = subprocess.Popen([sys.executable, "-c", LAUNCH, str(LAUNCHER), str(program), name])
    while not received.exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    while not received.read_text("ascii"):
        time.sleep(0.01)
    assert int(received.read_text("ascii")) in (signal.SIGINT, signal.SIGTERM)


# ---- exit codes ----


@pytest.mark.parametrize("name", ["gate", "replay", "reproduce", "compare"])
def test_exit_code_is_the_one_that_the_command_confirms(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for confirmed in (0, 1, 3, 4, 5):
        code, _ = _main(launcher, monkeypatch, name, confirms=f"{confirmed}\n", code=99)
        assert code == confirmed


@pytest.mark.parametrize(
    "words", [("gate",), ("replay", "x"), ("reproduce",), ("shell", "debian-13")]
)
def test_unconfirmed_exit_code_is_a_testbed_failure(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    for process_code in (0, 1, 2, 3, 5, -9, -11):
        code, _ = _main(launcher, monkeypatch, *words, confirms="", code=process_code)
        assert (code, process_code) == (3, process_code)
        line = _error_line(capsys)
        assert line.startswith(f"e2e: {words[0]}: ")
        assert str(abs(process_code)) in line


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [("test", 0, 0), ("test", 1, 1), ("test", 2, 1), ("test", 5, 1), ("test", 4, 4),
     ("lint", 0, 0), ("lint", 2, 1), ("lint", 14, 1), ("lint", -11, 1)],
)  # fmt: skip
def test_tools_end_with_0_or_1(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str, code: int, expected: int
) -> None:
    assert _main(launcher, monkeypatch, name, code=code)[0] == expected


@pytest.mark.parametrize("name", ["gate", "test", "lint", "compare", "clean"])
def test_environment_that_cannot_be_made_is_a_testbed_failure_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    _Programs(launcher, "exec", error="WARNING: x\nERROR: No matching distribution\nnoise")
    assert _main(launcher, monkeypatch, name) == (3, [])
    line = _error_line(capsys)
    assert f" {name if name in ('test', 'lint') else 'gate'} " in line
    assert "ERROR: No matching distribution" in line


def test_doctor_needs_no_environment(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(launcher, "exec")
    assert _main(launcher, monkeypatch, "doctor") == (3, [])
    making, missing, *_ = capsys.readouterr().out.splitlines()
    assert "environment gate" in making
    assert missing.startswith("missing ")


@pytest.mark.usefixtures("interruptible")
def test_interrupt_before_the_command_ends_the_running_program(
    launcher: Any, tmp_path: Path
) -> None:
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    started = tmp_path / "started"

    def interrupt() -> None:
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        launcher.run_quietly([sys.executable, "-c", script, str(started)])
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_lists_its_options_and_starts_nothing(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert _main(launcher, monkeypatch, name, "--help") == (0, [])
    output = capsys.readouterr().out
    assert output.startswith(f"usage: ./e2e {name} ")
    assert ("--source DIR" in output) == (name in ("gate", "shell", "reproduce"))


# ---- the command line ----


def test_version_is_printed_and_nothing_is_started(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    title = suite.title(suite.version(), suite.commit())  # git cannot run below
    assert _main(launcher, monkeypatch, "--version") == (0, [])
    assert capsys.readouterr().out == f"{title}\n"


def test_unknown_command_is_wrong_use_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(launcher, monkeypatch, "gaet") == (4, [])
    assert capsys.readouterr().err == "e2e: gaet: unknown command; did you mean gate?\n"
    assert _main(launcher, monkeypatch, "nothing") == (4, [])
    output = capsys.readouterr()
    assert output.err.startswith("e2e: nothing: ")
    assert [name for name in COMMANDS if name not in output.err] == []
    assert (output.err.count("\n"), output.out) == (1, "")


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",), ("help",)])
def test_help_lists_all_commands_and_exit_codes(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    assert _main(launcher, monkeypatch, *arguments) == (0, [])
    output = capsys.readouterr().out
    assert [name for name in (*COMMANDS, "--version") if f"./e2e {name}" not in output] == []
    assert parser.EXIT_CODES.strip() in output
    assert [code for code in ExitCode if not re.search(rf"\b{code:d} \w", parser.EXIT_CODES)] == []


def test_tests_of_the_suite_run_in_their_tox_environment(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, (process,) = _main(launcher, monkeypatch, "test", "-k", "import", code=0)
    assert code == 0
    command = process.command
    assert command[0] == "/state/bin/tox"
    assert command[command.index("-c") + 1] == str(LAUNCHER.parent / "tox.ini")
    assert command[command.index("-e") + 1] == "test"
    assert command[-3:] == ["--", "-k", "import"]


@pytest.mark.parametrize("words", [
    ("gate", "-k", "import"), ("doctor",), ("clean",), ("compare", "3", "5"), ("replay", "x"),
    ("reproduce", "--python=3.13"), ("bundle",), ("shell", "debian-13"),
])  # fmt: skip
def test_command_runs_in_the_environment_of_the_gate_with_the_typed_words(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "x")
    programs = _Programs(launcher)
    _, (process,) = _main(launcher, monkeypatch, *words)
    ((*_, script),) = programs.started
    assert script == launcher.DESCRIBE
    assert process.command == ["/gate/bin/python", "-m", "verification.commands", *words]
    environment = process.options["env"]
    assert environment["PATH"] == "/gate/bin"
    assert ("DEPLOY_TOKEN" in environment) is (words[0] in ("bundle", "shell"))
    assert process.options["start_new_session"] is (words[0] != "shell")  # it needs the terminal


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("doctor extra", "doctor: unrecognized arguments: extra"),
        ("lint -k import", "lint: unrecognized arguments: -k import"),
        ("reproduce x", "reproduce: unrecognized arguments: x"),
        ("gate --wheels -k a", "gate: argument --wheels: expected one argument"),
        ("gate --profile nightly", "gate: argument --profile: nightly: unknown profile"),
        ("gate --machine debian-99", "gate: argument --machine: debian-99: unknown machine"),
        ("replay -n few", "replay: argument -n: invalid int value: 'few'"),
        ("shell", "shell: the following arguments are required: machine"),
    ],
)
def test_wrong_use_is_one_line_before_an_installation(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    line: str,
) -> None:
    programs = _Programs(launcher)
    assert _main(launcher, monkeypatch, *typed.split()) == (4, [])
    assert programs.started == []
    output = capsys.readouterr()
    assert output.err.startswith(f"e2e: {line}")  # argparse's own words
    assert (output.err.count("\n"), output.out) == (1, "")


def test_tox_runs_in_the_checkout_with_the_folder_of_the_user_in_a_variable(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    _main(launcher, monkeypatch, "gate")
    assert os.environ["QUIVERDB_E2E_FOLDER"] == str(tmp_path)
    assert Path.cwd() == LAUNCHER.parent


def test_settings_of_an_outer_tox_are_removed(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOX_WORK_DIR", "/outer")
    _main(launcher, monkeypatch, "gate")
    assert "TOX_WORK_DIR" not in os.environ


# ---- Python ----


def test_old_python_is_wrong_use_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    monkeypatch.setattr(sys, "version", "3.10.14 (main)")
    assert _main(launcher, monkeypatch, "gate") == (4, [])
    line = _error_line(capsys)
    assert "3.11" in line
    assert "3.10.14" in line


def test_old_python_can_parse_the_launcher() -> None:
    assert ast.parse(LAUNCHER.read_text("utf-8"), feature_version=(3, 8)).body
    with pytest.raises(SyntaxError):  # ast.parse rejects newer syntax
        ast.parse("match x:\n    case 1: pass\n", feature_version=(3, 8))


def test_launcher_imports_only_the_standard_library() -> None:
    tree = ast.parse(LAUNCHER.read_text("utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert {"subprocess", "pathlib"} <= names
    assert names - sys.stdlib_module_names == {"verification"}  # see the next test


def test_help_version_and_wrong_use_work_on_a_bare_interpreter() -> None:
    # One process for all: it runs the launcher with each command line and prints the results.
    script = (
        "import contextlib, io, json, runpy, sys\n"
        "results = []\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['e2e', *words]\n"
        "    streams = io.StringIO(), io.StringIO()\n"
        "    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):\n"
        "        try:\n"
        f"            runpy.run_path({str(LAUNCHER)!r}, run_name='__main__')\n"
        "        except SystemExit as error:\n"
        "            code = error.code\n"
        "    results.append([code, *(stream.getvalue() for stream in streams)])\n"
        "print(json.dumps(results))\n"
    )
    helps: list[list[str]] = [[], *([name, "--help"] for name in COMMANDS)]
    lines = [*helps, ["completion", "bash"], ["--version"], ["gate", "--machine", "debian-99"]]
    bare = [sys.executable, "-S", "-c", script, json.dumps(lines)]  # -S: no installed packages
    process = subprocess.run(bare, capture_output=True, text=True, env={}, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    *help_results, script, version, wrong_use = json.loads(process.stdout)
    assert script[::2] == [0, ""]
    wrong = [
        result
        for result in help_results
        if result[::2] != [0, ""] or not result[1].startswith("usage: ./e2e ")
    ]
    assert (len(help_results), wrong) == (len(helps), [])
    assert version[::2] == [0, ""]
    assert version[1].startswith(f"{suite.NAME} {suite.version()} (")
    assert wrong_use[:2] == [4, ""]
    assert wrong_use[2].startswith("e2e: gate: argument --machine: debian-99: unknown machine")


# ---- the private tox ----


@pytest.mark.parametrize("state", ["relative", None, ""])
@pytest.mark.parametrize("cache", ["absolute", "relative", None, ""])
def test_launcher_and_suite_use_the_same_state_folder(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state: str | None,
    cache: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {
        "QUIVERDB_E2E_STATE": state,
        "XDG_CACHE_HOME": str(tmp_path / "cache") if cache == "absolute" else cache,
    }
    for name, value in values.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert launcher.state_folder() == state_folder()


# ---- a read-only checkout ----


@pytest.fixture
def read_only(launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make the checkout of the launcher a folder to which nobody can write. Return it."""
    monkeypatch.delenv("QUIVERDB_E2E_TOX_WORK_DIR")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.setattr(launcher, "ROOT", checkout)
    access = os.access  # root can write to each folder, except on a read-only file system
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: checkout not in (path, *Path(path).parents) and access(path, mode),
    )
    return checkout


def test_environments_of_a_read_only_checkout_are_in_the_state_folder(
    launcher: Any, read_only: Path
) -> None:
    folder = launcher.work_folder()
    assert folder.parent == state_folder()
    assert folder.name.startswith("tox"), "./e2e clean keeps it, because this command runs in it"
    vars(launcher)["ROOT"] = read_only / "other"
    assert launcher.work_folder() != folder


def test_environments_of_a_writable_checkout_are_in_it(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("QUIVERDB_E2E_TOX_WORK_DIR")
    monkeypatch.setattr(launcher, "ROOT", tmp_path)
    assert launcher.work_folder() == tmp_path / ".tox"


# ---- the output ----


def test_environments_get_the_variables_of_the_terminal() -> None:
    """Without TERM the progress is not live. tox passes TERM only if its output is a terminal."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(LAUNCHER.with_name("tox.ini"), "utf-8")
    passed = settings["testenv"]["pass_env"].split()
    assert {"COLUMNS", "TERM", "NO_COLOR", "FORCE_COLOR"} <= set(passed)


@pytest.mark.parametrize("columns", ["60", None])
def test_width_of_tox_is_not_the_width_of_a_command(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    _Programs(launcher)
    _, variables = launcher.environment(Path("/tox"), "gate")
    assert ("COLUMNS" in variables) is (columns is not None)


@pytest.mark.parametrize("name", ["gate", "shell"])
def test_only_errors_are_on_stderr_and_a_shell_has_stdout_for_itself(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["e2e", name])
    _Programs(launcher)
    launcher.environment(Path("/tox"), "gate")
    output = capsys.readouterr()
    expected = (output.err, output.out) if name == "shell" else (output.out, output.err)
    assert "environment gate" in expected[0]
    assert expected[1] == ""


def test_tox_does_not_colour_the_errors_of_the_tests(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (process,) = _main(launcher, monkeypatch, "test", code=0)
    assert "--colored=no" in process.command


def test_completion_is_printed_and_nothing_is_started(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(launcher, monkeypatch, "completion", "bash") == (0, [])
    assert capsys.readouterr().out == completion.script("bash")


# ---- tox ----


def test_tox_is_installed_once(launcher: Any) -> None:
    programs = _Programs(launcher)
    assert launcher.private_tox() == launcher.private_tox()
    assert len(programs.started) == 2
    assert programs.started[1][-3:] == ["--require-hashes", "--requirement", str(launcher.TOX)]


def test_incomplete_tox_is_made_again(launcher: Any) -> None:
    programs = _Programs(launcher)
    tox = launcher.private_tox()
    (tox.parent.parent / "complete").unlink()
    (tox.parent / "leftover").touch()
    assert launcher.private_tox() == tox
    assert len(programs.started) == 4
    assert not (tox.parent / "leftover").exists()


@pytest.mark.parametrize("damage", ["bin/tox", "lib/python3.11/site-packages/tox.py"])
@pytest.mark.parametrize("missing", [True, False])
def test_damaged_tox_is_made_again(launcher: Any, damage: str, *, missing: bool) -> None:
    programs = _Programs(launcher)
    folder = launcher.private_tox().parents[1]
    (folder / damage).write_bytes(b"")
    if missing:
        (folder / damage).unlink()
    launcher.private_tox()
    assert len(programs.started) == 4
    assert (folder / damage).read_text() == "tox"


# ---- the environments of tox.ini ----


@pytest.mark.parametrize(
    "damage",
    ["bin/python", "lib/python3.11/site-packages/pydantic.py", "lib",
     "lib/python3.11/site-packages/pydantic-1.dist-info"],
)  # fmt: skip
def test_damaged_environment_is_made_again(launcher: Any, damage: str) -> None:
    programs = _Programs(launcher)
    launcher.environment(Path("/tox"), "gate")
    _install(_work() / "gate", "other")
    launcher.environment(Path("/tox"), "gate")
    assert not any("--recreate" in command for command in programs.started)
    damaged = _work() / "gate" / damage
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    assert not launcher.is_intact(_work() / "gate")
    with contextlib.suppress(SystemExit):  # the fake tox installs only one of the two packages
        launcher.environment(Path("/tox"), "gate")
    assert "--recreate" in programs.started[-1]


def test_environment_that_stays_damaged_is_a_testbed_failure(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(launcher)
    launcher.environment(Path("/tox"), "gate")
    shutil.rmtree(_work() / "gate" / "lib")
    result = subprocess.CompletedProcess([], 0, "[]", "")
    monkeypatch.setattr(launcher, "run_quietly", lambda *_, **__: result)
    with pytest.raises(SystemExit) as raised:
        launcher.environment(Path("/tox"), "gate")
    assert raised.value.code == 3
    assert str(_work() / "gate") in _error_line(capsys)


def test_environments_are_made_by_one_process_at_a_time(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, running, counts = _Programs(launcher), [], []

    def make(command: list[str], **_: str) -> subprocess.CompletedProcess[str]:
        running.append(1)
        counts.append(len(running))
        time.sleep(0.05)
        running.pop()
        return programs(command)

    monkeypatch.setattr(launcher, "run_quietly", make)
    threads = [
        threading.Thread(target=launcher.environment, args=(Path("/tox"), "gate")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1] * 4


def test_unusable_work_folder_is_a_testbed_failure_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_TOX_WORK_DIR", os.devnull)
    with pytest.raises(SystemExit) as raised:
        launcher.environment(Path("/tox"), "gate")
    assert raised.value.code == 3
    assert "QUIVERDB_E2E_TOX_WORK_DIR" in _error_line(capsys)


def test_failed_pip_is_reported_in_one_line_and_leaves_no_complete_environment(
    launcher: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(launcher, "pip", error="WARNING: x\nERROR: no matching distribution\n")
    with pytest.raises(SystemExit) as raised:
        launcher.private_tox()
    assert raised.value.code == 3
    assert "ERROR: no matching distribution" in _error_line(capsys)
    assert list(state_folder().glob("tox-*/complete")) == []


@pytest.mark.parametrize(("apt", "user"), [(None, 0), ("/usr/bin/apt-get", 1000)])
def test_python_without_venv_is_an_error_with_the_command_that_fixes_it(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    apt: str | None,
    user: int,
) -> None:
    programs = _Programs(launcher, "venv")
    monkeypatch.setattr(shutil, "which", lambda _: apt)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(SystemExit) as raised:
        launcher.private_tox()
    assert raised.value.code == 3
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert _error_line(capsys).endswith(f"apt-get install python{version}-venv")
    assert len(programs.started) == 1


def test_root_on_debian_installs_the_package_of_venv(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = _Programs(launcher, "venv")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit) as raised:
        launcher.make_venv(tmp_path / "venv")
    assert raised.value.code == 3
    first, update, install, second = programs.started
    assert first == second
    assert update[:1] + update[-1:] == ["/usr/bin/apt-get", "update"]
    assert install[-1].endswith("-venv")


def test_failed_apt_get_is_an_error(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _Programs(launcher, "venv", "install")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit) as raised:
        launcher.make_venv(tmp_path / "venv")
    assert raised.value.code == 3
    assert "apt-get install" in _error_line(capsys)
