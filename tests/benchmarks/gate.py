"""Measure the gate: the wall time of whole runs and of their cells.

Run ``python3 tests/benchmarks/gate.py [--runs N] [--cold] [OPTIONS OF THE GATE]``. With ``--cold``,
``./e2e clean`` removes all images, wheels and downloads before each run. Standard library only.
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
    """Run one gate; return its wall time and the time of each cell, in seconds.

    Raises:
        SystemExit: the verdict is not *verified*.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [str(ROOT / "e2e"), "gate", f"--report={folder}", *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if result.returncode:
            raise SystemExit(f"the gate ended with {result.returncode}:\n{result.stdout[-2000:]}")
        report = json.loads((Path(folder) / "results.json").read_text("utf-8"))
    return seconds, {cell["id"]: cell["seconds"] for cell in report["cells"]}


def main() -> None:
    """Print the minimum, median and maximum of the wall time, and of the time of each cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    options, gate_options = parser.parse_known_args()
    figures: dict[str, list[float]] = {}
    for number in range(options.runs):
        if options.cold:
            subprocess.run([str(ROOT / "e2e"), "clean"], stdout=subprocess.DEVNULL, check=True)
        seconds, cells = measure(gate_options)
        print(f"run {number + 1}: {seconds:.1f} s", file=sys.stderr)
        for name, value in {"gate": seconds, **cells}.items():
            figures.setdefault(name, []).append(value)
    print("| what | min | median | max |\n|---|---|---|---|")
    for name, values in figures.items():
        median = statistics.median(values)
        print(f"| {name} | {min(values):.1f} | {median:.1f} | {max(values):.1f} |")


if __name__ == "__main__":
    main()
