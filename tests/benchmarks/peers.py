"""Compare the gate with what most projects do before a release, on the same cells and faults.

Run ``python3 -m tests.benchmarks.peers`` in the root folder of the repository, in the environment
of the suite. ``peers.toml`` has the peers and the planted faults. Each peer is one command. It
first tests a release without a fault, which gives its cost, and then each release with one fault.
A peer catches a fault if its command then fails. A peer that fails without a fault is not usable.

A run with all peers and faults writes docs/peers.md. ``--output FILE`` writes the results as JSON
after each command; a further run with the same file continues it. The commands without a fault run
one after another. What they start on the engine is removed at the end.

The exit code is 0 if the gate reports each fault, 1 if it does not, 3 if a result is missing or a
peer is not usable, 4 for wrong use, and 5 after an interrupt.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
import enum
import hashlib
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Literal, NamedTuple

import docker
from pydantic import Field

from containers import builder, engine, images, wheelhouse
from containers.engine import Engine, Run
from containers.progress import step
from tests.faults import edits, recording
from tests.helpers import benchmark, wheel_builder
from tests.helpers.release_workflow import PLANNED, WORKFLOW
from verification.models.base import Model, read_json, read_toml
from verification.models.cause import Cause, Severity
from verification.models.errors import ExitCode, WrongUse
from verification.models.report import Report
from verification.models.verdict import Verdict
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load as load_workflow
from verification.pipeline.execution import diagnose_pipeline
from verification.report import results_json
from verification.rules import diagnose
from verification.scenarios import machines
from verification.session import dependencies
from verification.subjects.subject import load as load_subject
from verification.verdict import verdict_of_causes
from verification.wheel.modules import read_distributions
from verification.wheel.release_inspection import inspect_release

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("peers.toml")
PAGE = ROOT / "docs" / "peers.md"
SOURCE = ROOT / "bindings" / "python"
WINDOWS_MACHINE = "windows-wine"
"""The machine of the gate for faults of the Windows wheel."""
_LIBRARY = "quiverdb/_libs/libextra.so"
_GLIBC = "2.36"
_VERSION = "0.5.0"
_SECONDS = 900
"""The time limit of one command."""
_ENDING_SECONDS = 60
"""The time in which a command that reached its limit removes what it started."""
_INTERVAL_SECONDS = 0.1
"""The time between two samples of the memory."""
_ENGINE_FAILED = 125
"""The exit code of ``docker run`` if the engine failed (its reference, "Exit status")."""
_PAGE = """\
# Comparison with what most projects do

`python3 -m tests.benchmarks.peers` makes this page. Each way is one command for the same release of
quiverdb. The machines are {machines}, with pip in a new venv.

Conditions: {facts}.

## Cost and sums

{costs}

The cost is of the release without a fault: the median, with the lowest and the highest value.

- **Processor, host**: user and system time of the command and of the children for which it
  waited. The engine's own processes (dockerd, containerd) are not counted.
- **Processor, containers**: the growth of the control group of all containers of the engine during
  the command. It is not counted if another container ran before or after the command.
- **Memory**: the highest sum, at samples of 0.1 s, of the resident memory of the command's
  processes (shared pages count in each) and of all containers, without the page cache.
- **Load**: the processes of the host that ran or waited, averaged over a minute, at the end. A load
  above the number of processors makes the wall time longer.
- These commands ran one after another, with all images and downloads present. The commands on
  faults may run at the same time. The niceness does not apply to containers.

## Faults

{faults}

- **caught**: the command fails, and it passes without a fault. The step that failed follows; for
  the gate, the causes. A script that only imports catches only what fails at *install* or *import*.
- **missed**: the command passes.
- **cannot**: a property of the way that is not measured; the reason follows.
- **recorded**: the gate judged recorded evidence of this kind of fault, of a cell or of a run of
  the workflow. The inspection read the wheel with the fault in this run.
- **no result**: the command did not run before the time limit, or its end says nothing.

`tests/benchmarks/peers.toml` has the commands and the faults, with the test of this project that
plants each. The list was written before any of the commands ran on it.

## The ways

{peers}

## Limits of the comparison

