"""Measure what a processor of its own spares a machine on Wine.

Run ``python3 tests/benchmarks/wine.py [--runs N]``. The same commands run in a fresh container of
windows-wine, on all processors and on one; the image is made where it is missing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from containers import engine, images, processors
from containers.engine import Run

COMMANDS = {
    "python -c pass": "wine python.exe -c pass",
    "pip --version": "wine python.exe -m pip --version",
    "uv --version": "wine uv.exe --version",
}


def seconds(tag: str, run: Run, command: str, *options: str) -> float:
    """Return how long the container takes whose only command this is.

    Raises:
        SystemExit: the command failed.
    """
    labels = [f"--label={key}={value}" for key, value in run.labels().items()]
    started = ["docker", "run", "--rm", "--init", "--network=none", *labels, *options, tag]
    began = time.perf_counter()
    ran = subprocess.run([*started, "sh", "-c", command], capture_output=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{command}: {ran.stderr[-300:].decode('utf-8', 'replace')}")
    return time.perf_counter() - began


def main() -> None:
    """Print the median of each command, both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = range(parser.parse_args().runs)
    found = engine.ensure()
    run = Run.new()
    tag = images.ensure(found, "windows-wine").tag
    print("| command | all processors, s | one, s |\n|---|---|---|")
    with processors.reserve(found) as number:
        for name, command in COMMANDS.items():
            every, one = [], []
            for _ in runs:  # in turn, since a shared machine is now slow and now fast
                every.append(seconds(tag, run, command))
                one.append(seconds(tag, run, command, f"--cpuset-cpus={number}"))
            print(f"| {name} | {statistics.median(every):.2f} | {statistics.median(one):.2f} |")


if __name__ == "__main__":
    main()
