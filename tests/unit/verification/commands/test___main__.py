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
def test_a_command_with_its_own_environment_is_wrong_use(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == ExitCode.WRONG_USE
    assert capsys.readouterr().err == f"e2e: {name}: run it as ./e2e {name}\n"


def test_a_module_is_run_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", "debian-13", "--installer", "x"]) == ExitCode.WRONG_USE
    assert capsys.readouterr().err.startswith("e2e: --installer x: there is none; there are: pip")


@pytest.mark.parametrize("code", ExitCode)
def test_the_exit_code_is_the_commands(monkeypatch: pytest.MonkeyPatch, code: ExitCode) -> None:
    options: list[argparse.Namespace] = []

    def run(one: argparse.Namespace) -> int:
        options.append(one)
        return code

    monkeypatch.setattr(clean, "run", run)
    assert main(["clean", "--kept"]) == code
    assert [(one.command, one.kept) for one in options] == [("clean", True)]


def test_a_failure_of_the_testbed_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise TestbedFailure("engine-unreachable", "engine", "no engine answers")

    monkeypatch.setattr(clean, "run", fail)
    assert main(["clean"]) == ExitCode.TESTBED_FAILED
    assert capsys.readouterr().err == "e2e: engine-unreachable: engine: no engine answers\n"


def test_an_unknown_option_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--bad"]) == ExitCode.WRONG_USE
    assert "--bad" in capsys.readouterr().err


@pytest.mark.parametrize("code", ExitCode)
def test_the_exit_code_is_confirmed_to_the_launcher(
    monkeypatch: pytest.MonkeyPatch, code: ExitCode
) -> None:
    monkeypatch.setattr(clean, "run", lambda _: code)
    reader, writer = os.pipe()
    monkeypatch.setenv(exit_codes.CONFIRM, f"{writer}:{os.fstat(writer).st_ino}")
    main(["clean"])
    assert os.read(reader, 9) == f"{int(code)}\n".encode()
    os.close(reader)
    os.close(writer)


def test_an_output_that_cannot_be_written_is_one_line(
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


def test_the_gate_gets_the_options_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Sequence[str]] = []

    def run(_options: argparse.Namespace, rest: Sequence[str]) -> int:
        given.append(rest)
        return 0

    monkeypatch.setattr(gate, "run", run)
    assert main(["gate", "--strict", "-k", "uv"]) == 0
    assert given == [["-k", "uv"]]