- The faults are kinds that this project's own tests plant, so the gate knows them. The sums are no
  rate for the faults of other projects.
- The package's own tests, which cibuildwheel and venv run, also check the files and the version of
  the installed package. The tests of many packages do not.
- A project can extend each way: a check of the tags (`auditwheel show`), of RECORD
  (check-wheel-contents), of the metadata (`twine check`), more images, or jobs on hosted Windows
  runners. There cibuildwheel tests the Windows wheel too, but these runners have Microsoft's
  runtime libraries.
- The containers of the other ways have no network. With one, a contact at import would succeed.
- The Windows machine of the gate is Wine.
"""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# The control groups of all containers: version 1, and version 2 with the driver cgroupfs.
_PROCESSOR_FILES = (
    (Path("/sys/fs/cgroup/cpuacct/docker/cpuacct.usage"), r"(\d+)", 1e9),
    (Path("/sys/fs/cgroup/docker/cpu.stat"), r"usage_usec (\d+)", 1e6),
)
_MEMORY_FILES = (
    (Path("/sys/fs/cgroup/memory/docker/memory.stat"), r"total_rss (\d+)", 1.0),
    (Path("/sys/fs/cgroup/docker/memory.stat"), r"anon (\d+)", 1.0),
)

System = Literal["linux", "windows", "workflow"]


# ---- peers.toml ----


class Replacement(Model):
    """A text of a file, and the text in its place."""

    file: str
    old: str
    new: str


class Fault(Model):
    """A planted fault: a change of the wheels, or a recorded run of the release workflow."""

    name: str
    title: str
    origin: str
    """The test that plants it: file::function."""
    wheel: Literal["linux", "windows", "both"] | None = None
    """The changed wheel; null for a fault of the release workflow."""
    remove: tuple[str, ...] = ()
    move: Mapping[str, str] = Field(default_factory=dict)
    add: Mapping[str, str] = Field(default_factory=dict)
    append: Mapping[str, str] = Field(default_factory=dict)
    replace: tuple[Replacement, ...] = ()
    retag: tuple[str, str] | None = None
    version: str = ""
    record: bool = True
    code: str = ""
    recording: str = ""
    workflow: tuple[Replacement, ...] = ()

    @property
    def system(self) -> System:
        """The system on which the fault shows, or the workflow."""
        if self.wheel is None:
            return "workflow"
        return "windows" if self.wheel == "windows" else "linux"


class Peer(Model):
    """A way to test a release: one command."""

    name: str
    title: str
    program: Literal["sh", "python"]
    step: str
    notes: str
    script: str
    gate: bool = False
    faults: bool = True
    cannot: Mapping[System, str] = Field(default_factory=dict)


class Plan(Model):
    """The content of peers.toml."""

    machines: tuple[str, ...]
    smoke: str
    peer: tuple[Peer, ...]
    fault: tuple[Fault, ...]

    def selected(self, peers: Sequence[str], faults: Sequence[str]) -> Plan:
        """Return the plan with only these peers and faults. An empty list selects all.

        Raises:
            WrongUse: there is no such peer or fault.
        """
        for names, known in ((peers, self.peer), (faults, self.fault)):
            listed = [entry.name for entry in known]
            if unknown := sorted(set(names) - set(listed)):
                raise WrongUse(f"{unknown[0]}: not in {DATA.name}; it has {', '.join(listed)}")
        return self.model_copy(
            update={
                "peer": tuple(p for p in self.peer if not peers or p.name in peers),
                "fault": tuple(f for f in self.fault if not faults or f.name in faults),
            }
        )


# ---- the results ----


class Status(enum.StrEnum):
    """What a peer says about a release with a fault."""

    CAUGHT = "caught"
    NAMED = "named"
    """The gate reports a flaw, and its exit code is 0."""
    MISSED = "missed"
    REPAIRED = "repaired"
    """The peer passed, and the wheel that it returns has the fault no longer."""
    CANNOT = "cannot"
    """A fixed property of the peer, not measured."""
    UNUSABLE = "not usable"
    """The peer fails without a fault, so that its failure says nothing."""
    NO_RESULT = "no result"


class Cost(Model):
    """What one command used."""

    seconds: float
    host_seconds: float
    """The processor time of the command and of its children."""
    container_seconds: float | None
    """The processor time of all containers of the engine; null if it cannot be read, or if the
    engine had other containers."""
    mebibytes: float
    """The highest sum of the resident memory of the command's processes and of all containers."""
    load: float
    """The load of the host at the end: the processes that ran or waited, averaged over a minute."""


