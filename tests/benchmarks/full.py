"""Compare the full profile with a plain shell script that does the same installs and nothing else.

Run ``python3 tests/benchmarks/full.py [--runs N] [-k WORD]`` after a full run, when every image is
there. The script starts one ``docker run`` for each cell, on as many processors as there are: it
installs, imports and uninstalls, and looks at nothing. Its packages come from a folder of wheels,
so it needs no index. Only cells of Linux that install are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from containers import builder, engine, images, wheelhouse  # noqa: E402
from containers import machine as machines  # noqa: E402
from containers.engine import Run  # noqa: E402
from tests.support import cell as cells  # noqa: E402
from tests.support import profiles  # noqa: E402
from tests.support.cell import Cell  # noqa: E402
from tests.support.installers import INSTALLERS  # noqa: E402


def compared(keyword: str) -> list[Cell]:
    """Return the compared cells of the full profile; ``keyword`` is a part of their ids."""
    full = profiles.load()["full"]
    chosen = [spec for spec in machines.load().values() if "full" in spec.profiles]
    return [
        cell
        for cell in cells.cells(chosen, full)
        if cell.machine.os == "linux" and not cell.refuses and keyword in cell.id
        if not INSTALLERS[cell.installer].scenarios  # those commands take no such options
    ]


def script(cell: Cell) -> str:
    """Return the shell commands of one cell."""
    installer = INSTALLERS[cell.installer]
    told = "--no-index --find-links /wheels quiverdb"
    lines = [". /home/user/venv/bin/activate"]
    lines += [f"{shlex.join(typed)} --no-index --find-links /wheels" for typed in installer.setup]
    lines += [f"{shlex.join(installer.install)} {told}", "python -c 'import quiverdb'"]
    lines.append(f"{shlex.join(installer.uninstall)} quiverdb")
    return " && ".join(lines)


def plain(todo: Sequence[Cell], tags: dict[str, str], wheels: Path, run: Run) -> float:
    """Run the script of every cell; return the wall time.

    Raises:
        SystemExit: one of them failed.
    """

    def one(cell: Cell) -> str:
        labels = [f"--label={key}={value}" for key, value in run.labels().items()]
        command = ["docker", "run", "--rm", "--init", "--network=none", "--user=user", *labels]
        command += [f"--volume={wheels}:/wheels:ro", tags[cell.machine.image]]
        ran = subprocess.run(
            [*command, "sh", "-c", script(cell)], capture_output=True, text=True, check=False
        )
        return "" if ran.returncode == 0 else f"{cell.id}: {ran.stderr[-300:]}"

    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = list(filter(None, pool.map(one, todo)))
    if failed:
        raise SystemExit(f"{len(failed)} scripts failed, first {failed[0]}")
    return time.perf_counter() - began


def suite(todo: Sequence[Cell], keyword: str) -> float:
    """Run the same cells with the suite; return the wall time.

    Raises:
        SystemExit: the verdict was not verified.
    """
    names = dict.fromkeys(cell.machine.name for cell in todo)
    with tempfile.TemporaryDirectory() as report:
        command = [sys.executable, "-m", "pytest", "tests/static", "tests/install"]
        command += ["--profile=full", "--numprocesses=auto", "--dist=loadgroup"]
        command += [f"--report={report}", *(f"--machine={name}" for name in names)]
        command += [f"-k={keyword}"] if keyword else []
        began = time.perf_counter()
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
    if ran.returncode:
        raise SystemExit(f"the suite ended with {ran.returncode}:\n{ran.stdout[-2000:]}")
    return seconds


def main() -> None:
    """Print the wall time of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("-k", dest="keyword", default="", help="a part of the cells' ids")
    asked = parser.parse_args()
    todo = compared(asked.keyword)
    if not todo:
        raise SystemExit(f"no cell of the full profile has {asked.keyword!r} in its id")
    found = engine.ensure()
    run = Run.new()
    tags = {name: images.ensure(found, name).tag for name in {c.machine.image for c in todo}}
    wheel = builder.build(found, ROOT / "bindings" / "python", run)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        client = found.client()
        stack.callback(client.close)
        stack.callback(engine.sweep, client, run=run.id)
        Path(folder).chmod(0o755)
        for path in (wheel, *wheelhouse.dependencies()):
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        print("| run | cells | script, s | suite, s | ratio |\n|---|---|---|---|---|")
        for number in range(asked.runs):
            script_seconds = plain(todo, tags, Path(folder), run)
            suite_seconds = suite(todo, asked.keyword)
            ratio = suite_seconds / script_seconds
            print(
                f"| {number + 1} | {len(todo)} | {script_seconds:.1f} | {suite_seconds:.1f} "
                f"| {ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
