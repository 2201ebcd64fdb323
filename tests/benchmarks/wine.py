"""Measure the time that commands on Wine need on all processors and on one processor.

Run ``python3 tests/benchmarks/wine.py [--runs N]``. Each command runs in a new container of
windows-wine. The image is built if it is missing.
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
    """Run a command in a new container; return its wall time.

    Raises:
        SystemExit: the command failed.
    """
    labels = [f"--label={key}={value}" for key, value in run.labels().items()]
    container = ["docker", "run", "--rm", "--init", "--network=none", *labels, *options, tag]
    start = time.perf_counter()
    result = subprocess.run([*container, "sh", "-c", command], capture_output=True, check=False)
    if result.returncode:
        raise SystemExit(f"{command}: {result.stderr[-300:].decode('utf-8', 'replace')}")
    return time.perf_counter() - start


def main() -> None:
    """Print the medians of each command on all processors and on one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = range(parser.parse_args().runs)
    docker = engine.ensure()
    run = Run.new()
    tag = images.ensure(docker, "windows-wine").tag
    print("| command | all processors, s | one, s |\n|---|---|---|")
    with processors.reserve(docker) as number:
        for name, command in COMMANDS.items():
            on_all, on_one = [], []
            for _ in runs:  # alternate, because the speed of a shared host changes
                on_all.append(seconds(tag, run, command))
                on_one.append(seconds(tag, run, command, f"--cpuset-cpus={number}"))
            medians = [f"{statistics.median(values):.2f}" for values in (on_all, on_one)]
            print(f"| {name} | {' | '.join(medians)} |")


if __name__ == "__main__":
    main()
