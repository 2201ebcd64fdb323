from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import JsonValue

from verification.models import printable

ROOT = Path(__file__).parents[4]
ESCAPE = "\x1b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain ✔ text\n\tof two lines", "plain ✔ text\n\tof two lines"),
        ("of Windows\r\n", "of Windows\n"),
        (f"{ESCAPE}[2J{ESCAPE}]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("overwritten\rverified", r"overwritten\rverified"),
        ("\x9b31m\u202e\u2028", r"\x9b31m\u202e\u2028"),
        ("\u200e\u200f\u061c\u2066\u2069", r"\u200e\u200f\u061c\u2066\u2069"),
    ],
)
def test_control_characters_are_visible(value: str, expected: str) -> None:
    assert printable.text(value) == expected
    assert printable.text(expected) == expected


def test_all_strings_of_data_are_printable() -> None:
    value: JsonValue = {"a\x00": ["\x1b", 1, None, {"b": "\x07"}]}
    assert printable.data(value) == {"a\\x00": ["\\x1b", 1, None, {"b": "\\x07"}]}


COMMANDS = [
    "::error::forged",
    "  ::add-mask::x",
    "\t::stop-commands::x",
    "a ##[error]x",
    "##[group]",
]
"""Lines that the runner of GitHub Actions executes."""
TEXTS = ["std::terminate", "a :: b", "## heading", ": one colon", "#[x]"]


def _is_command(line: str) -> bool:
    return line.lstrip().startswith("::") or "##[" in line


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("before", ["", "text\n", "text\n\n"])
def test_line_of_a_stranger_is_no_workflow_command(before: str, line: str) -> None:
    assert any(map(_is_command, (before + line).splitlines()))
    written = printable.without_commands(before + line)
    assert not any(map(_is_command, written.splitlines()))
    assert written.replace(" ", "") == (before + line).replace(" ", "")


@pytest.mark.parametrize("line", TEXTS)
def test_other_lines_are_unchanged(line: str) -> None:
    assert printable.without_commands(line) == line


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_command_that_is_written_in_parts_is_no_command(line: str, size: int) -> None:
    below = io.StringIO()
    stream = printable.printable(below)
    for start in range(0, len(line), size):
        stream.write(line[start : start + size])
    assert not any(map(_is_command, below.getvalue().splitlines()))


def test_stream_writes_colours_and_no_other_control_character() -> None:
    below = io.StringIO()
    print(f"{ESCAPE}[1;31mred{ESCAPE}[0m {ESCAPE}[2K\r::error::x", file=printable.printable(below))
    assert below.getvalue() == f"{ESCAPE}[1;31mred{ESCAPE}[0m \\x1b[2K\\r::error::x\n"


def test_commands_of_the_suite_are_written_to_the_stream_below() -> None:
    below = io.StringIO()
    stream = printable.printable(below)
    assert printable.trusted(stream) is printable.trusted(below) is below
    assert printable.printable(stream) is stream


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_of_a_command_has_no_workflow_command(stream: str) -> None:
    program = f"""
import sys
from verification.commands import __main__, exit_codes
def command(run, *, deferred):
    print("::error::forged", file=sys.{stream})
    exit_codes.print_error("##[error]forged")
    return 5
exit_codes.exit_code_of = command
sys.exit(__main__.main(["doctor"]))
"""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 5, process.stderr
    lines = (process.stdout + process.stderr).splitlines()
    assert len(lines) == 2
    assert not any(map(_is_command, lines))
