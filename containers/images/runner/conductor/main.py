"""Run act in this container.

Prints one JSON object a line: ``{"at", "act"}`` for a line of act's log, ``{"at", "job"}`` for a
job's container, ``{"at", "removed"}`` for a container that act removes, ``{"at", "text"}`` for
anything else that act says, ``{"at", "ended"}`` at the end.

Usage: python3 -m conductor.main CONFIG.json
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from .artifacts import Service, Store
from .config import load
from .output import say
from .relay import RELAY, Relay

_PORT = 8080
_ACT_PORT = 34567


def main() -> int:
    """Run act as the configuration says; return its exit code."""
    config = load(Path(sys.argv[1]))
    address = socket.gethostbyname(socket.gethostname())
    store = Store(Path(config.artifacts), config.attempt)
    Service((address, _PORT), store).start()
    Relay(config, f"http://{address}:{_ACT_PORT}/", f"http://{address}:{_PORT}/").start()
    command = [
        *config.command,
        # Only a run with an artifact server has the variables that tell jobs of one.
        "--artifact-server-path=/tmp/act-artifacts",
        f"--artifact-server-addr={address}",
        f"--artifact-server-port={_ACT_PORT}",
    ]
    process = subprocess.Popen(
        command,
        cwd=config.folder,
        env={**os.environ, "DOCKER_HOST": f"unix://{RELAY}", **config.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None  # noqa: S101  (Popen was given a pipe)
    for line in process.stdout:
        try:
            logged = json.loads(line)
        except ValueError:
            logged = None
        if isinstance(logged, dict):
            say(act=logged)
        else:
            say(text=line.rstrip("\n"))
    code = process.wait()
    say(ended=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
