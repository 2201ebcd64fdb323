"""What the script does on a machine that a person enters; it runs as a program of its own."""

from __future__ import annotations

import json
import os
import pty
import shlex
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

if TYPE_CHECKING:  # its import would run it
    from verification.probe.enter import Instructions

ENTER = Path(__file__).parents[4] / "verification" / "probe" / "enter.py"
STEPS = ("setup", "first", "install", "after_install", "before_uninstall")


def note(*words: str, code: int = 0) -> list[str]:
    """Return a command that adds a line to a file of the cell's folder."""
    return ["sh", "-c", f"echo {shlex.join(words)} >>notes; exit {code}"]


@pytest.fixture
def spec(tmp_path: Path) -> Instructions:
    """Return instructions in which each step notes its name."""
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
    spec: Instructions, *steps: str, typed: str = "", terminal: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script; its user types a text, or has a terminal."""
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
        command, env=environment, input=typed, capture_output=True, text=True, check=False
    )


def notes(spec: Instructions) -> list[str]:
    path = Path(spec["cwd"]) / "notes"
    return path.read_text("utf-8").splitlines() if path.exists() else []


@pytest.mark.parametrize("step", STEPS)
def test_a_step_runs_its_own_commands(spec: Instructions, step: str) -> None:
    ran = start(spec, step)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert notes(spec) == (["first", "second"] if step == "first" else [step])


def test_steps_run_in_the_order_of_the_command_line(spec: Instructions) -> None:
    assert start(spec, "install", "setup").returncode == 0
    assert notes(spec) == ["install", "setup"]


def test_a_command_that_fails_is_shown_and_ends_everything(spec: Instructions) -> None:
    spec["first"] = [["sh", "-c", "echo out; echo err >&2; exit 3"], note("second")]
    ran = start(spec, "setup", "first", "install")
    assert ran.returncode == 3
    assert notes(spec) == ["setup"]
    assert ran.stderr.startswith("$ sh -c ")
    assert "out\nerr\n" in ran.stderr


def test_a_command_that_works_is_not_shown(spec: Instructions) -> None:
    spec["install"] = ["sh", "-c", "echo out; echo err >&2"]
    ran = start(spec, "install")
    assert (ran.stdout, ran.stderr) == ("", "")


def test_a_command_reads_nothing_of_what_the_user_types(spec: Instructions) -> None:
    spec["install"] = ["sh", "-c", "cat >>notes"]
    assert start(spec, "install", typed="text\n").returncode == 0
    assert notes(spec) == []


def test_a_step_that_does_not_exist_is_an_error(spec: Instructions) -> None:
    assert start(spec, "other").returncode != 0
    assert notes(spec) == []


def test_commands_have_the_folder_and_the_variables_of_the_cell(spec: Instructions) -> None:
    spec["install"] = ["sh", "-c", 'pwd >notes; echo "$NAME" >>notes']
    assert start(spec, "install").returncode == 0
    assert notes(spec) == [spec["cwd"], "x"]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_the_mode_mask_is_the_cells(spec: Instructions, umask: int, mode: int) -> None:
    spec["umask"] = umask
    start(spec, "install")
    assert (Path(spec["cwd"]) / "notes").stat().st_mode & 0o777 == mode


def test_without_a_mode_mask_the_machines_own_applies(spec: Instructions) -> None:
    before = os.umask(0o027)
    try:
        start(spec, "install")
    finally:
        os.umask(before)
    assert (Path(spec["cwd"]) / "notes").stat().st_mode & 0o777 == 0o640


def test_without_a_step_it_is_a_shell_in_the_cell(spec: Instructions) -> None:
    ran = start(spec, typed='pwd\necho "$NAME"\nexit 7\n')
    assert ran.returncode == 7
    assert ran.stdout.splitlines() == [spec["cwd"], "x"]
    assert notes(spec) == [], "no step ran"


@pytest.fixture
def terminal() -> Iterator[int]:
    """Return a terminal that the script can have."""
    near, far = pty.openpty()
    try:
        yield far
    finally:
        os.close(far)
        os.close(near)


def test_the_shell_of_a_terminal_reads_the_cells_own_settings(
    spec: Instructions, terminal: int
) -> None:
    settings = Path(spec["folder"]) / "shellrc"
    settings.write_text('echo "$NAME" >notes; exit 7\n', "utf-8")
    assert start(spec, terminal=terminal).returncode == 7
    assert notes(spec) == ["x"]


def test_the_shell_without_a_terminal_reads_no_settings(spec: Instructions) -> None:
    (Path(spec["folder"]) / "shellrc").write_text("exit 7\n", "utf-8")
    assert start(spec, typed="exit 2\n").returncode == 2


def test_the_instructions_of_a_cell_have_what_the_script_reads(spec: Instructions) -> None:
    made = cell(sample_machine(), SUBJECT, "pip", "venv")
    written = json.loads(instructions(made, SUBJECT).to_json())
    kinds = {name: type(value) for name, value in spec.items()}
    assert {name: type(written.get(name)) for name in kinds} == kinds
