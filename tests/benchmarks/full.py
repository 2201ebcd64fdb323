"""Compare the full profile with a plain shell script that does the same installs and nothing else.

Run ``python3 tests/benchmarks/full.py [--runs N] [-k WORD]`` after a full run, when every image is
there. The script starts one ``docker run`` for each cell, as many at once as the suite has workers.
In it the user's own commands of the cell are run, one after another: what prepares the way of
installing, the installation, an import, the removal; the second script exercises the package as
well, as the suite does. Neither looks at anything, judges anything or writes anything down. What
they install from must be there for them too: a network, an index and the wheels on it, whose time
is told by itself and is in the ratios, since the suite's time is that of a whole run. It starts its
own, proves its network closed, and writes its report.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from containers import builder, engine, images, testbed, upstream_releases, wheelhouse
from containers.engine import Run
from containers.index import IndexContents
from containers.testbed import Testbed
from verification.commands.gate_plugin import workers
from verification.models.cell import Cell
from verification.models.machine import OperatingSystem
from verification.models.release import Release
from verification.probe import probe
from verification.scenarios import cells as plan
from verification.scenarios import machines, profiles
from verification.scenarios.instructions import instructions, root_commands
from verification.session import run_cell
from verification.subjects.subject import load as load_subject


def compared(keyword: str) -> list[Cell]:
    """Return the cells of the full profile whose way can be told to a shell.

    That is without files of the project, tests, or another user. ``keyword`` is a part of the ids.
    """
    full = profiles.load()["full"]
    chosen = [spec for spec in machines.load().values() if "full" in spec.profiles]
    return [
        cell
        for cell in plan.cells(chosen, load_subject(), full)
        if keyword in cell.id
        and not cell.scenario.files
        and not cell.runs_tests
        and cell.scenario.user == "user"
    ]


def script(cell: Cell, house: Release, *, used: bool) -> str:
    """Return the shell script of one cell; it fails if one of its commands does.

    With ``used`` the package is exercised after it was installed.
    """
    cell_plan = instructions(cell, load_subject(), version=house.version, previous=house.previous)
    wine = cell.machine.runs_on == "wine"
    suite = cell.machine.layout.path
    given = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), suite("ca.pem")) | dict(cell_plan.env)

    def line(command: Sequence[str]) -> str:
        return shlex.join(["wine", *command] if wine else command)

    lines = ["set -e", *(f"export {key}={shlex.quote(value)}" for key, value in given.items())]
    if not wine:
        lines += [f"mkdir -p {shlex.quote(cell_plan.cwd)}", f"cd {shlex.quote(cell_plan.cwd)}"]
    if cell.scenario.umask >= 0:
        lines.append(f"umask {cell.scenario.umask:o}")
    first = [words for words in cell_plan.first if used or "-c" not in words]
    lines += map(line, (*cell_plan.setup, *first))
    install = line(cell_plan.install)
    if cell.refusal:
        lines.append(f"{install} || exit 0")
    else:
        lines += [install] * (2 if cell_plan.reinstall else 1)
        lines += map(line, cell_plan.after_install)
        lines.append(line([*cell_plan.python, "-c", cell_plan.import_statement]))
        if used:
            scratch = "Z:\\tmp" if wine else "/tmp"  # noqa: S108  (in a container)
            spec: probe.Instructions = json.loads(cell_plan.to_json())
            given = probe.exercise_environment(spec, scratch)
            lines += [f"export {key}={shlex.quote(value)}" for key, value in given.items()]
            lines.append(line(probe.exercise_command(spec)))
        lines += map(line, (*cell_plan.before_uninstall, cell_plan.uninstall))
    user = "setpriv --reuid=1000 --regid=1000 --clear-groups"
    before = [shlex.join(command) for command in root_commands(cell, load_subject())]
    return "\n".join(["set -e", *before, f"exec {user} sh -c {shlex.quote(chr(10).join(lines))}"])


def plain(
    todo: Sequence[Cell], tags: dict[str, str], house: Release, bed: Testbed, *, used: bool
) -> float:
    """Run the script of every cell; return the wall time.

    Raises:
        SystemExit: one of them failed.
    """

    def one(cell: Cell) -> str:
        labels = [f"--label={key}={value}" for key, value in bed.run.labels().items()]
        command = ["docker", "run", "--rm", "--init", f"--network={bed.network.name}", *labels]
        command += [f"--tmpfs={path}:{options}" for path, options in cell.scenario.tmpfs.items()]
        command += ["--user=root", "--env=HOME=/home/user", f"--volume={folder}:/e2e:ro"]
        ran = subprocess.run(
            [*command, tags[cell.machine.image], "sh", "-c", script(cell, house, used=used)],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if ran.returncode == 0 else f"{cell.id}: {ran.stderr[-300:]}"

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(workers()) as pool:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "ca.pem").write_text(bed.network.ca_certificate, "utf-8")
        for file in ("exercise.py", "uses.py"):
            shutil.copy(Path(run_cell.__file__).parents[1] / "probe" / file, folder)
        began = time.perf_counter()
        failed = list(filter(None, pool.map(one, todo)))
        seconds = time.perf_counter() - began
    if failed:
        raise SystemExit(f"{len(failed)} scripts failed:\n" + "\n".join(failed))
    return seconds


def suite(todo: Sequence[Cell]) -> float:
    """Run the same cells with the suite; return the wall time.

    Raises:
        SystemExit: the verdict was not verified.
    """
    names = dict.fromkeys(cell.machine.name for cell in todo)
    with tempfile.TemporaryDirectory() as report:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "tests/gate/test_machines.py",
            "tests/gate/test_refusal.py",
            "--profile=full",
        ]
        command += ["--no-pipeline", "--numprocesses=auto", "--dist=loadgroup"]
        command += [f"--report={report}", *(f"--machine={name}" for name in names)]
        command += ["-k", " or ".join(f"[{cell.id}]" for cell in todo)]
        began = time.perf_counter()
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
    if ran.returncode:
        raise SystemExit(f"the suite ended with {ran.returncode}:\n{ran.stdout[-2000:]}")
    return seconds


def published(found: engine.Engine, run: Run) -> Release:
    """Return the wheels of the source, what they depend on, and the earlier releases."""
    subject = load_subject()
    source = ROOT / "bindings" / "python"
    platforms: tuple[OperatingSystem, ...] = ("linux", "windows")
    built = [builder.build(found, source, run, platform=name) for name in platforms]
    house = wheelhouse.from_files(built, subject.locks, location=str(source))
    later = [
        path
        for python in ("3.14", "3.15")
        for path in wheelhouse.dependencies_for(subject.dependencies, python)
    ]
    earlier = upstream_releases.earlier("quiverdb", house.version).files
    return house.with_dependencies(*later).model_copy(update={"earlier": earlier})


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
    index_image, publisher = (images.ensure(found, name) for name in ("index", "publisher"))
    contents = IndexContents(project="quiverdb", files=house.stored)
    with contextlib.ExitStack() as stack:
        client = found.client()
        stack.callback(client.close)
        stack.callback(engine.sweep, client, run=run.id)
        print("| run | cells | index, s | installs, s | exercised too, s | suite, s | ratios |")
        print("|---|---|---|---|---|---|---|")
        for number in range(asked.runs):
            began = time.perf_counter()
            with (
                testbed.prepare_network(found, run, publisher, prove=False) as network,
                testbed.start(network, index_image, contents, house.wheel_paths) as bed,
            ):
                index = time.perf_counter() - began
                bare = plain(todo, tags, house, bed, used=False)
                used = plain(todo, tags, house, bed, used=True)
            whole = suite(todo)
            print(
                f"| {number + 1} | {len(todo)} | {index:.1f} | {bare:.1f} | {used:.1f} "
                f"| {whole:.1f} | {whole / (index + bare):.2f}, {whole / (index + used):.2f} |"
            )


if __name__ == "__main__":
    main()
