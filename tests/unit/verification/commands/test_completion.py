from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from verification.commands import completion, parser
from verification.scenarios import machines, profiles

ROOT = Path(__file__).parents[4]


def complete(*words: str) -> list[str]:
    """Return what a real bash completes after these words, of which the last one is incomplete.

    The shell reads the script as a user does, and gets the words as bash separates them.
    """
    lines = [
        f"source <({sys.executable} -S ./e2e completion bash)",
        'COMP_WORDS=("$@")',
        "COMP_CWORD=$(($# - 1))",
        "_e2e",
        'printf "%s\\n" "${COMPREPLY[@]}"',
        "complete -p e2e >&2",
    ]
    process = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines), "bash", "./e2e", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stderr.split()[-3:] == ["-F", "_e2e", "e2e"], "bash calls the function for ./e2e"
    return process.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rep",), {"replay", "reproduce"}),
        (("gate", "--pro"), {"--processes", "--profile"}),
        (("gate", "--machine", "ubuntu-2"), {"ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04"}),
        (("gate", "--machine", "=", "alma"), {"almalinux-8"}),
        (("gate", "--strict", "--profile", "="), set(profiles.load())),
        (("shell", "fed"), {"fedora"}),
        (("gate", "--report", ""), set()),  # bash then completes names of files
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bash_completes_commands_options_machines_and_profiles(
    words: tuple[str, ...], expected: set[str]
) -> None:
    assert set(complete(*words)) == expected


@pytest.mark.parametrize("shell", parser.SHELLS)
def test_script_has_each_command_option_and_choice(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completion.run(argparse.Namespace(shell=shell)) == 0
    script = capsys.readouterr().out
    for name, command in parser.build_parsers()[1].items():
        for option in parser.option_names(command):
            assert option in script, name
    for name in (*parser.COMMANDS, *machines.load(), *profiles.load()):
        assert name in script
    assert script.isascii()
