"""Disturb gates at random, and check that they say nothing untrue and leave nothing.

Run ``python3 -m tests.benchmarks.chaos [--runs N] [--seed S] [--minutes M] [--fault NAME]``. Each
run is the smallest gate: one machine and one installer, on a wheel whose truth is known, or a small
release workflow. The seed selects the wheel, the fault and its moment. The command needs root for
small disks, and an engine on a Unix socket. Nothing leaves this host.

The exit code is 0 if all runs were good, 1 if one was not, 3 if an undisturbed run was not, 4 for
wrong use, and 5 after an interrupt. ``docs/explanation/testing.md`` describes what is good.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import docker

from containers import builder
from containers import engine as engines
from containers.engine import LABEL_OWNER, LABEL_RUN, Engine, Run
from containers.owner import is_dead
from tests.benchmarks import chaos_faults, chaos_judge
from tests.benchmarks.chaos_faults import MARKER, DisturbedGate, Fault
from tests.benchmarks.chaos_judge import Observed, Truth
from tests.helpers import benchmark, wheel_builder
from tests.helpers.engine_proxy import Drop, EngineProxy, Moment
from verification.history.store import History, HistoryError
from verification.models.base import DataError
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.report import Report
from verification.models.verdict import Verdict
from verification.report import results_json
from verification.subjects.subject import load as load_subject

ROOT = Path(__file__).parents[2]
GATE = ("gate", "-n1", "--no-provision")
ON_A_MACHINE = ("--profile=quick", "--machine=debian-13")
RELEASE = ROOT / "tests" / "faults" / "release.yml"
"""A release workflow in two jobs. The wheel is in the folder packages of its checkout."""
_KEEP = "      - name: Keep the wheel\n"
"""The step after the build."""
ATTEMPTS = 3
"""The most runs of a gate without a fault."""
_BEGIN = "from containers import temporary\nwith temporary.process_folder(): pass"
"""The program that sweeps the temporary folders, as each command does first."""
_CORE = "quiverdb/_libs/"
_END_SECONDS = 60
"""The time in which all processes of a run end after the launcher."""
_DISKS = {"report": ("64k", "400k", "2m"), "temporary": ("64k", "1m", "8m")}
"""The sizes of small disks, by the folder on them."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a gate verifies, and what is true of it."""

    options: tuple[str, ...]
    """The options of the gate."""
    truth: Truth
    is_workflow: bool = False


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """What the seed selects for a run."""

    number: int
    seed: str
    fault: Fault | None
    subject: Subject
    moment: float
    """The seconds from the start of the run to the fault."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A run that has ended."""

    planned: PlannedRun
    observed: Observed
    happened_at: float | None
    """The seconds from the start of the run to its fault; None if it did not happen."""

    def faults(self) -> list[str]:
        """Return what is wrong with the run."""
        return chaos_judge.faults_of(self.planned.subject.truth, self.observed)


def plan(
    subjects: Sequence[Subject], faults: Sequence[Fault], seconds: float, *, runs: int, seed: int
) -> Iterator[PlannedRun]:
    """Yield the runs of a seed. Each fault occurs once before one occurs again.

    `seconds` is the duration of an undisturbed run.
    """
    order: list[Fault] = []
    shuffle = random.Random(f"{seed}")  # noqa: S311  (a seed repeats a plan)
    for number in range(1, runs + 1):
        order = order or shuffle.sample(faults, len(faults))
        fault = order.pop()
        rng = random.Random(f"{seed}-{number}")  # noqa: S311
        yield PlannedRun(
            number=number,
            seed=f"{seed}-{number}",
            fault=fault,
            subject=rng.choice([s for s in subjects if s.is_workflow == fault.in_workflow]),
            moment=round(rng.uniform(0, seconds), 1),
        )


# ---- what the gates verify ----


