"""Measure the cost of a cell in gates with few and with many cells, without an engine.

Run ``python3 -m tests.benchmarks.cells [--cells N ...]`` in the root folder of the repository, in
the environment of the suite. Each gate has the real scheduler, report and history. Its cells do not
run: each has a recorded result and recorded evidence. For each number of cells the script prints
the seconds, the seconds of a processor and the peak memory of the largest process, the same numbers
for each cell, and the size of the page. With ``--browser`` it also prints how long Chromium takes
to load the page and to filter its cells; this needs an engine and the image of the browser. The
last line compares the largest gate with that of 100 cells.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from verification.commands.card import open_browser
from verification.report import results_json

ROOT = Path(__file__).parents[2]
_INSPECT = ROOT / "tests" / "faults" / "inspect_page.py"
_CONFTEST = ROOT / "tests" / "helpers" / "gate_conftest.py"
MANY_CELLS = """

from verification.scenarios import cells as plan

_CELLS = int(os.environ["CELLS"])
_real_cells = plan.cells


def many_cells(*positional, **named):
    cells = _real_cells(*positional, **named)
    return [
        cell.model_copy(
            update={
                "scenario": cell.scenario.model_copy(
                    update={"name": f"{cell.scenario.name}{number}"}
                )
            }
        )
        for number in range(-(-_CELLS // len(cells)))
        for cell in cells
    ][:_CELLS]


vars(plan)["cells"] = many_cells
"""
"""The end of a conftest of a gate that has as many cells as the variable CELLS says."""
_RECORDED = """

from tests.helpers.sample_run import cell as sample_cell
from tests.helpers.sample_run import evidence
from verification.report import results_json
from verification.session.session import EVIDENCE


def recorded(cell):
    text = evidence().to_json().replace("Successfully", f"{cell.id} successfully")
    digest = results_json.write_by_content(FOLDER / "report" / EVIDENCE, text)
    values = {name: getattr(cell, name).name for name in ("machine", "installer", "scenario")}
    return sample_cell(cell.id).model_copy(update={**values, "evidence": digest})


@pytest.fixture
def run_cell():
    return recorded
"""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The cost of one gate."""

    cells: int
    seconds: float
    processor_seconds: float
    mebibytes: float
    page_mebibytes: float
    milliseconds: Mapping[str, float]
    """How long the browser takes to load and to filter the page; empty without a browser."""

    def __str__(self) -> str:
        """Return one line."""
        each = 1000 * self.processor_seconds / self.cells
        browser = "".join(f", {name} {value:.0f} ms" for name, value in self.milliseconds.items())
        return (
            f"{self.cells:6} cells: {self.seconds:6.1f} s, {self.processor_seconds:6.1f} s of a "
            f"processor ({each:.0f} ms for each cell), {self.mebibytes:.0f} MiB, "
            f"page {self.page_mebibytes:.1f} MiB{browser}"
        )


def measure(cells: int, folder: Path, *, browser: bool) -> Measured:
    """Run a gate with this number of cells in an empty folder.

    Raises:
        TestbedFailure, Unverified: ``browser`` is True, and no browser can start.
        RuntimeError: the gate was not verified, or has another number of cells.
    """
    shutil.copytree(ROOT / "tests" / "gate", folder / "tests" / "gate")
    (folder / "conftest.py").write_text(
        _CONFTEST.read_text("utf-8") + MANY_CELLS + _RECORDED, "utf-8"
    )
    (folder / "behaviour.json").write_text("{}")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    item: the item of a test\n")
    (folder / "wheels").mkdir()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/gate"]
    command += ["--import-mode=importlib", "--profile=quick"]
    command += [f"--wheels={folder / 'wheels'}", f"--report={folder / 'report'}", "-n2"]
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "QUIVERDB_E2E_HISTORY": str(folder / "history.sqlite3"),
        "CELLS": str(cells),
    }
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    finished = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode:
        raise RuntimeError(f"exit code {finished.returncode}: {finished.stdout[-2000:]}")
    report = results_json.read(folder / "report" / results_json.NAME)
    if len(report.cells) != cells:
        raise RuntimeError(f"{len(report.cells)} of {cells} cells")
    return Measured(
        cells,
        time.monotonic() - began,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        after.ru_maxrss / 1024,
        (folder / "report" / "index.html").stat().st_size / 2**20,
        browse(folder / "report" / "index.html") if browser else {},
    )


def browse(page: Path) -> dict[str, float]:
    """Return how long Chromium takes to load a page and to filter its cells, in milliseconds.

    Raises:
        TestbedFailure, Unverified: no browser can start.
        RuntimeError: the page cannot be used.
    """
    files = {"page/index.html": page.read_bytes(), "page/inspect_page.py": _INSPECT.read_bytes()}
    command = ["python", "page/inspect_page.py", "page/index.html", "without-axe", "one-view"]
    with open_browser(provision=False) as browser:
        result = browser.execute(files, command)
    if result.code:
        raise RuntimeError(f"exit code {result.code}: {result.output[-2000:]}")
    milliseconds: dict[str, float] = json.loads(result.output.splitlines()[-1])["milliseconds"]
    return milliseconds


def main() -> None:
    """Measure the gates, the smallest first, so that each peak of memory belongs to its gate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--browser", action="store_true", help="also use the page in Chromium")
    options = parser.parse_args()
    measured = []
    for cells in sorted(options.cells):
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(cells, Path(folder), browser=options.browser))
        print(measured[-1], flush=True)
    base, largest = measured[-2] if len(measured) > 1 else measured[0], measured[-1]
    base = next((gate for gate in measured if gate.cells == 100), base)
    added = largest.processor_seconds / largest.cells * base.cells / base.processor_seconds
    print(f"time for each cell at {largest.cells}: {added:.2f} x that at {base.cells}")


if __name__ == "__main__":
    main()
