"""A process ends with its parent."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARENT = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.DEVNULL).pid)
sys.stdout.flush()
sys.stdin.read()
"""
CHILD = """
import signal, time
from verification.parent import die_with_parent
die_with_parent(signal.SIGKILL)
time.sleep(600)
"""


def test_process_ends_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    path = Path(f"/proc/{child}")
    while "sleep" not in (path / "wchan").read_text("ascii"):  # it has called the function
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    while path.exists() and "State:\tZ" not in (path / "status").read_text("utf-8"):
        time.sleep(0.01)
