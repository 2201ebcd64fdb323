"""Measure the gate: the wall time of whole runs and of their cells.

Run ``python3 tests/benchmarks/gate.py [--runs N] [--cold] [OPTIONS OF THE GATE]``. With ``--cold``,
``./e2e clean`` removes all images, wheels and downloads before each run. Standard library only.

``--against COMMIT`` compares this commit with another one, as root on Linux. Each gets an engine of
its own, without images and without an outside network, and an empty state folder. Their first gates
run at the same time, so they share the load of the host. Then ``--runs`` gates with images follow,
in turns. The figures are wall seconds and processor seconds, and their ratios. The engine that is
running, its images and its folders are not used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_ENGINE_SECONDS = 60
# The shell adds itself to the processor account, which its children inherit. The mount hides the
# folder of the engine that is running.
_START = """
echo $$ >"$1/processes/cgroup.procs"
exec unshare --net --mount sh -c '
ip link set lo up && mount -t tmpfs tmpfs /run/docker 2>/dev/null
exec dockerd --data-root "$1/root" --exec-root "$1/exec" --pidfile "$1/pid" \\
  --host "unix://$1/socket" --cgroup-parent "/$2" >"$1/log" 2>&1' sh "$2" "$3"
"""

_COUNTED = 'echo $$ >"$0/processes/cgroup.procs"; exec "$@"'


class Measurement(NamedTuple):
    """The figures of one gate, in seconds."""

    wall: float
    processor: float
    """Of the gate and its engine; 0 if it is not measured."""
    cells: dict[str, float]


class Account(NamedTuple):
    """A control group that counts the processor time of its processes."""

    folder: Path

    @classmethod
    def new(cls, name: str) -> Account:
        """Create the group, in version 1 or 2 of the file system."""
        top = Path("/sys/fs/cgroup")
        folder = (top / "cpuacct" if (top / "cpuacct").is_dir() else top) / name
        # In version 2, a group with groups of containers has no processes of its own.
        (folder / "processes").mkdir(parents=True)
        return cls(folder)

    def seconds(self) -> float:
        """Return the processor seconds of all its processes so far."""
        if (usage := self.folder / "cpuacct.usage").exists():
            return int(usage.read_text()) / 1e9
        return int((self.folder / "cpu.stat").read_text().split()[1]) / 1e6


class Side(NamedTuple):
    """A commit with its own engine."""

    name: str
    checkout: Path
    account: Account
    environment: dict[str, str]

    def gate(self, options: list[str]) -> Measurement:
        """Run one gate of the commit on its engine.

        Raises:
            SystemExit: the verdict is not *verified*.
        """
        before = self.account.seconds()
        command = [
            "sh",
            "-c",
            'echo $$ >"$0/processes/cgroup.procs"; exec "$@"',
            str(self.account.folder),
        ]
        command += [sys.executable, "-m", "verification.commands", "gate", "--no-provision"]
        wall, cells = measure([*command, *options], self.checkout, self.environment)
        return Measurement(wall, self.account.seconds() - before, cells)


def measure(
    command: list[str], folder: Path = ROOT, environment: dict[str, str] | None = None
) -> tuple[float, dict[str, float]]:
    """Run one gate; return its wall time and the time of each cell, in seconds.

    Raises:
        SystemExit: the verdict is not *verified*.
    """
    with tempfile.TemporaryDirectory() as report_folder:
        start = time.perf_counter()
        result = subprocess.run(
            [*command, f"--report={report_folder}"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
        if result.returncode:
            raise SystemExit(f"the gate ended with {result.returncode}:\n{result.stdout[-2000:]}")
        report = json.loads((Path(report_folder) / "results.json").read_text("utf-8"))
    return seconds, {cell["id"]: cell["seconds"] for cell in report["cells"]}


@contextlib.contextmanager
def new_side(commit: str, scratch: Path) -> Iterator[Side]:
    """Check out a commit and start an empty engine for it. Remove both at the end.

    Raises:
        SystemExit: the engine does not start.
    """
    name = f"benchmark-{os.getpid()}-{scratch.name}"
    for folder in ("state", "tmp", "engine"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "tmp").chmod(0o1777)
    checkout, engine = scratch / "checkout", scratch / "engine"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    subprocess.run(["git", "-C", str(checkout), "checkout", "--quiet", commit], check=True)
    account = Account.new(name)
    process = subprocess.Popen(["sh", "-c", _START, "sh", account.folder, str(engine), name])
    deadline = time.monotonic() + _ENGINE_SECONDS
    try:
        while not (engine / "socket").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the engine does not start:\n{(engine / 'log').read_text()}")
            time.sleep(0.1)
        environment = os.environ | {
            "DOCKER_HOST": f"unix://{engine}/socket",
            "QUIVERDB_E2E_STATE": str(scratch / "state"),
            "QUIVERDB_E2E_HISTORY": "",
            "TMPDIR": str(scratch / "tmp"),
        }
        yield Side(commit, checkout, account, environment)
    finally:
        process.terminate()
        process.wait()
        for group in sorted(account.folder.rglob("*/"), reverse=True):
            group.rmdir()
        account.folder.rmdir()


def compare(commit: str, runs: int, options: list[str]) -> None:
    """Print the first gate and the gates with images of ``commit`` and of this commit.

    Raises:
        SystemExit: a gate is not *verified*, or the commits run different cells.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scratch.chmod(0o755)
        sides = [
            stack.enter_context(new_side(name, scratch / folder))
            for name, folder in ((commit, "before"), ("HEAD", "after"))
        ]
        print("| gate | commit | wall, s | processor, s | load |\n|---|---|---|---|---|")
        with ThreadPoolExecutor(len(sides)) as pool:
            first = list(pool.map(lambda side: side.gate(options), sides))
        print_ratios("first", sides, [first])
        warm = [[side.gate(options) for side in sides] for _ in range(runs)]
        print_ratios("images present", sides, warm)


