"""Compare the full profile with a plain shell script that does the same installs and nothing else.

Run ``python3 tests/benchmarks/full.py [--runs N] [-k WORD]`` after a full run, when every image is
there. The script starts one ``docker run`` for each cell, on as many processors as there are. In
it the user's own commands of the cell are run, one after another: what prepares the way of
installing, the installation, an import, the removal. It looks at nothing, and its packages come
from a folder of wheels, so that it needs no index.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
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

from containers import builder, engine, images, releases, wheelhouse  # noqa: E402
from containers import machine as machines  # noqa: E402
from containers.engine import Run  # noqa: E402
from containers.wheelhouse import Wheelhouse  # noqa: E402
from tests.support import cell as cells  # noqa: E402
from tests.support import profiles  # noqa: E402
from tests.support.cell import Cell  # noqa: E402


def compared(keyword: str) -> list[Cell]:
    """Return the cells of the full profile whose way can be told to a shell.

    That is without files of the project, tests, or another user. ``keyword`` is a part of the ids.
    """
    full = profiles.load()["full"]
    chosen = [spec for spec in machines.load().values() if "full" in spec.profiles]
    return [
        cell
        for cell in cells.cells(chosen, full)
        if keyword in cell.id
        and not cell.place.files
        and not cell.place.tests
        and cell.place.user == "user"
    ]


def script(cell: Cell, house: Wheelhouse) -> str:
    """Return the shell script of one cell; it fails if one of its commands does."""
    told = cells.instructions(cell, "quiverdb", version=house.version, previous=house.previous)
    wine = cell.machine.runs_on == "wine"
    folder = "Z:\\wheels" if wine else "/wheels"
    given = dict.fromkeys(("PIP_NO_INDEX", "UV_NO_INDEX"), "1")
    given |= dict.fromkeys(("PIP_FIND_LINKS", "UV_FIND_LINKS"), folder)
    given |= {k: v for k, v in told["env"].items() if k not in ("PIP_CERT", "SSL_CERT_FILE")}

    def line(command: Sequence[str]) -> str:
        return shlex.join(["wine", *command] if wine else command)

    lines = ["set -e", *(f"export {key}={shlex.quote(value)}" for key, value in given.items())]
    if not wine:
        lines += [f"mkdir -p {shlex.quote(told['cwd'])}", f"cd {shlex.quote(told['cwd'])}"]
    if cell.place.umask >= 0:
        lines.append(f"umask {cell.place.umask:o}")
    # What the suite's own code does between two installations is left out.
    lines += map(line, (*told["setup"], *(words for words in told["first"] if "-c" not in words)))
    install = line(told["install"])
    if cell.refuses:
        lines.append(f"{install} || exit 0")
    else:
        lines += [install] * (2 if told["again"] else 1)
        lines += map(line, told["after_install"])
        lines.append(line([*told["python"], "-c", told["import"]]))
        lines += map(line, (*told["before_uninstall"], told["uninstall"]))
    user = "setpriv --reuid=1000 --regid=1000 --clear-groups"
    before = [shlex.join(command) for command in cell.place.as_root]
    return "\n".join(["set -e", *before, f"exec {user} sh -c {shlex.quote(chr(10).join(lines))}"])


def plain(
    todo: Sequence[Cell], tags: dict[str, str], house: Wheelhouse, wheels: Path, run: Run
) -> float:
    """Run the script of every cell; return the wall time.

    Raises:
        SystemExit: one of them failed.
    """

    def one(cell: Cell) -> str:
        labels = [f"--label={key}={value}" for key, value in run.labels().items()]
        command = ["docker", "run", "--rm", "--init", "--network=none", "--user=root", *labels]
        command += [f"--tmpfs={path}:{options}" for path, options in cell.place.tmpfs.items()]
        command += ["--env=HOME=/home/user", f"--volume={wheels}:/wheels:ro"]
        ran = subprocess.run(
            [*command, tags[cell.machine.image], "sh", "-c", script(cell, house)],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if ran.returncode == 0 else f"{cell.id}: {ran.stderr[-300:]}"

    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = list(filter(None, pool.map(one, todo)))
    if failed:
        raise SystemExit(f"{len(failed)} scripts failed, first {failed[0]}")
    return time.perf_counter() - began


def suite(todo: Sequence[Cell]) -> float:
    """Run the same cells with the suite; return the wall time.

    Raises:
        SystemExit: the verdict was not verified.
    """
    names = dict.fromkeys(cell.machine.name for cell in todo)
    with tempfile.TemporaryDirectory() as report:
        command = [sys.executable, "-m", "pytest", "tests/install", "--profile=full"]
        command += ["--no-pipeline", "--numprocesses=auto", "--dist=loadgroup"]
        command += [f"--report={report}", *(f"--machine={name}" for name in names)]
        command += ["-k", " or ".join(f"[{cell.id}]" for cell in todo)]
        began = time.perf_counter()
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
    if ran.returncode:
        raise SystemExit(f"the suite ended with {ran.returncode}:\n{ran.stdout[-2000:]}")
    return seconds


def published(found: engine.Engine, run: Run) -> Wheelhouse:
    """Return the wheels of the source, what they depend on, and the earlier releases."""
    source = ROOT / "bindings" / "python"
    platforms: tuple[builder.Platform, ...] = ("linux", "windows")
    built = [builder.build(found, source, run, platform=name) for name in platforms]
    house = wheelhouse.from_files(built, place=str(source))
    later = [path for name in ("3.14", "3.15") for path in wheelhouse.dependencies_for(name)]
    earlier = releases.earlier("quiverdb", house.version).files
    every = {path.name: path for path in (*later, *house.dependencies)}
    return dataclasses.replace(house, dependencies=tuple(every.values()), earlier=earlier)


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
    house = published(found, run)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        client = found.client()
        stack.callback(client.close)
        stack.callback(engine.sweep, client, run=run.id)
        Path(folder).chmod(0o755)
        for path in (*house.wheels, *house.dependencies, *house.earlier):
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        print("| run | cells | script, s | suite, s | ratio |\n|---|---|---|---|---|")
        for number in range(asked.runs):
            script_seconds = plain(todo, tags, house, Path(folder), run)
            suite_seconds = suite(todo)
            ratio = suite_seconds / script_seconds
            print(
                f"| {number + 1} | {len(todo)} | {script_seconds:.1f} | {suite_seconds:.1f} "
                f"| {ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