def make_subjects(good: Path, folder: Path) -> list[Subject]:
    """Write a good wheel, two broken ones, and a release workflow with the good one."""
    names = ("good", "no library", "import fails")
    folders = [folder / name.replace(" ", "-") for name in names]
    for path in folders:
        path.mkdir(parents=True)
    shutil.copy(good, folders[0])
    wheel_builder.mutate(good, folders[1], remove=[_CORE])
    raises = b"\nraise RuntimeError('planted')\n"
    edit = {"quiverdb/__init__.py": lambda data: data + raises}
    wheel_builder.mutate(good, folders[2], edit=edit)
    subjects = [
        Subject((*ON_A_MACHINE, f"--wheels={path}"), Truth(name, works=name == "good"))
        for path, name in zip(folders, names, strict=True)
    ]
    repository = _make_repository(good, folder / "repository")
    options = (f"--repository={repository}", f"--wheels={folders[0]}")
    return [*subjects, Subject(options, Truth("good workflow", works=True), is_workflow=True)]


def _make_repository(wheel: Path, folder: Path) -> Path:
    """Write a checkout with a release workflow, and return its folder."""
    shutil.copytree(ROOT / "bindings" / "python", folder / "bindings" / "python")
    for source, target in (
        (RELEASE, folder / ".github" / "workflows" / "publish.yml"),
        (wheel, folder / "packages" / wheel.name),
        (load_subject().publishers, folder / "publishers.toml"),
    ):
        assert source is not None  # the default subject has a registration
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    # --wheels replaces this build by the wheel.
    workflow = folder / ".github" / "workflows" / "publish.yml"
    text = workflow.read_text("utf-8")
    build = "      - { name: Build, run: python -m build --wheel --outdir packages }\n"
    workflow.write_text(text.replace(_KEEP, build + _KEEP, 1), "utf-8")
    identity = ("-c", "user.name=chaos", "-c", "user.email=chaos@example.org")
    for words in (("init",), ("add", "--all"), (*identity, "commit", "--message=Release")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


def with_causes(subject: Subject, report: Report) -> Subject:
    """Return a subject with the causes of its undisturbed run.

    Raises:
        TestbedFailure: the undisturbed run does not say what is true.
    """
    expected = Verdict.VERIFIED if subject.truth.works else Verdict.FAILED
    if report.verdict is not expected:
        message = f"the undisturbed run of '{subject.truth.subject}' is {report.verdict}"
        raise TestbedFailure("testbed-defect", "chaos", message)
    names = frozenset(cause.name for cause in chaos_judge.causes_of(report))
    return dataclasses.replace(subject, truth=dataclasses.replace(subject.truth, causes=names))


# ---- one run ----


class Chaos:
    """Runs disturbed gates on an engine."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """`folder` is an empty folder for the files of the runs."""
        self.engine = engine
        self.client = engine.client()
        self.folder = folder

    def run(self, planned: PlannedRun) -> Row:
        """Run one gate, disturb it, and return what was observed."""
        folder = self.folder / f"run-{planned.number}"
        for name in ("report", "temporary"):
            (folder / name).mkdir(parents=True)
        marker = f"{os.getpid()}-{planned.seed}"
        rng = random.Random(f"fault-{planned.seed}")  # noqa: S311
        with contextlib.ExitStack() as stack:
            fault = planned.fault
            if fault and fault.full_disk:
                disk = _small_disk(folder / fault.full_disk, rng.choice(_DISKS[fault.full_disk]))
                stack.enter_context(disk)
            proxy = None
            if fault and fault.needs_proxy:
                proxy = stack.enter_context(self._proxy(planned.seed, fault))
            variables = _variables(folder, marker, proxy)
            row = self._observe(planned, folder, variables, proxy, rng)
            swept = self._sweep(folder, variables)
        observed = dataclasses.replace(row.observed, leftovers=row.observed.leftovers + swept)
        return dataclasses.replace(row, observed=observed)

    def _proxy(self, seed: str, fault: Fault) -> EngineProxy:
        moments: tuple[Moment, ...] = get_args(Moment)
        return EngineProxy(
            Path(self.engine.url.removeprefix("unix://")),
            drop=[Drop(moment=m, probability=fault.dropped / len(moments)) for m in moments],
            delay=(0.0, fault.delay),
            seed=seed,
        )

    def _observe(
        self,
        planned: PlannedRun,
        folder: Path,
        variables: Mapping[str, str],
        proxy: EngineProxy | None,
        rng: random.Random,
    ) -> Row:
        began = time.monotonic()
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [ROOT / "e2e", *GATE, *planned.subject.options, f"--report={folder / 'report'}"],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        gate = DisturbedGate(process.pid, variables[MARKER], self.client, rng, proxy)
        try:
            happened_at = _disturb(planned, gate, process, began)
            left = _wait(process, gate, began)
        finally:
            _kill(gate)
        seconds = time.monotonic() - began
        code: int | None = process.wait()
        if planned.fault and planned.fault.ends_launcher and code == -signal.SIGKILL:
            code = None
        observed = Observed(code, _report(folder), _recorded(folder), left, seconds)
        return Row(planned, observed, happened_at)

    def _sweep(self, folder: Path, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Do what the next run does at its beginning, and return what is left."""
        command = [sys.executable, "-c", _BEGIN]
        subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=True)
        engines.sweep(self.client)
        files = [
            path
            for path in (folder / "temporary").glob("*")
            if not _is_empty_temporary_folder(path)
        ]
        return (*_objects(self.client), *(f"file {path.name}" for path in files))