def print_ratios(name: str, sides: list[Side], runs: list[list[Measurement]]) -> None:
    """Print the figures of all runs, and the ratios of their medians.

    Raises:
        SystemExit: the commits run different cells.
    """
    medians = []
    load = os.getloadavg()[0]
    for side, measured in zip(sides, zip(*runs, strict=True), strict=True):
        for run in measured:
            print(f"| {name} | {side.name} | {run.wall:.1f} | {run.processor:.1f} | {load:.1f} |")
            if run.cells.keys() != runs[0][0].cells.keys():
                raise SystemExit(f"{side.name} runs other cells: {', '.join(run.cells)}")
        medians.append([statistics.median(run[kind] for run in measured) for kind in (0, 1)])
    before, after = medians
    ratios = [new / old for old, new in zip(before, after, strict=True)]
    print(f"| {name} | ratio | {ratios[0]:.2f} | {ratios[1]:.2f} | |", flush=True)


def main() -> None:
    """Print the minimum, median and maximum of the wall time, and of the time of each cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--against", metavar="COMMIT", help="compare with another commit")
    options, gate_options = parser.parse_known_args()
    if options.against:
        compare(options.against, options.runs, gate_options)
        return
    figures: dict[str, list[float]] = {}
    for number in range(options.runs):
        if options.cold:
            subprocess.run([str(ROOT / "e2e"), "clean"], stdout=subprocess.DEVNULL, check=True)
        seconds, cells = measure([str(ROOT / "e2e"), "gate", *gate_options])
        print(f"run {number + 1}: {seconds:.1f} s", file=sys.stderr)
        for name, value in {"gate": seconds, **cells}.items():
            figures.setdefault(name, []).append(value)
    print("| what | min | median | max |\n|---|---|---|---|")
    for name, values in figures.items():
        median = statistics.median(values)
        print(f"| {name} | {min(values):.1f} | {median:.1f} | {max(values):.1f} |")


if __name__ == "__main__":
    main()
