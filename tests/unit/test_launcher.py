from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import types
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
    """Stands in for every program the launcher starts; the commands in ``failing`` fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failing: str, error: str = "") -> None:
        self.failing = failing
        self.error = error
        self.started: list[list[str]] = []
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.started.append([str(part) for part in command])
        failed = any(word in self.started[-1] for word in self.failing)
        if "venv" in command and not failed:
            (Path(command[-1]) / "bin").mkdir(parents=True)
        if "pip" in command and not failed:
            (Path(command[0]).parent / "tox").touch()
        return subprocess.CompletedProcess(command, int(failed), "", self.error)


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


def _main(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, list[list[str]]]:
    """Run the launcher with tox at hand; return its exit code and the commands it became."""
    started: list[list[str]] = []

    def popen(command: list[str], *, start_new_session: bool) -> Any:
        assert start_new_session, "a signal must reach the whole group, and once"
        started.append(command)
        return types.SimpleNamespace(pid=0, wait=lambda: 5)

    monkeypatch.setattr(launcher, "private_tox", lambda: Path("/state/bin/tox"))
    monkeypatch.setattr(launcher.subprocess, "Popen", popen)
    monkeypatch.setattr(launcher.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["e2e", *arguments])
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", "unset")  # the launcher sets it; this takes it back
    monkeypatch.chdir(Path.cwd())
    try:
        return launcher.main(), started
    except SystemExit as ended:
        return int(ended.code or 0), started


def _broken(*_: object) -> Never:
    raise BrokenPipeError  # the terminal is gone


def test_who_interrupts_again_does_not_end_the_writing_of_the_report(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: dict[int, Any] = {}
    handed_on: list[int] = []
    asked = [signal.SIGINT, signal.SIGINT, signal.SIGTERM]

    def wait() -> int:
        for number in asked:
            handlers[number](number, None)
        return 1

    def popen(_command: list[str], **_: object) -> Any:
        return types.SimpleNamespace(pid=4711, wait=wait)

    monkeypatch.setattr(launcher, "private_tox", lambda: Path("/state/bin/tox"))
    monkeypatch.setattr(launcher.subprocess, "Popen", popen)
    monkeypatch.setattr(launcher.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(launcher.os, "killpg", lambda _pid, number: handed_on.append(number))
    monkeypatch.setattr(sys, "argv", ["e2e", "gate"])
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", "unset")
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setattr(launcher.os, "write", _broken)
    assert launcher.main() == 5
    assert handed_on == [signal.SIGINT]
    asked.extend([signal.SIGINT] * 3)
    handed_on.clear()
    assert launcher.main() == 5
    assert handed_on == [signal.SIGINT, signal.SIGKILL]  # who insists


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


@pytest.mark.parametrize("name", ["gate", "test"])
def test_a_toxs_environment_is_run_with_the_options_given(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code, (command,) = _main(launcher, monkeypatch, name, "-k", "import")
    assert code == 5
    assert command[0] == "/state/bin/tox"
    assert command[command.index("-c") + 1] == str(LAUNCHER.parent / "tox.ini")
    assert command[-6:] == ["run", "-e", name, "--", "-k", "import"]


def test_a_folder_with_a_conftest_of_its_own_is_never_taken_for_one_to_collect(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ("--tests", "my tests", "--strict", "--report=x", "-k", "a", "-n0", "--source", "")
    _, [command] = _main(launcher, monkeypatch, "gate", *typed, "--subject", "their/subject.toml")
    given = command[command.index("--") + 1 :]
    assert given == [
        "--source=", "--subject=their/subject.toml", "--tests=my tests", "--strict-verdict",
        "--report=x", "-k", "a", "-n0",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["doctor", "clean"])
def test_doctor_and_clean_run_in_the_gates_environment(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, (command,) = _main(launcher, monkeypatch, name)
    assert command[-4:] == ["python", "-m", "verification.commands", name]
    assert command[command.index("-e") + 1] == "gate"


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
    monkeypatch.setattr(subprocess, "run", _forbidden)
    assert _main(launcher, monkeypatch, *typed.split()) == (4, [])
    told = capsys.readouterr()
    assert told.err.startswith(f"e2e: {line}")
    assert (told.err.count("\n"), told.out) == (1, "")


def test_compare_runs_in_the_gates_environment_with_the_runs_named(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (command,) = _main(launcher, monkeypatch, "compare", "3", "5")
    assert command[-5:] == ["-m", "verification.commands", "compare", "3", "5"]
    assert command[command.index("-e") + 1] == "gate"


@pytest.mark.parametrize(("name", "word"), [("replay", "x"), ("reproduce", "--python=3.13")])
def test_a_command_that_goes_back_runs_in_the_gates_environment(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str, word: str
) -> None:
    _, (command,) = _main(launcher, monkeypatch, name, word)
    assert command[-5:] == ["python", "-m", "verification.commands", name, word]


@pytest.mark.parametrize("name", ["shell", "bundle"])
def test_what_needs_the_terminal_or_the_environment_takes_the_launchers_place(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []

    def ask(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[command.index("-e") + 1] == "gate"
        return subprocess.CompletedProcess(command, 0, "noise\n/gate/bin/python\n")

    def execve(program: str, arguments: list[str], environment: dict[str, str]) -> Never:
        became.append((program, arguments, environment))
        raise SystemExit(7)  # a program that another took the place of does not come back

    monkeypatch.setattr(subprocess, "run", ask)
    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setenv("DEPLOY_TOKEN", "x")
    code, started = _main(launcher, monkeypatch, name, "debian-13")
    assert (code, started) == (7, [])
    ((program, arguments, environment),) = became
    assert program == "/gate/bin/python"
    assert arguments[1:] == ["-m", "verification.commands", name, "debian-13"]
    assert environment["PYTHONUTF8"] == "1"
    assert environment["DEPLOY_TOKEN"] == "x", "bundle must know it"  # noqa: S105
    assert environment["QUIVERDB_E2E_FOLDER"]


def test_a_shell_without_an_environment_is_told_in_one_line(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert _main(launcher, monkeypatch, "shell", "debian-13") == (3, [])
    assert capsys.readouterr().err.startswith("e2e: tox cannot make its environment")


def test_tox_runs_in_the_checkout_and_is_told_where_the_user_is(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    _main(launcher, monkeypatch, "gate")
    assert os.environ["QUIVERDB_E2E_FOLDER"] == str(tmp_path)
    assert Path.cwd() == LAUNCHER.parent


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


def test_tox_is_installed_once(launcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = _Programs(monkeypatch)
    assert launcher.private_tox() == launcher.private_tox()
    assert len(programs.started) == 2
    assert programs.started[1][-3:] == ["--require-hashes", "--requirement", str(launcher.TOX)]


def test_a_half_made_environment_is_made_again(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = _Programs(monkeypatch)
    tox = launcher.private_tox()
    (tox.parent.parent / "complete").unlink()
    (tox.parent / "leftover").touch()
    assert launcher.private_tox() == tox
    assert len(programs.started) == 4
    assert not (tox.parent / "leftover").exists()


def test_a_pip_that_fails_is_told_in_one_line_and_nothing_is_taken_for_complete(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _Programs(monkeypatch, "pip", error="WARNING: x\nERROR: no matching distribution\n")
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
    programs = _Programs(monkeypatch, "venv")
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
    programs = _Programs(monkeypatch, "venv")
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
    _Programs(monkeypatch, "venv", "install")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit):
        launcher.make_venv(tmp_path / "venv")
    *_, last = capsys.readouterr().err.splitlines()
    assert "did not fix it" in last
