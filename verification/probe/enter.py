"""Runs on the machine: does what a cell's user has done, and becomes a shell where the cell runs.

    enter.py instructions.json            a shell, in the cell's folder and environment
    enter.py instructions.json STEP ...   the commands of these steps, up to one that fails

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
from typing import Any, Dict, List, Sequence


def commands(spec: Dict[str, Any], step: str) -> List[List[str]]:
    """Return the commands of one step."""
    return [spec["install"]] if step == "install" else list(spec.get(step, ()))


def run(command: Sequence[str]) -> int:
    """Run one command as the user types it; show it only if it fails."""
    found = shutil.which(command[0]) or command[0]
    ended = subprocess.run(
        [found, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if ended.returncode:
        print(f"$ {' '.join(command)}", file=sys.stderr)
        print(ended.stdout.decode("utf-8", "replace"), file=sys.stderr)
    return ended.returncode


def shell(spec: Dict[str, Any]) -> int:
    """Become the machine's shell; on Windows, where no program can become another, wait for it."""
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the shell's
        if sys.stdin.isatty():
            return subprocess.call(["cmd.exe"])
        # Wine's cmd takes a command, then goes back to where the next one begins: it needs a file.
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
    """Do what the arguments ask for."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.environ.update(spec["env"])
    os.makedirs(spec["cwd"], exist_ok=True)
    os.chdir(spec["cwd"])
    if spec.get("umask", -1) >= 0:
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