class Ended(Model):
    """A command that has ended."""

    code: int | None
    """The exit code; null after the time limit."""
    step: str = ""
    """The last step that began."""
    causes: tuple[str, ...] = ()
    """The names of the causes in the report of the gate, without notes."""
    is_repaired: bool = False
    cost: Cost


class Result(Model):
    """What a peer says about a fault."""

    peer: str
    fault: str
    status: Status
    detail: str = ""
    """The failed step, the causes, or the reason."""
    seconds: float = 0.0


class Comparison(Model):
    """The results of a run: the content of ``--output``."""

    facts: Mapping[str, str]
    healthy: Mapping[str, tuple[Ended, ...]]
    """The runs of each peer without a fault."""
    results: tuple[Result, ...]

    def of(self, peer: str) -> list[Result]:
        """Return the results of a peer."""
        return [result for result in self.results if result.peer == peer]


def is_usable(healthy: Sequence[Ended]) -> bool:
    """Return True if each run without a fault passed."""
    return bool(healthy) and all(ended.code == 0 for ended in healthy)


def judge(peer: Peer, fault: str, healthy: Sequence[Ended], ended: Ended) -> Result:
    """Return what a peer says about a fault, from its runs without a fault and with it."""
    known = {cause for run in healthy for cause in run.causes}
    causes = ", ".join(cause for cause in ended.causes if cause not in known)
    status, detail = Status.MISSED, ""
    if not is_usable(healthy):
        failed = next((run.step for run in healthy if run.code != 0), "")
        status, detail = Status.UNUSABLE, failed
    elif ended.code is None:
        status, detail = Status.NO_RESULT, f"no end in {_SECONDS} s"
    elif ended.code == _ENGINE_FAILED or (peer.gate and ended.code not in (0, 1)):
        status, detail = Status.NO_RESULT, f"exit code {ended.code}"
    elif ended.code:
        status, detail = Status.CAUGHT, causes if peer.gate else ended.step
    elif causes:
        status, detail = Status.NAMED, causes
    elif ended.is_repaired:
        status = Status.REPAIRED
    return Result(
        peer=peer.name, fault=fault, status=status, detail=detail, seconds=ended.cost.seconds
    )


def judge_recording(peer: Peer, fault: Fault, wheels: Sequence[Path] = ()) -> Result:
    """Return what the gate says about a fault from recorded evidence.

    ``wheels`` are those with the fault. The inspection reads them now.
    """
    path = recording.FOLDER / f"{fault.recording}.json.gz"
    if fault.system == "workflow":
        causes = _causes_of_workflow(fault, path)
    else:
        cells = recording.read_cells(path)
        causes = (*_inspect(wheels), *(c for cell in cells for c in diagnose(*cell).causes))
    is_caught = verdict_of_causes(causes, strict=False) is Verdict.FAILED
    names = cause_names(causes)
    status = Status.CAUGHT if is_caught else Status.NAMED if names else Status.MISSED
    detail = ", ".join((*names, "recorded"))
    return Result(peer=peer.name, fault=fault.name, status=status, detail=detail)


def _inspect(wheels: Sequence[Path]) -> tuple[Cause, ...]:
    subject = load_subject()
    known = read_distributions(dependencies.files(subject, ()))
    return inspect_release(wheels, subject, known).all_causes


def _causes_of_workflow(fault: Fault, path: Path) -> tuple[Cause, ...]:
    """Return the causes of a recorded run of the changed release workflow."""
    evidence = recording.read_pipeline(path)
    text = WORKFLOW.read_text("utf-8")
    for change in fault.workflow:
        text = edits.replaced(change.old.encode(), change.new.encode())(text.encode()).decode()
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / WORKFLOW.relative_to(ROOT)
        changed.parent.mkdir(parents=True)
        changed.write_text(text, "utf-8")
        workflow = with_called_workflows(load_workflow(changed), Path(folder))
    workflows = {evidence.run.workflow: workflow}
    return tuple(diagnose_pipeline(evidence, workflows, PLANNED, version=_VERSION))


