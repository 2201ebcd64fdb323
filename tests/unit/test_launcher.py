from __future__ import annotations

import ast
import contextlib
import json
import os
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

LAUNCHER = Path(__file__).parents[2] / "e2e"
COMMANDS = (
    "gate", "test", "lint", "compare", "shell", "replay", "reproduce", "bundle", "doctor", "clean",
)  # fmt: skip


@pytest.fixture
def launcher() -> Any:
    """Return the launcher as a module; it has no suffix, so it is loaded by its path."""
    module = ModuleType("launcher")
    module.__dict__["__file__"] = str(LAUNCHER)
    exec(compile(LAUNCHER.read_text("utf-8"), str(LAUNCHER), "exec"), module.__dict__)  # noqa: S102
    return module


def _forbidden(*_: object, **__: object) -> Never:
    pytest.fail("this must not be done here")


class _Programs:
    """Stands in for every program that prepares; the commands with a word in ``failing`` fail."""

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
        output = json.dumps(["/gate/bin/python", {"PATH": "/gate/bin"}])
        return subprocess.CompletedProcess(
            command, int(failed), f"noise\n{output}\n  gate: OK\n", self.error
        )


def _work() -> Path:
    return Path(os.environ["E2E_TOX_WORK_DIR"])


def _install(folder: Path, name: str) -> None:
    """Write what pip writes: a package with its RECORD, and a program."""
    site = folder / "lib" / "python3.11" / "site-packages"
    info = site / f"{name}-1.dist-info"
    for path in (folder / "bin" / "python", folder / "bin" / name, site / f"{name}.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name if path.name != "python" else "python")
    (folder / "bin" / "python").chmod(0o755)
    info.mkdir(exist_ok=True)
    size = len(name)
    lines = [f"{name}.py,sha256=x,{size}", f"../../../bin/{name},sha256=x,{size}", "x.pyc,,"]
    (info / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def _environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environments of this checkout out of the tests."""
    monkeypatch.setenv("E2E_TOX_WORK_DIR", str(tmp_path / "tox-work"))


def test_a_state_folder_that_cannot_be_used_is_wrong_use(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_STATE", os.devnull)
    with pytest.raises(SystemExit) as ended:
        launcher.private_tox()
    assert ended.value.code == 4
    told = capsys.readouterr().err
    assert told.startswith(f"e2e: {os.devnull}: what outlives a run cannot be kept there (")
    assert "name another folder by QUIVERDB_E2E_STATE" in told


class _Process:
    """A command that was started: it confirms an exit code, or does not."""

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
    """Run the launcher with tox at hand; return its exit code and the commands that it started."""
    started: list[_Process] = []

    def popen(command: list[str], **options: Any) -> _Process:
        one = _Process(command, **options)
        if options.get("pass_fds"):  # the launcher closes its own before it waits
            one.options["pass_fds"] = (os.dup(options["pass_fds"][0]),)
        vars(one).update(process)
        started.append(one)
        return one

    monkeypatch.setattr(launcher, "private_tox", lambda: Path("/state/bin/tox"))
    if not isinstance(launcher.run_quietly, _Programs):
        _Programs(launcher)
    monkeypatch.setattr(launcher.subprocess, "Popen", popen)
    monkeypatch.setattr(sys, "argv", ["e2e", *arguments])
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", "unset")  # the launcher sets it; this takes it back
    monkeypatch.chdir(Path.cwd())
    before = {number: signal.getsignal(number) for number in launcher.SIGNALS}
    try:
        return launcher.main(), started
    except SystemExit as ended:
        return int(ended.code or 0), started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in started:
            for descriptor in one.options.get("pass_fds", ()):
                os.close(descriptor)


def _broken(*_: object) -> Never:
    raise BrokenPipeError  # the terminal is gone


@pytest.mark.parametrize(
    ("signals", "handed_on"),
    [
        ([signal.SIGINT], [signal.SIGINT]),
        ([signal.SIGHUP, signal.SIGINT, signal.SIGTERM], [signal.SIGINT]),
        ([signal.SIGINT] * 5, [signal.SIGINT, signal.SIGKILL]),  # who insists
    ],
)
def test_who_interrupts_again_does_not_end_the_writing_of_the_report(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    signals: list[int],
    handed_on: list[int],
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(launcher.os, "killpg", lambda _pid, number: sent.append(number))
    monkeypatch.setattr(launcher.os, "write", _broken)
    code, _ = _main(launcher, monkeypatch, "gate", signals=signals, confirms="")
    assert (code, sent) == (5, handed_on)


# ---- exit codes ----


@pytest.mark.parametrize("confirmed", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("name", ["gate", "replay", "reproduce", "compare"])
def test_the_exit_code_is_the_one_that_the_command_confirms(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str, confirmed: int
) -> None:
    code, _ = _main(launcher, monkeypatch, name, confirms=f"{confirmed}\n", code=99)
    assert code == confirmed


@pytest.mark.parametrize("code", [0, 1, 2, 3, 5, -9, -11])
@pytest.mark.parametrize(
    "words", [("gate",), ("replay", "x"), ("reproduce",), ("shell", "debian-13")]
)
def test_an_exit_code_that_is_not_confirmed_is_the_testbeds_failure(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
) -> None:
    ended, _ = _main(launcher, monkeypatch, *words, confirms="", code=code)
    assert ended == 3
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"e2e: {words[0]}: ")
    assert "before a verdict" in line


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [("test", 0, 0), ("test", 1, 1), ("test", 2, 1), ("test", 5, 1), ("test", 4, 4),
     ("lint", 0, 0), ("lint", 2, 1), ("lint", 14, 1), ("lint", -11, 1)],
)  # fmt: skip
def test_the_tools_end_with_0_or_1(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str, code: int, expected: int
) -> None:
    assert _main(launcher, monkeypatch, name, code=code)[0] == expected


@pytest.mark.parametrize("name", ["gate", "test", "lint", "compare", "clean"])
def test_an_environment_that_cannot_be_made_ends_in_one_line_with_3(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    _Programs(launcher, "exec", error="WARNING: x\nERROR: No matching distribution\nnoise")
    assert _main(launcher, monkeypatch, name) == (3, [])
    *_, line = capsys.readouterr().err.splitlines()
    kind = name if name in ("test", "lint") else "gate"
    assert line.startswith(f"e2e: the environment {kind} cannot be made: ERROR: No matching")


def test_doctor_needs_no_environment(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(launcher, "exec")
    assert _main(launcher, monkeypatch, "doctor") == (3, [])
    assert "missing  the environment of the suite" in capsys.readouterr().out


def test_an_interrupt_before_the_command_ends_what_runs(launcher: Any, tmp_path: Path) -> None:
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
def test_the_options_of_a_command_are_told_without_anything_being_started(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, started = _main(launcher, monkeypatch, name, "--help")
    assert (code, started) == (0, [])
    told = capsys.readouterr().out
    assert told.startswith(f"usage: ./e2e {name} ")
    assert ("--source DIR" in told) == (name in ("gate", "shell", "reproduce"))


# ---- the command line ----


def test_an_unknown_command_is_wrong_use_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launcher, "private_tox", _forbidden)
    monkeypatch.setattr(sys, "argv", ["e2e", "gaet"])
    with pytest.raises(SystemExit) as raised:
        launcher.main()
    assert raised.value.code == 4
    told = capsys.readouterr()
    assert told.err == (f"e2e: there is no command 'gaet'; there are: {', '.join(COMMANDS)}\n")
    assert told.out == ""


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",), ("help",)])
def test_help_lists_every_command_and_exit_code(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    assert _main(launcher, monkeypatch, *arguments) == (0, [])
    told = capsys.readouterr().out
    assert [name for name in COMMANDS if f"./e2e {name} " not in told] == []
    codes = ("0 verified", "1 the package failed", "3 the testbed", "4 wrong use", "5 something")
    assert [code for code in codes if code not in told] == []


def test_the_tests_of_the_suite_run_in_their_environment_of_tox(
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
def test_a_command_runs_in_the_gates_environment_with_the_words_typed(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "x")
    programs = _Programs(launcher)
    _, (process,) = _main(launcher, monkeypatch, *words)
    ((*_, inside),) = programs.started
    assert inside == launcher.DESCRIBE
    assert process.command == ["/gate/bin/python", "-m", "verification.commands", *words]
    environment = process.options["env"]
    assert environment["PATH"] == "/gate/bin"
    whole = words[0] in ("bundle", "shell")
    assert ("DEPLOY_TOKEN" in environment) is whole, "bundle must know it, and no other"
    assert process.options["start_new_session"] is (words[0] != "shell"), "it needs the terminal"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("doctor extra", "doctor: unrecognized arguments: extra"),
        ("lint -k import", "lint: unrecognized arguments: -k import"),
        ("reproduce x", "reproduce: unrecognized arguments: x"),
        ("gate --wheels -k a", "gate: argument --wheels: expected one argument"),
        ("gate --profile nightly", "gate: argument --profile: invalid choice: 'nightly'"),
        ("gate --machine debian-99", "gate: argument --machine: invalid choice: 'debian-99'"),
        ("replay -n few", "replay: argument -n: invalid int value: 'few'"),
        ("shell", "shell: the following arguments are required: machine"),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_installed(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    line: str,
) -> None:
    programs = _Programs(launcher)
    assert _main(launcher, monkeypatch, *typed.split()) == (4, [])
    assert programs.started == []
    told = capsys.readouterr()
    assert told.err.startswith(f"e2e: {line}")
    assert (told.err.count("\n"), told.out) == (1, "")


def test_tox_runs_in_the_checkout_and_is_told_where_the_user_is(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    _main(launcher, monkeypatch, "gate")
    assert os.environ["QUIVERDB_E2E_FOLDER"] == str(tmp_path)
    assert Path.cwd() == LAUNCHER.parent


def test_the_settings_of_an_outer_tox_do_not_reach_tox(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOX_WORK_DIR", "/outer")
    _main(launcher, monkeypatch, "gate")
    assert "TOX_WORK_DIR" not in os.environ


# ---- Python ----


def test_an_old_python_is_refused_as_wrong_use_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    monkeypatch.setattr(sys, "version", "3.10.14 (main)")
    assert _main(launcher, monkeypatch, "gate") == (4, [])
    assert capsys.readouterr().err == "e2e: CPython 3.11 or newer is needed, this is 3.10.14\n"


def test_an_old_python_can_read_the_launcher_far_enough_to_be_refused() -> None:
    assert ast.parse(LAUNCHER.read_text("utf-8"), feature_version=(3, 8)).body
    with pytest.raises(SyntaxError):  # the check would notice
        ast.parse("match x:\n    case 1: pass\n", feature_version=(3, 8))


def test_the_launcher_needs_the_standard_library_only() -> None:
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
    assert names - sys.stdlib_module_names == {"verification"}, "the parser tree, see the next test"


@pytest.mark.parametrize("words", [(), *((name, "--help") for name in COMMANDS)])
def test_every_help_works_on_a_bare_interpreter(words: tuple[str, ...]) -> None:
    bare = [sys.executable, "-S", str(LAUNCHER), *words]  # -S: without the installed packages
    told = subprocess.run(bare, capture_output=True, text=True, env={}, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("usage: ./e2e ")


def test_wrong_use_is_refused_on_a_bare_interpreter() -> None:
    bare = [sys.executable, "-S", str(LAUNCHER), "gate", "--machine", "debian-99"]
    told = subprocess.run(bare, capture_output=True, text=True, env={}, check=False)
    assert (told.returncode, told.stdout) == (4, "")
    assert told.stderr.startswith("e2e: gate: argument --machine: invalid choice: 'debian-99'")


# ---- its own tox ----


@pytest.mark.parametrize("named", ["relative", None, ""])
@pytest.mark.parametrize("cache", ["absolute", "relative", None, ""])
def test_the_launcher_and_the_suite_keep_their_state_in_one_folder(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    named: str | None,
    cache: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {
        "QUIVERDB_E2E_STATE": named,
        "XDG_CACHE_HOME": str(tmp_path / "cache") if cache == "absolute" else cache,
    }
    for name, value in values.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert launcher.state() == state_folder()


def test_tox_is_installed_once(launcher: Any) -> None:
    programs = _Programs(launcher)
    assert launcher.private_tox() == launcher.private_tox()
    assert len(programs.started) == 2
    assert programs.started[1][-3:] == ["--require-hashes", "--requirement", str(launcher.TOX)]


def test_a_half_made_environment_is_made_again(launcher: Any) -> None:
    programs = _Programs(launcher)
    tox = launcher.private_tox()
    (tox.parent.parent / "complete").unlink()
    (tox.parent / "leftover").touch()
    assert launcher.private_tox() == tox
    assert len(programs.started) == 4
    assert not (tox.parent / "leftover").exists()


@pytest.mark.parametrize("damage", ["bin/tox", "lib/python3.11/site-packages/tox.py"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_tox_that_is_damaged_is_made_again(launcher: Any, damage: str, *, gone: bool) -> None:
    programs = _Programs(launcher)
    folder = launcher.private_tox().parents[1]
    (folder / damage).write_bytes(b"")
    if gone:
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
def test_a_damaged_environment_is_made_again(launcher: Any, damage: str) -> None:
    programs = _Programs(launcher)
    launcher.environment(Path("/tox"), "gate")
    _install(_work() / "gate", "other")
    launcher.environment(Path("/tox"), "gate")
    assert not any("--recreate" in command for command in programs.started)
    damaged = _work() / "gate" / damage
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    assert not launcher.is_intact(_work() / "gate")
    with contextlib.suppress(SystemExit):  # this tox makes one package of two again
        launcher.environment(Path("/tox"), "gate")
    assert "--recreate" in programs.started[-1]


def test_an_environment_that_stays_damaged_is_not_used(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(launcher)
    launcher.environment(Path("/tox"), "gate")
    shutil.rmtree(_work() / "gate" / "lib")
    done = subprocess.CompletedProcess([], 0, "[]", "")
    monkeypatch.setattr(launcher, "run_quietly", lambda *_, **__: done)
    with pytest.raises(SystemExit) as raised:
        launcher.environment(Path("/tox"), "gate")
    assert raised.value.code == 3
    assert "is not complete" in capsys.readouterr().err


def test_environments_are_made_by_one_process_at_a_time(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, running, most = _Programs(launcher), [], []

    def make(command: list[str], **_: str) -> subprocess.CompletedProcess[str]:
        running.append(1)
        most.append(len(running))
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
    assert most == [1] * 4


def test_a_folder_that_takes_no_environment_ends_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("E2E_TOX_WORK_DIR", os.devnull)
    with pytest.raises(SystemExit) as raised:
        launcher.environment(Path("/tox"), "gate")
    assert raised.value.code == 3
    assert "name another folder by E2E_TOX_WORK_DIR" in capsys.readouterr().err


def test_a_pip_that_fails_is_told_in_one_line_and_nothing_is_taken_for_complete(
    launcher: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(launcher, "pip", error="WARNING: x\nERROR: no matching distribution\n")
    with pytest.raises(SystemExit) as raised:
        launcher.private_tox()
    assert raised.value.code == 3
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("e2e: pip cannot install tox: ERROR: no matching")
    assert list(launcher.state().glob("tox-*/complete")) == []


@pytest.mark.parametrize(("apt", "user"), [(None, 0), ("/usr/bin/apt-get", 1000)])
def test_a_python_without_venv_names_the_package_where_it_cannot_be_installed(
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
    *_, last = capsys.readouterr().err.splitlines()
    assert last == (
        f"e2e: `python3 -m venv` does not work here; run: apt-get install python{version}-venv"
    )
    assert len(programs.started) == 1


def test_root_on_debian_gets_the_missing_part_of_venv_installed(
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


def test_an_apt_get_that_does_not_mend_it_is_told(
    launcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _Programs(launcher, "venv", "install")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit):
        launcher.make_venv(tmp_path / "venv")
    *_, last = capsys.readouterr().err.splitlines()
    assert "did not fix it" in last
