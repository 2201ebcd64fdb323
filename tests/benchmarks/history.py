"""Measure ``./e2e compare`` with a long history.

Run ``python3 -m tests.benchmarks.history`` in the root folder of the repository, in the environment
of the suite. ``--runs`` is the number of runs of the history. ``--report`` is the ``results.json``
that each of them has (default: a small sample). A history of 10,000 runs of a report of 300 kB
needs 3 GB of disk. For each command in a new process the script prints the seconds, the seconds of
a processor, and the peak memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers.sample_run import report
from verification.history.store import History
from verification.report import results_json

_MEASURE = """
import resource, sys, time
from verification.commands.__main__ import main
began = time.monotonic()
code = main(["compare", *sys.argv[1:]])
mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
seconds = f"{time.monotonic() - began:.2f} s, {time.process_time():.2f} s of a processor"
print(f"{seconds}, {mebibytes:.0f} MiB, exit code {code}", file=sys.stderr)
"""


def fill(history: History, runs: int, results: Path | None) -> None:
    """Record a run, and copy it until the history has this number of runs."""
    history.record(results_json.read(results) if results else report())
    with history._open() as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers LIMIT ?) "
            "INSERT INTO runs (started, verdict, kind, results) "
            "SELECT started, verdict, kind, results FROM numbers, runs WHERE runs.id = 1",
            (runs - 1,),
        )
        database.execute("COMMIT")


def main() -> None:
    """Fill a history, and measure the commands that read it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.sqlite3")
        fill(history, options.runs, options.report)
        environment = {**os.environ, "QUIVERDB_E2E_HISTORY": str(history.file)}
        for title, arguments in {
            "compare, after it makes the index": [],
            "compare": [],
            "compare --list": ["--list"],
            "compare --prune 100": ["--prune", "100"],
        }.items():
            print(f"{title}: ", end="", file=sys.stderr, flush=True)
            command = [sys.executable, "-c", _MEASURE, *arguments]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