def cause_names(causes: Sequence[Cause]) -> tuple[str, ...]:
    """Return the names of the causes that count: no notes, and none that follows from another."""
    counted = (c.name for c in causes if c.severity is not Severity.NOTE and not c.follows)
    return tuple(dict.fromkeys(counted))


def causes_of(report: Report) -> tuple[Cause, ...]:
    """Return the causes of a report of the gate."""
    wheels = (cause for wheel in report.static.wheels for cause in wheel.causes)
    cells = (cause for cell in report.cells for cause in cell.causes)
    return (*report.static.causes, *wheels, *cells)


# ---- the planted wheels ----


def plant(fault: Fault, wheels: Mapping[str, Path], folder: Path, library: bytes) -> None:
    """Write the wheels of a release with a fault into a folder.

    ``wheels`` are those without a fault, by system. ``library`` is the compiled `Fault.code`.

    Raises:
        ValueError: the wheel does not contain what the fault changes.
    """
    for system, wheel in wheels.items():
        if fault.wheel not in (system, "both"):
            shutil.copy(wheel, folder)
        elif fault.version:
            wheel_builder.set_version(wheel, folder, fault.version)
        elif fault.retag:
            edits.retagged(wheel, folder, *fault.retag)
        else:
            _change(fault, wheel, folder, library)


def _change(fault: Fault, wheel: Path, folder: Path, library: bytes) -> None:
    info = edits.dist_info(wheel)
    changes: dict[str, Callable[[bytes], bytes]] = {
        change.file.replace("{info}", info): edits.replaced(
            change.old.encode(), change.new.encode()
        )
        for change in fault.replace
    }
    for file, text in fault.append.items():
        changes[file] = lambda data, text=text: data + text.encode()  # type: ignore[misc]
    wheel_builder.mutate(
        wheel,
        folder,
        remove=fault.remove,
        move=fault.move,
        edit=changes,
        add={**fault.add, **({_LIBRARY: library} if fault.code else {})},
        fix_record=fault.record,
    )


def is_repaired(fault: Fault, folder: Path) -> bool:
    """Return True if a folder has a wheel in which the wrong tag or RECORD is no longer.

    Other faults are in the contents of the wheel, which a repair does not change.
    """
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        return False
    if fault.retag:
        return all(fault.retag[1] not in wheel.name for wheel in wheels)
    return not fault.record and all(map(_has_correct_record, wheels))


def _has_correct_record(wheel: Path) -> bool:
    with zipfile.ZipFile(wheel) as archive:
        record = archive.read(f"{edits.dist_info(wheel)}RECORD").decode()
        hashes = (line.split(",")[:2] for line in record.splitlines() if ",sha256=" in line)
        return all(
            base64.urlsafe_b64encode(hashlib.sha256(archive.read(path)).digest()).rstrip(b"=")
            == digest.removeprefix("sha256=").encode()
            for path, digest in hashes
        )


# ---- one command ----


