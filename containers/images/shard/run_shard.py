"""Run one shard of a gate, and print its report as text, which the log of the container keeps.

The variable SLOT is the slot of the task. The arguments are the number of shards and the options of
the gate. The exit code is always 0, because a swarm repeats a task with another one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

REPORTS = Path("/tmp")  # noqa: S108  (in a container of its own)
LINE_BYTES = 3072
"""The bytes of the archive in a line. The drivers of logs divide a line of more than 16 KiB."""
GATE = ("-m", "verification.commands", "gate", "--no-provision")


def number_of(slot: str) -> int:
    """Return the number of the shard of a slot.

    The first slot of a job is 0. The engine then writes the id of the node instead of the slot.
    """
    return int(slot) + 1 if slot.isdecimal() and len(slot) < 5 else 1


def run_gate(shard: str, report: Path, options: list[str]) -> int:
    """Run the gate and return its exit code. A signal for this program interrupts the gate."""
    command = [sys.executable, *GATE, f"--report={report}", f"--shard={shard}", *options]
    with subprocess.Popen(command, stdout=sys.stderr, start_new_session=True) as process:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.killpg(process.pid, signal.SIGINT))
        return process.wait()


def lines_of(folder: Path, code: int) -> list[str]:
    """Return the text of a report: a line with its properties, then its archive in base64.

    The archive is empty if there is no report.
    """
    buffer = io.BytesIO()
    if (folder / "results.json").is_file():
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(folder, ".")
    archive = buffer.getvalue()
    head = {"exit_code": code, "sha256": hashlib.sha256(archive).hexdigest()}
    starts = range(0, len(archive), LINE_BYTES)
    pieces = (archive[start : start + LINE_BYTES] for start in starts)
    return [json.dumps(head), *(base64.b64encode(piece).decode() for piece in pieces)]


def main(words: list[str]) -> None:
    """Run the shard and print its report."""
    total, *options = words
    shard = f"{number_of(os.environ['SLOT'])}/{total}"
    # The tasks of several nodes can have a common state folder, and it has a lock for each report.
    report = REPORTS / f"shard-{shard.replace('/', '-')}"
    code = run_gate(shard, report, options)
    print("\n".join(lines_of(report, code)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
