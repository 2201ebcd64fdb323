"""Compare the time of the full profile with a shell script that only installs and removes.

Run ``python3 tests/benchmarks/full.py [--runs N] [-k WORD]`` after a full run, which builds the
images. The script starts one ``docker run`` for each cell, as many at once as the suite has
workers. Each container runs the commands of the cell one after another: the preparation, the
installation, an import and the removal. A second script also exercises the package. The scripts
take no snapshots, judge nothing and write no report.

The scripts need a network and an index with the wheels. The time to start both is a column of the
result. It is part of both ratios, because the time of the suite is that of a whole run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
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

from containers import builder, engine, images, testbed, upstream_releases, wheelhouse
from containers.engine import Run
from containers.index import IndexContents
from containers.testbed import Testbed
from verification.commands.gate_plugin import workers
from verification.models.cell import Cell
from verification.models.inspection import ReleaseInspection
from verification.models.machine import DATA_FOLDER, OperatingSystem
from verification.models.release import Release
from verification.probe import probe
from verification.scenarios import cells as cell_factory
from verification.scenarios import machines, profiles
from verification.scenarios.instructions import ProbeInstructions, instructions, root_commands
from verification.session import dependencies
from verification.session.run_cell import probe_files
from verification.subjects import chosen_values
from verification.subjects.subject import load as load_subject
from verification.wheel.release_inspection import bundled_libraries


def compared_cells(keyword: str) -> list[Cell]:
    """Return the cells of the full profile that a shell script can run.

    Cells with project files, own tests or another user are left out. ``keyword`` is a part of the
    ids of the cells.
    """
    full = profiles.load()["full"]
    chosen = [spec for spec in machines.load().values() if "full" in spec.profiles]
    return [
        cell
        for cell in cell_factory.cells(chosen, load_subject(), full)
        if keyword in cell.id
        and not cell.scenario.files
        and not cell.runs_tests
        and cell.scenario.user == "user"
    ]


def cell_instructions(cell: Cell, release: Release) -> ProbeInstructions:
    """Return the probe's instructions for a cell, with the values of seed 1 to store and read."""
    subject = load_subject()
    chosen = chosen_values.for_subject(subject, seed=1)
    return instructions(
        cell, subject, version=release.version, previous=release.previous, chosen=chosen
    )


def script(cell: Cell, plan: ProbeInstructions, *, exercised: bool) -> str:
    """Return the shell script of a cell. It fails if one of its commands fails.

    With ``exercised`` it exercises the package after the installation.
    """
    wine = cell.machine.runs_on == "wine"
    ca_certificate = cell.machine.layout.path("ca.pem")
    environment = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), ca_certificate) | dict(plan.env)

    def line(command: Sequence[str]) -> str:
        return shlex.join(["wine", *command] if wine else command)

    def exports(variables: dict[str, str]) -> list[str]:
        return [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]

    lines = ["set -e", *exports(environment)]
    if not wine:
        lines += [f"mkdir -p {shlex.quote(plan.cwd)}", f"cd {shlex.quote(plan.cwd)}"]
    if cell.scenario.umask >= 0:
        lines.append(f"umask {cell.scenario.umask:o}")
    first = [words for words in plan.first if exercised or "-c" not in words]
    lines += map(line, (*plan.setup, *first))
    install = line(plan.install)
    if cell.refusal:
        lines.append(f"{install} || exit 0")
    else:
        lines += [install] * (2 if plan.reinstall else 1)
        lines += map(line, plan.after_install)
        lines.append(line([*plan.python, "-c", plan.import_statement]))
        if exercised:
            spec: probe.Instructions = json.loads(plan.to_json())
            lines += exports(spec["exercise_env"])
            lines.append(line(probe.exercise_command(spec, observe=False)))
        lines += map(line, (*plan.before_uninstall, plan.uninstall))
    as_user = "setpriv --reuid=1000 --regid=1000 --clear-groups"
    libraries = bundled_libraries(ReleaseInspection(), load_subject())[cell.machine.os]
    as_root = [shlex.join(words) for words in root_commands(cell, load_subject(), libraries)]
    commands = "\n".join(lines)
    return "\n".join(["set -e", *as_root, f"exec {as_user} sh -c {shlex.quote(commands)}"])


