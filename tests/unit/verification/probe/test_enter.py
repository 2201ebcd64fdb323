"""The script for a person who enters a machine; each test runs it as a program."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_wheels import SUBJECT
from verification.scenarios.cells import cell
from verification.scenarios.instructions import instructions

if TYPE_CHECKING:  # importing the module would run it
    from verification.probe.enter import Instructions

ENTER = Path(__file__).parents[4] / "verification" / "probe" / "enter.py"
STEPS = ("setup", "first", "install", "after_install", "before_uninstall")


def note(text: str) -> list[str]:
    """Return a command that adds a line to the file ``notes`` in the cell's folder."""
    return ["sh", "-c", f"echo {text} >>notes"]


@pytest.fixture
def spec(tmp_path: Path) -> Instructions:
    """Return instructions in which each step writes its name into ``notes``."""
    return {
        "folder": str(tmp_path),
        "cwd": str(tmp_path / "home" / "my project"),
        "env": {"NAME": "x"},
        "umask": -1,
        "setup": [note("setup")],
        "first": [note("first"), note("second")],
        "install": note("install"),
        "after_install": [note("after_install")],
        "before_uninstall": [note("before_uninstall")],
    }


def start(
    spec: Instructions, *steps: str, stdin: str = "", terminal: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script with this text on its standard input, or in a terminal."""
    path = Path(spec["folder"]) / "instructions.json"
    path.write_text(json.dumps(spec), "utf-8")
    command = [sys.executable, str(ENTER), str(path), *steps]
    environment = {"PATH": os.environ["PATH"], "HOME": spec["folder"], "NAME": "before"}
    if terminal is not None:
        return subprocess.run(
            command,
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            text=True,
            check=False,
        )
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def notes(spec: Instructions) -> list[str]:
    path = Path(spec["cwd"]) / "notes"
    return path.read_text("utf-8").splitlines() if path.exists() else []


def test_each_step_runs_its_commands(spec: Instructions) -> None:
    result = start(spec, *STEPS)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert notes(spec) == [
        *("setup", "first", "second", "install", "after_install", "before_uninstall")
    ]


def test_steps_run_in_the_order_of_the_command_line(spec: Instructions) -> None:
    assert start(spec, "install", "setup").returncode == 0
    assert notes(spec) == ["install", "setup"]


def test_a_failed_command_is_printed_and_ends_the_script(spec: Instructions) -> None:
    spec["first"] = [["sh", "-c", "echo out; echo err >&2; exit 3"], note("second")]
    result = start(spec, "setup", "first", "install")
    assert result.returncode == 3
    assert notes(spec) == ["setup"]
    assert result.stderr.startswith("$ sh -c ")
    assert "out\nerr\n" in result.stderr


def test_a_successful_command_is_not_printed(spec: Instructions) -> None:
    spec["install"] = ["sh", "-c", "echo out; echo err >&2"]
    result = start(spec, "install")
    assert (result.stdout, result.stderr) == ("", "")


def test_a_command_does_not_read_the_input_of_the_user(spec: Instructions) -> None:
    spec["install"] = ["sh", "-c", "cat >>notes"]
    assert start(spec, "install", stdin="text\n").returncode == 0
    assert notes(spec) == []


def test_an_unknown_step_is_an_error(spec: Instructions) -> None:
    assert start(spec, "other").returncode != 0
    assert notes(spec) == []


def test_commands_have_the_folder_and_the_variables_of_the_cell(spec: Instructions) -> None:
    spec["install"] = ["sh", "-c", 'pwd >notes; echo "$NAME" >>notes']
    assert start(spec, "install").returncode == 0
    assert notes(spec) == [spec["cwd"], "x"]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_commands_have_the_umask_of_the_cell(spec: Instructions, umask: int, mode: int) -> None:
    spec["umask"] = umask
    start(spec, "install")
    assert (Path(spec["cwd"]) / "notes").stat().st_mode & 0o777 == mode


def test_without_a_umask_in_the_cell_the_umask_of_the_machine_applies(spec: Instructions) -> None:
    before = os.umask(0o027)
    try:
        start(spec, "install")
    finally:
        os.umask(before)
    assert (Path(spec["cwd"]) / "notes").stat().st_mode & 0o777 == 0o640


def test_without_a_step_it_opens_a_shell_in_the_cell(spec: Instructions) -> None:
    result = start(spec, stdin='pwd\necho "$NAME"\nexit 7\n')
    assert result.returncode == 7
    assert result.stdout.splitlines() == [spec["cwd"], "x"]
    assert notes(spec) == [], "no step ran"


@pytest.fixture
def terminal() -> Iterator[int]:
    """Return the descriptor of a terminal for the script."""
    near, far = pty.openpty()
    try:
        yield far
    finally:
        os.close(far)
        os.close(near)


def test_a_shell_in_a_terminal_reads_the_settings_of_the_cell(
    spec: Instructions, terminal: int
) -> None:
    settings = Path(spec["folder"]) / "shellrc"
    settings.write_text('echo "$NAME" >notes; exit 7\n', "utf-8")
    assert start(spec, terminal=terminal).returncode == 7
    assert notes(spec) == ["x"]


def test_a_shell_without_a_terminal_reads_no_settings(spec: Instructions) -> None:
    (Path(spec["folder"]) / "shellrc").write_text("exit 7\n", "utf-8")
    assert start(spec, stdin="exit 2\n").returncode == 2


def test_the_instructions_of_a_cell_have_the_keys_that_the_script_reads(
    spec: Instructions,
) -> None:
    written = json.loads(
        instructions(cell(sample_machine(), SUBJECT, "pip", "venv"), SUBJECT).to_json()
    )
    types = {name: type(value) for name, value in spec.items()}
    assert {name: type(written.get(name)) for name in types} == types
