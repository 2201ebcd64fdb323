"""Measure the gate: wall time of whole runs and of their cells.

Run ``python3 tests/benchmarks/gate.py [--runs N] [--cold] [OPTIONS OF THE GATE]``. ``--cold`` first
removes every image, wheel and download with ``./e2e clean``. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def measure(options: list[str]) -> tuple[float, dict[str, float]]:
    """Run one gate; return its wall time and the time of each cell, all in seconds.

    Raises:
        SystemExit: the gate did not end with a verdict of verified.
    """
    with tempfile.TemporaryDirectory() as report:
        began = time.perf_counter()
        command = [str(ROOT / "e2e"), "gate", f"--report={report}", *options]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        if ran.returncode:
            raise SystemExit(f"the gate ended with {ran.returncode}:\n{ran.stdout[-2000:]}")
        told = json.loads((Path(report) / "results.json").read_text("utf-8"))
    return seconds, {cell["id"]: cell["seconds"] for cell in told["cells"]}


def main() -> None:
    """Print the minimum, median and maximum of each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    asked, options = parser.parse_known_args()
    figures: dict[str, list[float]] = {}
    for number in range(asked.runs):
        if asked.cold:
            subprocess.run([str(ROOT / "e2e"), "clean"], stdout=subprocess.DEVNULL, check=True)
        seconds, cells = measure(options)
        print(f"run {number + 1}: {seconds:.1f} s", file=sys.stderr)
        for name, value in {"gate": seconds, **cells}.items():
            figures.setdefault(name, []).append(value)
    print("| what | min | median | max |\n|---|---|---|---|")
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"| {name} | {min(values):.1f} | {middle:.1f} | {max(values):.1f} |")


if __name__ == "__main__":
    main()