def run_measured(
    command: Sequence[str | Path],
    folder: Path,
    variables: Mapping[str, str],
    seconds: float,
    stop: threading.Event | None = None,
) -> tuple[int | None, Cost]:
    """Run a command and return its exit code and its cost. The code is None after the time limit.

    Its output is the file ``output`` in the folder. ``stop`` ends the command like the time limit.
    """
    is_alone = not _has_containers()
    containers_before, start = _container_value(_PROCESSOR_FILES), time.monotonic()
    peak, code, usage = 0.0, None, resource.struct_rusage([0.0] * 16)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    ending = [
        (start + seconds, signal.SIGTERM),
        (start + seconds + _ENDING_SECONDS, signal.SIGKILL),
    ]
    is_late = False
    try:
        while True:
            peak = max(peak, _session_bytes(process.pid) + (_container_value(_MEMORY_FILES) or 0))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if stop and stop.is_set() and not is_late:
                ending = [
                    (0.0, signal.SIGTERM),
                    (time.monotonic() + _ENDING_SECONDS, signal.SIGKILL),
                ]
            if ending and time.monotonic() > ending[0][0]:
                is_late = True
                os.killpg(process.pid, ending.pop(0)[1])
            time.sleep(_INTERVAL_SECONDS)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    code = None if is_late else process.returncode
    containers_after = _container_value(_PROCESSOR_FILES)
    is_counted = containers_before is not None and is_alone and not _has_containers()
    used = (containers_after or 0.0) - (containers_before or 0.0)
    return code, Cost(
        seconds=time.monotonic() - start,
        host_seconds=usage.ru_utime + usage.ru_stime,
        container_seconds=used if is_counted else None,
        mebibytes=peak / 2**20,
        load=os.getloadavg()[0],
    )


def _container_value(files: Sequence[tuple[Path, str, float]]) -> float | None:
    """Return the value of the first control group that exists."""
    for path, pattern, unit in files:
        with contextlib.suppress(OSError):
            if match := re.search(pattern, path.read_text("utf-8")):
                return int(match[1]) / unit
    return None


def _has_containers() -> bool:
    """Return True if a container of the engine runs: it has a folder in the control group."""
    return any(any(path.parent.glob("*/")) for path, _, _ in _PROCESSOR_FILES)


def _session_bytes(session: int) -> int:
    """Return the sum of the resident memory of all processes of a session (proc(5), stat)."""
    pages = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            if fields and int(fields[3]) == session:
                pages += int(fields[21])
    return pages * resource.getpagesize()


class Limits(NamedTuple):
    """How much a run does."""

    runs: int
    """The runs of each peer without a fault."""
    seconds: float
    """After this time, no command on a fault starts."""
    jobs: int = 1
    """The commands on faults that run at the same time; never two gates."""


class Setting(NamedTuple):
    """What the commands of a run share."""

    plan: Plan
    wheels: Mapping[str, Path]
    """The wheels without a fault, by system."""
    variables: Mapping[str, str]
    folder: Path
    library: Mapping[str, bytes]
    """The compiled library of each fault with code."""
    recorded: bool = False
    """True if the gate judges recorded evidence of a cell, where there is some."""
    stop: threading.Event = threading.Event()
    """Ends the running commands."""


def run_peer(peer: Peer, fault: Fault | None, setting: Setting) -> Ended:
    """Run the command of a peer on a release with this fault, or without a fault."""
    with tempfile.TemporaryDirectory(dir=setting.folder) as name:
        folder = Path(name)
        folders = {key: folder / key.lower() for key in ("DIST", "OUTPUT", "WORK")}
        for path in (folder, *folders.values()):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)  # the user of a container reads it
        if fault:
            plant(fault, setting.wheels, folders["DIST"], setting.library.get(fault.name, b""))
        else:
            for wheel in setting.wheels.values():
                shutil.copy(wheel, folders["DIST"])
        script = folder / "script"
        script.write_text(peer.script, "utf-8")
        variables = {
            **_variables(peer),
            **setting.variables,
            **{key: str(path) for key, path in folders.items()},
            **_gate_variables(setting.plan, fault.system if fault else "linux"),
        }
        program = "sh" if peer.program == "sh" else sys.executable
        code, cost = run_measured(
            [program, script], folders["WORK"], variables, _SECONDS, setting.stop
        )
        output = (folders["WORK"] / "output").read_text("utf-8", "replace")
        steps = re.findall(peer.step, _COLOURS.sub("", output), re.MULTILINE)
        report = folders["OUTPUT"] / results_json.NAME
        causes = cause_names(causes_of(read_json(Report, report))) if report.is_file() else ()
        return Ended(
            code=code,
            step=steps[-1] if steps else "",
            causes=causes,
            is_repaired=fault is not None and is_repaired(fault, folders["OUTPUT"]),
            cost=cost,
        )


