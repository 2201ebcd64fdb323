from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

import pytest

from verification.commands import clean, exit_codes, gate, parser
from verification.commands.__main__ import main
from verification.models.errors import ExitCode, TestbedFailure


@pytest.mark.parametrize("name", parser.ENVIRONMENTS)
def test_command_of_tox_is_wrong_use(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == ExitCode.WRONG_USE
    (line,) = capsys.readouterr().err.splitlines()
    assert f"./e2e {name}" in line


def test_command_runs_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", "debian-13", "--installer", "x"]) == ExitCode.WRONG_USE
    assert capsys.readouterr().err.startswith("e2e: --installer x: ")


@pytest.mark.parametrize("code", ExitCode)
def test_exit_code_is_that_of_the_command(monkeypatch: pytest.MonkeyPatch, code: ExitCode) -> None:
    calls: list[argparse.Namespace] = []

    def run(options: argparse.Namespace) -> int:
        calls.append(options)
        return code

    monkeypatch.setattr(clean, "run", run)
    assert main(["clean", "--kept"]) == code
    assert [(options.command, options.kept) for options in calls] == [("clean", True)]


def test_testbed_failure_is_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise TestbedFailure("engine-unreachable", "engine", "no answer")

    monkeypatch.setattr(clean, "run", fail)
    assert main(["clean"]) == ExitCode.TESTBED_FAILED
    assert capsys.readouterr().err == "e2e: engine-unreachable: engine: no answer\n"


def test_unknown_option_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--bad"]) == ExitCode.WRONG_USE
    assert "--bad" in capsys.readouterr().err


@pytest.mark.parametrize("code", ExitCode)
def test_exit_code_is_confirmed_to_the_launcher(
    monkeypatch: pytest.MonkeyPatch, code: ExitCode
) -> None:
    monkeypatch.setattr(clean, "run", lambda _: code)
    reader, writer = os.pipe()
    monkeypatch.setenv(exit_codes.CONFIRM, f"{writer}:{os.fstat(writer).st_ino}")
    main(["clean"])
    assert os.read(reader, 9) == f"{int(code)}\n".encode()
    os.close(reader)
    os.close(writer)


def test_output_that_cannot_be_written_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flush() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    redirected: list[int] = []
    monkeypatch.setattr(clean, "run", lambda _: ExitCode.VERIFIED)
    monkeypatch.setattr(sys.stdout, "flush", flush)
    monkeypatch.setattr(os, "dup2", lambda _, number: redirected.append(number))
    assert main(["clean"]) == ExitCode.VERIFIED
    monkeypatch.undo()
    assert "Broken pipe" in capsys.readouterr().err
    assert redirected == [1]


def test_gate_gets_the_options_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Sequence[str]] = []

    def run(_options: argparse.Namespace, pytest_words: Sequence[str]) -> int:
        calls.append(pytest_words)
        return 0

    monkeypatch.setattr(gate, "run", run)
    assert main(["gate", "--strict", "-k", "uv"]) == 0
    assert calls == [["-k", "uv"]]