def _variables(folder: Path, marker: str, proxy: EngineProxy | None) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTEST_", "TOX_", "QUIVERDB_E2E_TMPDIR")) and key != "COLUMNS"
    }
    changes = {
        "QUIVERDB_E2E_HISTORY": str(folder / "history.sqlite3"),
        "TMPDIR": str(folder / "temporary"),
        MARKER: marker,
    }
    return kept | changes | ({"DOCKER_HOST": proxy.docker_host} if proxy else {})


@contextlib.contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _disturb(
    planned: PlannedRun, gate: DisturbedGate, process: subprocess.Popen[bytes], began: float
) -> float | None:
    """Wait for the moment of the fault, cause it, and return its moment."""
    if planned.fault is None or planned.fault.disturb is None:
        return 0.0
    while time.monotonic() - began < planned.moment:
        if process.poll() is not None:
            return None
        time.sleep(0.05)
    while process.poll() is None and time.monotonic() - began < chaos_judge.LIMIT_SECONDS:
        moment = round(time.monotonic() - began, 1)
        if planned.fault.disturb(gate):
            return moment
        time.sleep(0.1)  # the target does not exist yet
    return None


def _wait(process: subprocess.Popen[bytes], gate: DisturbedGate, began: float) -> tuple[str, ...]:
    """Wait until the launcher and all processes of the run have ended. Return those that have not.

    They have some seconds after the end of the launcher.
    """
    deadline = began + chaos_judge.LIMIT_SECONDS + 1
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
    end = time.monotonic() + _END_SECONDS
    while (running := gate.processes()) and time.monotonic() < end:
        time.sleep(0.2)
    return tuple(f"process {command[:60]}" for command in running.values())


def _kill(gate: DisturbedGate) -> None:
    for pid in gate.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _report(folder: Path) -> Report | None:
    try:
        return results_json.read(folder / "report" / results_json.NAME)
    except (DataError, OSError):
        return None


def _recorded(folder: Path) -> tuple[Report, ...]:
    try:
        history = History(folder / "history.sqlite3")
        recorded = history.read(summary.id for summary in history.summaries())
    except HistoryError:
        return ()
    return tuple(run.report for run in recorded.runs)


def _is_empty_temporary_folder(path: Path) -> bool:
    """Return True if this is the empty folder for the temporary folders of the user's commands."""
    return path.name == f"quiverdb-e2e-{os.getuid()}" and not any(path.iterdir())


def _objects(client: docker.DockerClient) -> Iterator[str]:
    """Yield the objects of the engine whose owner has ended."""
    filters: dict[str, str | list[str] | bool] = {"label": LABEL_RUN}
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        if is_dead(container.labels.get(LABEL_OWNER, ""), 0):
            yield f"container {container.name}"
    for network in client.networks.list(filters=filters):
        if is_dead((network.attrs.get("Labels") or {}).get(LABEL_OWNER, ""), 0):
            yield f"network {network.name}"
    for volume in client.volumes.list(filters=filters):
        if is_dead((volume.attrs.get("Labels") or {}).get(LABEL_OWNER, ""), 0):
            yield f"volume {volume.name}"


# ---- the command ----

HEADINGS = ("run", "fault", "moment", "exit code", "verdict", "truth", "left", "seconds", "wrong")