def _variables(peer: Peer) -> dict[str, str]:
    """Return the variables of this process that a peer gets: none that changes pip or pytest."""
    removed: tuple[str, ...] = ("PYTEST_", "VIRTUAL_ENV")
    if not peer.gate:
        removed += ("CIBW_", "PIP_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(removed)}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "QUIVERDB_E2E_HISTORY": ""}


def _gate_variables(plan: Plan, system: System) -> dict[str, str]:
    names, cells = list(plan.machines), [f"{name}-pip-venv" for name in plan.machines]
    if system == "windows":
        names.append(WINDOWS_MACHINE)
        cells.append(f"{WINDOWS_MACHINE}-uv-system")
    return {
        "MACHINES": " ".join(f"--machine={name}" for name in names),
        "CELLS": " or ".join(f"[{cell}]" for cell in cells),
    }


# ---- a whole run ----


def compare(
    setting: Setting,
    kept: Comparison,
    write: Callable[[Comparison], None],
    limits: Limits,
) -> Comparison:
    """Run each peer without a fault and then on each fault, unless ``kept`` has the result.

    ``write`` gets the results after each command.
    """
    plan, end = setting.plan, time.monotonic() + limits.seconds
    healthy, results = dict(kept.healthy), list(kept.results)

    def compared() -> Comparison:
        new = Comparison(facts=kept.facts, healthy=healthy, results=tuple(results))
        write(new)
        return new

    for peer in plan.peer:
        for number in range(len(healthy.get(peer.name, ())), limits.runs if peer.faults else 1):
            with step(f"{peer.name}: no fault, run {number + 1}"):
                ended = run_peer(peer, None, setting)
            healthy[peer.name] = (*healthy.get(peer.name, ()), ended)
            compared()
    known = {(result.peer, result.fault) for result in results}
    one_gate = threading.Lock()

    def result_of(peer: Peer, fault: Fault) -> Result | None:
        with one_gate if peer.gate else contextlib.nullcontext():
            is_over = time.monotonic() > end
            return None if is_over else _result(peer, fault, healthy[peer.name], setting)

    with ThreadPoolExecutor(limits.jobs) as pool:
        futures = [
            pool.submit(result_of, peer, fault)
            for fault in plan.fault
            for peer in plan.peer
            if peer.faults and (peer.name, fault.name) not in known
        ]
        try:
            for future in as_completed(futures):
                if result := future.result():
                    results.append(result)
                    print(line(result), flush=True)
                    compared()
        except BaseException:
            setting.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return compared()


def _result(peer: Peer, fault: Fault, healthy: Sequence[Ended], setting: Setting) -> Result:
    if reason := peer.cannot.get(fault.system):
        return Result(peer=peer.name, fault=fault.name, status=Status.CANNOT, detail=reason)
    if not is_usable(healthy):
        return judge(peer, fault.name, healthy, healthy[-1])
    if peer.gate and fault.recording and (setting.recorded or fault.system == "workflow"):
        with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
            if fault.system != "workflow":
                plant(fault, setting.wheels, Path(folder), setting.library.get(fault.name, b""))
            return judge_recording(peer, fault, sorted(Path(folder).iterdir()))
    return judge(peer, fault.name, healthy, run_peer(peer, fault, setting))


def line(result: Result) -> str:
    """Return a result in one line."""
    detail = f" ({result.detail})" if result.detail else ""
    return f"{result.peer}: {result.fault}: {result.status}{detail} {result.seconds:.1f} s"


@contextlib.contextmanager
def prepare(plan: Plan, python: str) -> Iterator[tuple[Setting, dict[str, str]]]:
    """Yield what the commands share, and the facts of the run. Remove all that was started."""
    found = engine.ensure(provision=False)
    run = Run.new()
    client = found.client()
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        stack.callback(engine.sweep, client, run=run.id)
        temporary = tempfile.TemporaryDirectory(prefix="quiverdb-e2e-peers-")
        folder = Path(stack.enter_context(temporary))
        folder.chmod(0o755)
        others = len(client.containers.list())
        wheels = {
            "linux": builder.build(found, SOURCE, run),
            "windows": builder.build(found, SOURCE, run, platform="windows"),
        }
        library = {
            fault.name: edits.compiled(found, fault.code, glibc=_GLIBC)
            for fault in plan.fault
            if fault.code
        }
        variables = _shared_variables(plan, found, run, folder, python)
        facts = _facts(client, python, others)
        yield Setting(plan, wheels, variables, folder, library), facts


def _shared_variables(
    plan: Plan, found: Engine, run: Run, folder: Path, python: str
) -> dict[str, str]:
    specs = [machines.load()[name] for name in plan.machines]
    wheels = folder / "dependencies"
    wheels.mkdir()
    wheels.chmod(0o755)
    for path in (*dependencies.files(load_subject(), specs), *wheelhouse.tools()):
        shutil.copy(path, wheels)
    smoke = folder / "smoke.py"
    smoke.write_text(plan.smoke, "utf-8")
    smoke.chmod(0o644)
    labels = [f"--label={key}={value}" for key, value in run.labels().items()]
    tags = {name: images.ensure(found, name).tag for name in ("builder", *(s.image for s in specs))}
    return {
        **found.environment(),
        "DEPENDENCIES": str(wheels),
        "SMOKE": str(smoke),
        "TESTS": str(SOURCE / "tests"),
        "SOURCE": str(SOURCE),
        "IMAGES": " ".join(tags[spec.image] for spec in specs),
        "BUILDER": tags["builder"],
        "LABELS": " ".join(labels),
        "CREATE_ARGS": " ".join(f"'{label}'" for label in labels),
        "PYTHON": python,
        "SUITE": sys.executable,
        "ROOT": str(ROOT),
    }


def _facts(client: docker.DockerClient, python: str, others: int) -> dict[str, str]:
    versions = {
        name: importlib.metadata.version(name) for name in ("cibuildwheel", "testcontainers")
    }
    host = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "processors": str(os.cpu_count()),
        "engine": f"Docker {client.version()['Version']}",
        **versions,
        "Python of the host": host.split()[-1],
        "C library of the host": " ".join(platform.libc_ver()),
        "niceness of the commands": str(os.nice(0)),
        "other containers at the start": str(others),
    }


