"""Measure how much faster several engines run the cells of a gate.

Run ``python3 -m tests.benchmarks.engines [--engines N ...]`` in the root folder of the repository
as root, in the environment of the tests. The script starts engines on this host. Each gate
has the real scheduler, workers and report. A cell asks the engine of its worker for an answer, and
sleeps. With ``--containers``, a container on the engine sleeps; the starts of containers then
compete for the processors of this host. The time is that from the start of the first cell to the
end of the last one. Efficiency is the time with one engine, divided by the time with N engines and
by N.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from containers import engine as own_engine
from containers import images
from tests.benchmarks.cells import MANY_CELLS
from tests.helpers.engines import StartedEngine, engines
from verification.report import results_json

ROOT = Path(__file__).parents[2]
_CONFTEST = ROOT / "tests" / "helpers" / "gate_conftest.py"
_SLEEPING = """

import docker
from tests.helpers.sample_run import cell as sample_cell

SOCKETS = json.loads(os.environ["SOCKETS"])


@pytest.fixture
def run_cell(handover):
    engine = handover.prepared.testbed.engine.name

    def sleep(cell):
        began = time.time()
        client = docker.DockerClient(base_url=SOCKETS[engine])
        if image := os.environ["IMAGE"]:
            client.containers.run(
                image, [os.environ["SECONDS"]], entrypoint="sleep", network_mode="none", remove=True
            )
        else:
            client.ping()
            time.sleep(float(os.environ["SECONDS"]))
        client.close()
        with (FOLDER / "times").open("a") as file:
            file.write(f"{cell.id} {engine} {began} {time.time()}\\n")
        values = {name: getattr(cell, name).name for name in ("machine", "installer", "scenario")}
        return sample_cell(cell.id).model_copy(update={**values, "engine": engine})

    return sleep
"""


def measure(started: list[StartedEngine], options: argparse.Namespace, image: str) -> float:
    """Run a gate on these engines. Return the seconds of its cells.

    Raises:
        RuntimeError: the gate was not verified, or a cell did not run exactly once.
    """
    names = [engine.name for engine in started]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        shutil.copytree(ROOT / "tests" / "gate", folder / "tests" / "gate")
        conftest = _CONFTEST.read_text("utf-8") + MANY_CELLS + _SLEEPING
        (folder / "conftest.py").write_text(conftest, "utf-8")
        (folder / "behaviour.json").write_text(json.dumps({"engines": " ".join(names)}))
        (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    item: the item of a test\n")
        (folder / "wheels").mkdir()
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/gate"]
        command += ["--import-mode=importlib", "--profile=quick", f"--wheels={folder / 'wheels'}"]
        command += [f"--report={folder / 'report'}", f"-n{options.workers * len(started)}"]
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "QUIVERDB_E2E_HISTORY": "",
            "CELLS": str(options.cells),
            "SECONDS": str(options.seconds),
            "IMAGE": image if options.containers else "",
            "SOCKETS": json.dumps({engine.name: engine.url for engine in started}),
        }
        command += [f"--engine={name}" for name in names]
        finished = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise RuntimeError(f"exit code {finished.returncode}: {finished.stdout[-2000:]}")
        lines = [line.split() for line in (folder / "times").read_text("utf-8").splitlines()]
        report = results_json.read(folder / "report" / results_json.NAME)
    if sorted(line[0] for line in lines) != sorted(cell.id for cell in report.cells):
        raise RuntimeError(f"{len(lines)} runs of {len(report.cells)} cells")
    print("   cells of each engine:", dict(sorted(Counter(line[1] for line in lines).items())))
    return max(float(line[3]) for line in lines) - min(float(line[2]) for line in lines)


def main() -> None:
    """Measure the gates with one engine and with more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--cells", type=int, default=72)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=4, help="workers of each engine")
    parser.add_argument("--containers", action="store_true", help="let containers sleep")
    options = parser.parse_args()
    source = own_engine.ensure()
    image = images.ensure(source, "publisher").tag
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2e-")))
        running = stack.enter_context(
            engines(max(options.engines), folder, source=source, images=[image])
        )
        alone = 0.0
        for count in sorted({1, *options.engines}):
            seconds = measure(list(running[:count]), options, image)
            alone = alone or seconds
            efficiency = alone / seconds / count
            print(
                f"{count} engines: {options.cells} cells of {options.seconds:g} s in "
                f"{seconds:.1f} s, efficiency {efficiency:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