def line(row: Row) -> str:
    """Return the row of the table."""
    planned, observed = row.planned, row.observed
    report = observed.report
    unfinished = "" if report is None or report.finished else " (no end)"
    interrupted = " (interrupted)" if report and report.interrupted else ""
    verdict = f"{report.verdict}{unfinished}{interrupted}" if report else "no report"
    code = "killed" if observed.code is None else str(observed.code)
    moment = "not reached" if row.happened_at is None else f"{row.happened_at:.1f}"
    fault = planned.fault.name if planned.fault else "none"
    left = str(len(observed.leftovers))
    wrong = "; ".join(row.faults()).replace("|", "/")
    cells = (
        *(str(planned.number), fault, moment, code, verdict, planned.subject.truth.subject, left),
        *(f"{observed.seconds:.0f}", wrong),
    )
    return f"| {' | '.join(cells)} |"


def undisturbed(chaos: Chaos, subjects: Sequence[Subject]) -> tuple[list[Subject], float]:
    """Run a gate for each subject without a fault. Return them with their causes, and the seconds
    of the longest run. A testbed failure is repeated, because a busy host has some by itself.

    Raises:
        TestbedFailure: a run does not say what is true.
    """
    known, longest = [], 0.0
    for number, subject in enumerate(subjects):
        for attempt in range(ATTEMPTS):
            key = f"undisturbed-{number}-{attempt}"
            row = chaos.run(PlannedRun(-number * ATTEMPTS - attempt, key, None, subject, 0.0))
            print(line(row), flush=True)
            if row.observed.code != ExitCode.TESTBED_FAILED:
                break
        if row.observed.report is None:
            message = f"the undisturbed run of '{subject.truth.subject}' has no report"
            raise TestbedFailure("testbed-defect", "chaos", message)
        known.append(with_causes(subject, row.observed.report))
        longest = max(longest, row.observed.seconds)
    return known, longest


def measure(options: argparse.Namespace) -> ExitCode:
    """Run the gates, print the table, and return the exit code.

    Raises:
        TestbedFailure: there is no engine, or an undisturbed run does not say what is true.
        WrongUse: a fault has no such name, or the command does not run as root.
    """
    known = chaos_faults.by_name()
    if unknown := set(options.fault) - set(known):
        raise WrongUse(f"--fault {sorted(unknown)[0]}: the faults are {', '.join(known)}")
    if os.geteuid() != 0:
        raise WrongUse("chaos: only root can mount the small disks; run it as root")
    faults = [known[name] for name in options.fault] or list(known.values())
    engine = engines.ensure()
    if not engine.url.startswith("unix://"):
        raise WrongUse(f"chaos: {engine.url} is no Unix socket; unset DOCKER_HOST")
    good = builder.build(engine, ROOT / "bindings" / "python", Run.new())
    deadline = time.monotonic() + options.minutes * 60
    rows = []
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-chaos-") as folder:
        chaos = Chaos(engine, Path(folder))
        print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
        subjects = [
            subject
            for subject in make_subjects(good, Path(folder) / "wheels")
            if any(fault.in_workflow == subject.is_workflow for fault in faults)
            and (not options.subject or subject.truth.subject in options.subject)
        ]
        faults = [f for f in faults if any(f.in_workflow == s.is_workflow for s in subjects)]
        if not faults:
            raise WrongUse(
                "--subject: the subjects are good, no library, import fails, good workflow"
            )
        subjects, seconds = undisturbed(chaos, subjects)
        for planned in plan(subjects, faults, seconds, runs=options.runs, seed=options.seed):
            if time.monotonic() > deadline:
                break
            rows.append(chaos.run(planned))
            print(line(rows[-1]), flush=True)
            if rows[-1].faults() and options.keep:
                shutil.copytree(
                    Path(folder) / f"run-{planned.number}", options.keep / str(planned.number)
                )
    wrong = sum(bool(row.faults()) for row in rows)
    print(f"{len(rows)} of {options.runs} runs, {wrong} wrong (seed {options.seed})")
    return ExitCode.PACKAGE_FAILED if wrong else ExitCode.VERIFIED


def main() -> int:
    """Run the command and return its exit code; print a failure in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=90, help="start no run after this time")
    parser.add_argument("--fault", action="append", default=[], help="only faults with this name")
    parser.add_argument("--subject", action="append", default=[], help="only subjects of this name")
    parser.add_argument("--keep", type=Path, help="a folder for the files of wrong runs")
    return benchmark.run("chaos", measure, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
