"""Run act in this container.

Print one JSON object per line: ``{"at", "act"}`` for a line of act's log, ``{"at", "job"}`` for the
container of a job, ``{"at", "removed"}`` for a container that act removes, ``{"at", "text"}`` for
other output of act, ``{"at", "unsupported"}`` for what the testbed does not support,
``{"at", "unavailable"}`` for an image that a job cannot get, ``{"at", "ended"}`` with the exit code
at the end. If an image of a known action cannot be built, act is not started.

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
from .config import Config, load
from .output import report
from .relay import RELAY, Relay, missing_source

_PORT = 8080
_ACT_PORT = 34567


def main() -> int:
    """Run act with the configuration and return its exit code."""
    config = load(Path(sys.argv[1]))
    if _report_missing(config):
        return 0
    address = socket.gethostbyname(socket.gethostname())
    store = Store(Path(config.artifacts), config.attempt)
    Service((address, _PORT), store).start()
    Relay(config, f"http://{address}:{_ACT_PORT}/", f"http://{address}:{_PORT}/").start()
    command = [
        *config.command,
        # act sets the variables for artifacts only if it has an artifact server.
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
    assert process.stdout is not None  # noqa: S101 - stdout is a pipe
    for line in process.stdout:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict):
            report(act=entry)
        else:
            report(text=line.rstrip("\n"))
    code = process.wait()
    report(ended=code)
    return code


def _report_missing(config: Config) -> bool:
    """Report each known Dockerfile whose image cannot be built. Return True if there is any."""
    is_missing = False
    for name in config.dockerfiles:
        # A path that is not absolute is in the repository. Without the file, the step will fail.
        path = Path(config.folder, name)
        if path.is_file() and (why := missing_source(path.read_text("utf-8", "replace"))):
            report(unavailable={"image": name, "why": why})
            is_missing = True
    return is_missing


if __name__ == "__main__":
    sys.exit(main())
