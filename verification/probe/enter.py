"""Repeat the user's steps of a cell on its machine, or open a shell in the cell's folder.

    enter.py plan.json            open a shell in the cell's folder and environment
    enter.py plan.json STEP ...   run the commands of these steps; stop at the first failure

Standard library only, any CPython from 3.8, on Linux and on Windows.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Dict, List, Sequence, TypedDict


class Instructions(TypedDict):
    """The keys of the instructions file that this script uses.

    verification/scenarios/instructions.py writes the file.
    """

    folder: str
    cwd: str
    env: Dict[str, str]
    umask: int
    setup: List[List[str]]
    first: List[List[str]]
    install: List[str]
    after_install: List[List[str]]
    before_uninstall: List[List[str]]


def commands(spec: Instructions, step: str) -> List[List[str]]:
    """Return the commands of one step."""
    return {
        "setup": spec["setup"],
        "first": spec["first"],
        "install": [spec["install"]],
        "after_install": spec["after_install"],
        "before_uninstall": spec["before_uninstall"],
    }[step]


def run(command: Sequence[str]) -> int:
    """Run one command as the user types it, print its output if it fails, return its exit code."""
    program = shutil.which(command[0]) or command[0]
    result = subprocess.run(
        [program, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if result.returncode:
        print(f"$ {' '.join(command)}", file=sys.stderr)
        print(result.stdout.decode("utf-8", "replace"), file=sys.stderr)
    return result.returncode


def shell(spec: Instructions) -> int:
    """Replace this process with a shell. On Windows, run the shell and return its exit code."""
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the shell
        if sys.stdin.isatty():
            return subprocess.call(["cmd.exe"])
        # After each command, Wine's cmd seeks to the next one in its input. A pipe cannot seek.
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.seek(0)
            return subprocess.call(["cmd.exe"], stdin=file)
    arguments = ["bash"]
    if sys.stdin.isatty():
        path = os.path.join(spec["folder"], "shellrc")
        arguments += ["--rcfile", path] if os.path.exists(path) else []
    return os.execvp("bash", arguments)  # noqa: S606


def main() -> int:
    """Run the steps of the command line, or a shell if there are none; return the exit code."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec: Instructions = json.load(file)
    os.environ.update(spec["env"])
    os.makedirs(spec["cwd"], exist_ok=True)
    os.chdir(spec["cwd"])
    if spec["umask"] >= 0:
        os.umask(spec["umask"])
    if len(sys.argv) == 2:
        return shell(spec)
    for step in sys.argv[2:]:
        for command in commands(spec, step):
            code = run(command)
            if code:
                return code
    return 0


sys.exit(main())