def run_scripts(
    cells: Sequence[Cell],
    tags: dict[str, str],
    release: Release,
    started_testbed: Testbed,
    *,
    exercised: bool,
) -> float:
    """Run the script of each cell; return the wall time in seconds.

    Raises:
        SystemExit: a script failed.
    """

    def run_script(cell: Cell) -> str:
        """Run the script of a cell, and return an error or an empty string."""
        plan = cell_instructions(cell, release)
        folder = Path(scratch) / cell.id
        folder.mkdir()
        folder.chmod(0o755)  # the user in the container reads it
        (folder / DATA_FOLDER).mkdir()
        files = probe_files(plan, load_subject())
        for name, content in {
            **files,
            "ca.pem": started_testbed.network.ca_certificate.encode(),
        }.items():
            (folder / name).write_bytes(content)
        labels = [f"--label={key}={value}" for key, value in started_testbed.run.labels().items()]
        command = [
            "docker",
            "run",
            "--rm",
            "--init",
            f"--network={started_testbed.network.name}",
            *labels,
        ]
        command += [f"--tmpfs={path}:{options}" for path, options in cell.scenario.tmpfs.items()]
        layout = cell.machine.layout
        command += [f"--volume={folder}:{layout.folder}:ro", f"--tmpfs={layout.data}:mode=1777"]
        command += ["--user=root", "--env=HOME=/home/user"]
        command += [tags[cell.machine.image], "sh", "-c", script(cell, plan, exercised=exercised)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if result.returncode == 0 else f"{cell.id}: {result.stderr[-300:]}"

    with (
        tempfile.TemporaryDirectory() as scratch,
        ThreadPoolExecutor(workers(len(os.sched_getaffinity(0)))) as pool,
    ):
        Path(scratch).chmod(0o755)
        start = time.perf_counter()
        errors = list(filter(None, pool.map(run_script, cells)))
        seconds = time.perf_counter() - start
    if errors:
        raise SystemExit(f"{len(errors)} scripts failed:\n" + "\n".join(errors))
    return seconds


def run_suite(cells: Sequence[Cell]) -> float:
    """Run the cells with the suite; return the wall time in seconds.

    Raises:
        SystemExit: the verdict is not *verified*.
    """
    names = dict.fromkeys(cell.machine.name for cell in cells)
    with tempfile.TemporaryDirectory() as report:
        command = [str(ROOT / "e2e"), "gate", "--profile=full", "--no-pipeline"]
        command += [f"--report={report}", *(f"--machine={name}" for name in names)]
        command += ["-k", " or ".join(f"[{cell.id}]" for cell in cells)]
        start = time.perf_counter()
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
    if result.returncode:
        raise SystemExit(f"the suite ended with {result.returncode}:\n{result.stdout[-2000:]}")
    return seconds


def build_release(docker: engine.Engine, run: Run) -> Release:
    """Build bindings/python. Return the release with its dependencies and earlier releases."""
    subject = load_subject()
    source = ROOT / "bindings" / "python"
    platforms: tuple[OperatingSystem, ...] = ("linux", "windows")
    wheels = [builder.build(docker, source, run, platform=name) for name in platforms]
    release = wheelhouse.from_files(wheels, location=str(source))
    earlier = upstream_releases.earlier_releases(subject.name, release.version).files
    release = release.with_dependencies(*dependencies.files(subject, machines.load().values()))
    return release.model_copy(update={"earlier": earlier})


def main() -> None:
    """Print the wall times and the ratios of each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("-k", dest="keyword", default="", help="a part of the cells' ids")
    options = parser.parse_args()
    cells = compared_cells(options.keyword)
    if not cells:
        raise SystemExit(f"no cell of the full profile has {options.keyword!r} in its id")
    docker = engine.ensure()
    run = Run.new()
    tags = {name: images.ensure(docker, name).tag for name in {c.machine.image for c in cells}}
    release = build_release(docker, run)
    index_image, publisher = (images.ensure(docker, name) for name in ("index", "publisher"))
    contents = IndexContents(project=load_subject().name, files=release.stored)
    with contextlib.ExitStack() as stack:
        client = docker.client()
        stack.callback(client.close)
        stack.callback(engine.sweep, client, run=run.id)
        print("| run | cells | index, s | installs, s | exercised too, s | suite, s | ratios |")
        print("|---|---|---|---|---|---|---|")
        for number in range(options.runs):
            start = time.perf_counter()
            with (
                testbed.prepare_network(docker, run, publisher, prove=False) as network,
                testbed.start(
                    network, index_image, contents, release.wheel_paths
                ) as started_testbed,
            ):
                index = time.perf_counter() - start
                bare = run_scripts(cells, tags, release, started_testbed, exercised=False)
                used = run_scripts(cells, tags, release, started_testbed, exercised=True)
            whole = run_suite(cells)
            print(
                f"| {number + 1} | {len(cells)} | {index:.1f} | {bare:.1f} | {used:.1f} "
                f"| {whole:.1f} | {whole / (index + bare):.2f}, {whole / (index + used):.2f} |"
            )


if __name__ == "__main__":
    main()
