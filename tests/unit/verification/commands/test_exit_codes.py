from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from containers.state import state_folder
from verification.commands import exit_codes
from verification.commands.common import Unverified
from verification.models.base import DataError
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse

ROOT = Path(__file__).parents[4]


def _raise(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrongUse("name a folder"), 4),
        (DataError("x.toml: name: Field required"), 4),
        (TestbedFailure("machine-lost", "debian-13", "no answer"), 3),
        (BuildFailed("quiverdb", "cmake failed", "a long log"), 1),
        (Unverified("no such image"), 5),
        (KeyboardInterrupt(), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_of_a_command_is_one_line_and_an_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_codes.exit_code_of(lambda: _raise(error)) == code
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("e2e: ")
    assert str(error) in line


def test_exit_code_of_a_command_without_an_error_is_unchanged() -> None:
    assert exit_codes.exit_code_of(lambda: 7) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_interrupts_and_a_second_one_is_ignored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with exit_codes.interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(number) == before


def _interrupt_and_raise(error: Exception) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise error


@pytest.mark.parametrize("error", [TestbedFailure("machine-lost", "x", "y"), KeyError("name")])
def test_error_of_an_interrupted_clean_up_is_an_interrupt(error: Exception) -> None:
    assert exit_codes.exit_code_of(lambda: _interrupt_and_raise(error)) == 5
    assert exit_codes.exit_code_of(lambda: 0) == 0, "the next command is not interrupted"


def test_interrupt_counts_also_if_its_exception_is_lost() -> None:
    def command() -> int:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return 0

    assert exit_codes.exit_code_of(command) == 5


@pytest.mark.parametrize(
    "error", [KeyError("name"), OSError(28, "No space left on device"), ValueError(), MemoryError()]
)
def test_crash_of_the_suite_is_a_testbed_failure_in_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_codes.exit_code_of(lambda: _raise(error)) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("e2e: ")
    assert type(error).__name__ in line
    assert "Traceback" not in line
    assert type(error).__name__ in (state_folder() / "crash.log").read_text("utf-8")


def test_message_of_several_lines_is_printed_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_codes.exit_code_of(lambda: _raise(WrongUse("first\n  second"))) == 4
    assert capsys.readouterr().err == "e2e: first second\n"


@pytest.mark.parametrize("number", exit_codes.SIGNALS)
def test_early_signal_is_pending_until_the_command_accepts_it(
    number: signal.Signals,
) -> None:
    steps: list[str] = []

    def run() -> int:
        signal.raise_signal(number)
        steps.append("after the signal")
        exit_codes.accept_signals()
        return 0

    assert exit_codes.exit_code_of(run, deferred=True) == 5
    assert steps == ["after the signal"]


# ---- the confirmation ----


def _pipe_name(writer: int) -> str:
    return f"{writer}:{os.fstat(writer).st_ino}"


def _confirmed(monkeypatch: pytest.MonkeyPatch, *codes: int) -> bytes:
    reader, writer = os.pipe()
    monkeypatch.setenv(exit_codes.CONFIRM, _pipe_name(writer))
    confirm = exit_codes.confirmation()
    for code in codes:
        confirm(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return file.read()


def test_exit_code_is_confirmed_to_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _confirmed(monkeypatch, 5) == b"5\n"
    assert _confirmed(monkeypatch) == b""


@pytest.mark.parametrize("value", ["", "none", "987654:1", "1:1", "2:", ":"])
def test_nothing_is_confirmed_without_a_launcher(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(exit_codes.CONFIRM, value)
    assert exit_codes._launcher_pipe() is None
    exit_codes.confirmation()(0)


def test_child_process_of_a_command_does_not_inherit_the_pipe(tmp_path: Path) -> None:
    script = (
        "import json, os, subprocess, sys\n"
        "from verification.commands import exit_codes\n"
        "confirm = exit_codes.confirmation()\n"
        "inner = 'import os; print(json.dumps(sorted(os.listdir(chr(47)+\"proc/self/fd\"))))'\n"
        "print(subprocess.run([sys.executable, '-c', 'import json;' + inner],\n"
        "    capture_output=True, text=True).stdout)\n"
    )
    reader, writer = os.pipe()
    try:
        process = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT), exit_codes.CONFIRM: _pipe_name(writer)},
            pass_fds=(writer,),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert str(writer) not in json.loads(process.stdout)