def host_python(named: str) -> str:
    """Return the path of a CPython 3.13 of the host.

    Raises:
        WrongUse: it is no CPython 3.13.
    """
    command = [named, "-c", "import sys; print(sys.executable, *sys.version_info[:2])"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise WrongUse(f"--python {named}: {error.strerror}; name a CPython 3.13") from None
    path, _, version = result.stdout.strip().partition(" ")
    if version != "3 13":
        raise WrongUse(f"--python {named}: this is no CPython 3.13; name one")
    return path


# ---- the tables ----


def cost_rows(plan: Plan, comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the heading and the rows of the first table: the cost and the sums of each peer."""
    counted = (Status.CAUGHT, Status.NAMED, Status.REPAIRED, Status.MISSED, Status.CANNOT)
    yield (
        "way", "without a fault", "wall, s", "processor, s: host", "containers", "memory, MiB",
        "load", *counted, "no result",
    )  # fmt: skip
    for peer in plan.peer:
        healthy = comparison.healthy.get(peer.name, ())
        if not healthy:
            continue
        costs = [ended.cost for ended in healthy]
        in_containers = [c.container_seconds for c in costs if c.container_seconds is not None]
        results = Counter(result.status for result in comparison.of(peer.name))
        left = len(plan.fault) - sum(results[status] for status in counted)
        failed = next((run.step or f"exit code {run.code}" for run in healthy if run.code != 0), "")
        sums = [str(results[status]) for status in counted] + [str(left)]
        yield (
            peer.name,
            f"{Status.UNUSABLE}: fails ({failed})" if failed else "passes",
            _range([cost.seconds for cost in costs]),
            _range([cost.host_seconds for cost in costs]),
            _range(in_containers) if in_containers else "not counted",
            f"{max(cost.mebibytes for cost in costs):.0f}",
            f"{max(cost.load for cost in costs):.0f}",
            *(sums if peer.faults else [""] * len(sums)),
        )


def _range(values: Sequence[float]) -> str:
    median = f"{statistics.median(values):.1f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):.1f} to {max(values):.1f})"


def fault_rows(plan: Plan, comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the heading and the rows of the second table: each fault and what each peer says."""
    peers = [peer for peer in plan.peer if peer.faults and peer.name in comparison.healthy]
    results = {(result.peer, result.fault): result for result in comparison.results}
    yield ("fault", *(peer.name for peer in peers))
    for fault in plan.fault:
        yield (fault.title, *(_cell(results.get((peer.name, fault.name))) for peer in peers))


def _cell(result: Result | None) -> str:
    if result is None:
        return str(Status.NO_RESULT)
    return f"{result.status}: {result.detail}" if result.detail else str(result.status)


def plain(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    heading, *others = ("| " + " | ".join(row) + " |" for row in rows)
    yield from (heading, "|---" * len(rows[0]) + "|", *others)


def page(plan: Plan, comparison: Comparison) -> str:
    """Return the text of docs/peers.md."""
    facts = "; ".join(f"{name}: {value}" for name, value in comparison.facts.items())
    return _PAGE.format(
        machines=" and ".join(plan.machines),
        facts=facts,
        costs="\n".join(_markdown(list(cost_rows(plan, comparison)))),
        faults="\n".join(_markdown(list(fault_rows(plan, comparison)))),
        peers="\n".join(f"- **{peer.name}**: {peer.title}; {peer.notes}." for peer in plan.peer),
    )


# ---- the command ----


def exit_code(plan: Plan, comparison: Comparison) -> ExitCode:
    """Return the exit code of a comparison."""
    gates = {peer.name for peer in plan.peer if peer.gate}
    missing = {Status.NO_RESULT, Status.UNUSABLE}
    statuses = {(result.peer, result.fault): result.status for result in comparison.results}
    required = [(p.name, f.name) for p in plan.peer if p.faults for f in plan.fault]
    if not all(is_usable(comparison.healthy.get(peer.name, ())) for peer in plan.peer) or any(
        statuses.get(pair, Status.NO_RESULT) in missing for pair in required
    ):
        return ExitCode.TESTBED_FAILED
    reported = {Status.CAUGHT, Status.NAMED}
    if any(r.peer in gates and r.status not in reported for r in comparison.results):
        return ExitCode.PACKAGE_FAILED
    return ExitCode.VERIFIED


def measure(options: argparse.Namespace) -> ExitCode:
    """Run the peers, print the tables, and return the exit code.

    Raises:
        WrongUse: there is no such peer, fault or Python.
        TestbedFailure: the engine, an image or a download failed.
    """
    plan = read_toml(Plan, DATA).selected(options.peers, options.faults)
    python = host_python(options.python)
    output: Path | None = options.output
    kept = read_json(Comparison, output) if output and output.is_file() else None

    def write(results: Comparison) -> None:
        if output:
            output.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")

    limits = Limits(options.runs, options.minutes * 60, options.jobs)
    with prepare(plan, python) as (setting, facts):
        setting = setting._replace(recorded=options.recorded)
        kept = kept or Comparison(facts=facts, healthy={}, results=())
        comparison = compare(setting, kept, write, limits)
    for rows in (cost_rows(plan, comparison), fault_rows(plan, comparison)):
        print(plain(list(rows)), end="\n\n")
    if not options.peers and not options.faults:
        PAGE.write_text(page(plan, comparison), "utf-8")
    return exit_code(plan, comparison)


def main() -> int:
    """Run the comparison; print a failure in one line."""
    summary = __doc__.partition("\n")[0] if __doc__ else ""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--peers", nargs="+", default=[], metavar="NAME", help="no page")
    parser.add_argument("--faults", nargs="+", default=[], metavar="NAME", help="no page")
    parser.add_argument("--runs", type=int, default=3, help="runs without a fault for the cost")
    parser.add_argument("--minutes", type=float, default=60, help="then start no further command")
    parser.add_argument("--jobs", type=int, default=1, help="commands on faults at a time")
    parser.add_argument("--recorded", action="store_true", help="gate: judge recorded cells")
    parser.add_argument("--python", default="python3.13", help="a CPython 3.13 of the host")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write and keep the results")
    return benchmark.run("peers", measure, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
