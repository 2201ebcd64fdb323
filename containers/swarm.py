"""Run the shards of a gate as a job of a Docker swarm, and merge their reports.

``python -m containers.swarm --shards N --reports DIR [options] -- GATE OPTIONS``. Docker places N
tasks on the nodes. Each task runs one shard in a container, and starts the machines through the
socket of the engine of its node. A task prints its report, and the manager reads it from the log.

The exit code is that of the merged report. It is 3 if the report of a shard is missing.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Never

import docker
from docker.models.services import Service
from docker.types import EndpointSpec, Mount, RestartPolicy, ServiceMode

from containers import engine as engines
from containers import image_registry, images
from containers.engine import LABEL_OWNER, LABEL_RUN, Engine, Run
from containers.engine_client import failing_as
from containers.owner import is_dead
from containers.progress import print_line
from containers.recipe import REPOSITORY
from verification.models.base import DataError, Model, parse_json
from verification.models.errors import ExitCode, TestbedFailure, WrongUse

RECIPE = "shard"
"""The recipe of the image of a task."""
SOCKET = "/var/run/docker.sock"
_ROOT = Path(__file__).parents[1]
_STATE = "/state"
_POLL_SECONDS = 1.0
_PENDING_SECONDS = 30.0
"""The time in which a node for the first task of a job is found."""
_STOP_SECONDS = 60
"""The time in which a stopped gate removes its machines."""
_LOG_PAUSES = (0.5, 1.0, 2.0)
_LOG_SECONDS = 60
_ENDED = ("complete", "failed", "rejected", "shutdown", "orphaned", "remove")
"""The states of a task after which it does not run any more (Docker, "Swarm task states")."""


class Job(Model):
    """What a swarm runs."""

    shards: int
    gate_options: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    """Further constraints for the nodes."""
    shared: tuple[str, ...] = ()
    """Folders that each node has at the same path."""
    state: str = f"{REPOSITORY}-state"
    """The volume or the folder of each node for downloads."""
    environment: tuple[str, ...] = ()
    minutes: float = 240


class Task(NamedTuple):
    """A task as the manager describes it."""

    id: str
    number: int
    """The number of its shard."""
    state: str
    reason: str
    """Why it is in this state; it may be empty."""
    node: str
    """The host name of its node; empty if it has none."""
    node_state: str
    """The state of its node, such as ``ready`` or ``down``; empty if it has none."""

    @property
    def is_lost(self) -> bool:
        """True if the task runs on a node that does not answer."""
        return self.state not in _ENDED and self.node_state not in ("", "ready")

    @property
    def has_ended(self) -> bool:
        """True if the task does not run any more, or its node does not answer."""
        return self.state in _ENDED or self.is_lost


class Outcome(NamedTuple):
    """What became of a shard."""

    number: int
    folder: Path | None
    """Its report; None if it is missing."""
    reason: str
    """Why it is missing, with the node."""
    is_wrong_use: bool = False


class _Head(Model):
    """The first line of the output of a task."""

    exit_code: int
    sha256: str
    """The hash of the archive of the report."""


def run(engine: Engine, job: Job, image: str, reports: Path) -> list[Outcome]:
    """Run a job, write the reports of its shards to folders in ``reports``, and return them.

    ``engine`` is a manager of the swarm. ``image`` is the reference of the image of a task.

    Raises:
        TestbedFailure: ``engine-unreachable``: the manager does not answer.
    """
    with (
        failing_as("engine-unreachable", f"swarm at {engine.url}"),
        contextlib.closing(engine.client()) as client,
    ):
        sweep(client)
        service = _create(client, job, image, Run.new())
        try:
            return _outcomes(engine, client, service, job, reports)
        finally:
            service.remove()


def sweep(client: docker.DockerClient) -> None:
    """Remove the services of processes that have ended."""
    for service in client.services.list(filters={"label": LABEL_RUN}):
        labels = service.attrs["Spec"]["Labels"]
        if is_dead(labels.get(LABEL_OWNER, ""), engines.age_hours_of(service.attrs)):
            service.remove()


def check_manager(engine: Engine) -> None:
    """Check that an engine is a manager of a swarm.

    Raises:
        TestbedFailure: ``engine-unreachable``: it does not answer.
        WrongUse: it is no manager.
    """
    with (
        failing_as("engine-unreachable", f"swarm at {engine.url}"),
        contextlib.closing(engine.client()) as client,
    ):
        is_manager = client.info()["Swarm"].get("ControlAvailable")
    if not is_manager:
        raise WrongUse(
            f"swarm: the engine at {engine.url} is no manager of a swarm; run docker swarm init, "
            "or set DOCKER_HOST to a manager"
        )


def _create(client: docker.DockerClient, job: Job, image: str, new: Run) -> Service:
    is_folder = job.state.startswith("/")
    service: Service = client.services.create(
        image,
        args=[str(job.shards), *job.gate_options],
        name=f"{REPOSITORY}-{new.id}",
        labels=new.labels(),
        mode=ServiceMode("replicated-job", replicas=job.shards, concurrency=job.shards),
        # Two shards on a node would share its processors.
        maxreplicas=1,
        # The socket and the image are those of Linux, also if the swarm has nodes with Windows.
        constraints=[
            "node.platform.os == linux",
            f"node.platform.arch == {client.info()['Architecture']}",
            *job.constraints,
        ],
        restart_policy=RestartPolicy(condition="none"),
        endpoint_spec=EndpointSpec(mode="dnsrr"),
        env=[
            "SLOT={{.Task.Slot}}",
            f"QUIVERDB_E2E_STATE={_STATE}",
            "QUIVERDB_E2E_HISTORY=",
            *job.environment,
        ],
        mounts=[
            Mount(SOCKET, SOCKET, type="bind"),
            Mount(_STATE, job.state, type="bind" if is_folder else "volume"),
            *(Mount(path, path, type="bind", read_only=True) for path in job.shared),
        ],
        init=True,
        stop_grace_period=_STOP_SECONDS * 10**9,  # nanoseconds
        log_driver="json-file",
    )
    return service


def _outcomes(
    engine: Engine, client: docker.DockerClient, service: Service, job: Job, reports: Path
) -> list[Outcome]:
    """Wait until no task runs any more. Collect each report when its task ends.

    A swarm repeats a failed task of a job, also without a restart policy. The first end counts.
    """
    active = began = time.monotonic()  # the last moment at which a task had a node
    outcomes: dict[int, Outcome] = {}
    shown: dict[int, str] = {}
    while len(outcomes) < job.shards and time.monotonic() < began + job.minutes * 60:
        tasks = [task for task in _tasks(client, service) if task.number not in outcomes]
        for task in tasks:
            description = _description(task)
            if shown.get(task.number) != description:
                shown[task.number] = description
                print_line(f"shard {task.number}/{job.shards}: {description}")
            if task.has_ended and task.number not in outcomes:
                outcomes[task.number] = _collect(engine, task, reports)
        if any(task.node for task in tasks):
            active = time.monotonic()
        if time.monotonic() - active > _PENDING_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    for number in range(1, job.shards + 1):
        reason = shown.get(number, "it has no task")
        outcomes.setdefault(number, Outcome(number, None, f"at the end of the job {reason}"))
    return [outcome for _, outcome in sorted(outcomes.items())]


def _tasks(client: docker.DockerClient, service: Service) -> Iterator[Task]:
    """Yield the tasks of a service, the oldest first."""
    nodes = {node["ID"]: node for node in client.api.nodes()}
    entries: Iterable[dict[str, Any]] = service.tasks()
    for entry in sorted(entries, key=lambda entry: str(entry["CreatedAt"])):
        status = entry["Status"]
        node = nodes.get(entry.get("NodeID", ""), {})
        yield Task(
            id=entry["ID"],
            number=entry.get("Slot", 0) + 1,  # the engine omits the slot 0
            state=status["State"],
            reason=status.get("Err", ""),
            node=node.get("Description", {}).get("Hostname", entry.get("NodeID", "")),
            node_state=node.get("Status", {}).get("State", "removed" if "NodeID" in entry else ""),
        )


def _description(task: Task) -> str:
    """Return the state of a task, its node and the reason in one line."""
    where = f" on {task.node}" if task.node else ""
    if task.is_lost:
        return f"{task.state}{where}, which is {task.node_state}"
    return f"{task.state}{where}{f': {task.reason}' if task.reason else ''}"


# ---- the reports ----


def _collect(engine: Engine, task: Task, reports: Path) -> Outcome:
    """Return the outcome of a task that has ended, and write its report."""
    folder, reason = reports / f"shard-{task.number}", _description(task)
    if task.is_lost or not task.node:
        return Outcome(task.number, None, reason)
    code = None
    try:
        if task.state == "complete":
            code = _unpack_log(engine, task, folder)
            if folder.exists():
                return Outcome(task.number, folder, "")
            reason = f"{reason}, but the gate ended with {code}"
        errors = _log(engine, task).stderr.decode("utf-8", "replace").strip().splitlines()
        reason = f"{reason}: {errors[-1]}" if errors else reason
    except (ValueError, subprocess.TimeoutExpired) as error:
        reason = f"{reason}, but {error}"
    return Outcome(task.number, None, reason, is_wrong_use=code == ExitCode.WRONG_USE)


def _unpack_log(engine: Engine, task: Task, folder: Path) -> int:
    for seconds in _LOG_PAUSES:
        with contextlib.suppress(ValueError):
            return unpack(_log(engine, task).stdout.decode("utf-8", "replace"), folder)
        time.sleep(seconds)  # the last lines may arrive late
    return unpack(_log(engine, task).stdout.decode("utf-8", "replace"), folder)


def _log(engine: Engine, task: Task) -> subprocess.CompletedProcess[bytes]:
    """Return the log of a task. The Docker library reads no log of a task."""
    command = ("docker", "service", "logs", "--raw", task.id)
    variables = {**os.environ, **engine.environment()}
    return subprocess.run(
        command, env=variables, capture_output=True, timeout=_LOG_SECONDS, check=False
    )


def unpack(log: str, folder: Path) -> int:
    """Write the report in the log of a task to a new folder, and return the exit code of the gate.

    If the gate wrote no report, there is no folder.

    Raises:
        ValueError: the log is not complete. The message is the reason.
    """
    first, _, rest = log.partition("\n")
    try:
        properties = parse_json(_Head, first, "log")
        archive = base64.b64decode("".join(rest.split()))
    except (DataError, ValueError):
        raise ValueError("its log has no report") from None
    if hashlib.sha256(archive).hexdigest() != properties.sha256:
        raise ValueError("the report in its log is not complete")
    if archive:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
    return properties.exit_code


# ---- the command ----


def image_reference(engine: Engine, location: str | None) -> str:
    """Build the image of a task. Push it to a registry, if one is named, and return its reference.

    Raises:
        TestbedFailure: it cannot be built or pushed.
    """
    image = images.ensure(engine, RECIPE)
    if location is None:
        return image.id  # a node never pulls an id
    with contextlib.closing(engine.client(timeout_seconds=1800)) as client:
        return f"{location}/{RECIPE}@{image_registry.push(client, location, image.tag)}"


def execute(options: argparse.Namespace) -> int:
    """Run the job, merge the reports, and return the exit code.

    Raises:
        TestbedFailure: the manager does not answer, or the image cannot be made.
        WrongUse: an option cannot be used.
    """
    if options.shards < 1:
        raise WrongUse(f"--shards {options.shards}: use at least 1")
    if options.registry:
        image_registry.check_location(options.registry)
    if options.reports.exists() and any(options.reports.iterdir()):
        raise WrongUse(f"--reports {options.reports}: the folder is not empty; name a new one")
    engine = engines.ensure(provision=False)
    check_manager(engine)
    job = Job(
        shards=options.shards,
        gate_options=options.gate_options,
        constraints=options.constraint,
        shared=options.share,
        state=options.state,
        environment=options.env,
        minutes=options.minutes,
    )
    options.reports.mkdir(parents=True, exist_ok=True)
    image = image_reference(engine, options.registry)
    outcomes = run(engine, job, image, options.reports)
    missing = [outcome for outcome in outcomes if outcome.folder is None]
    for outcome in missing:
        line = f"the report of shard {outcome.number}/{job.shards} is missing: {outcome.reason}"
        print(f"swarm: {line}", file=sys.stderr)
    if missing:
        is_wrong_use = all(outcome.is_wrong_use for outcome in missing)
        return ExitCode.WRONG_USE if is_wrong_use else ExitCode.TESTBED_FAILED
    folders = [str(outcome.folder) for outcome in outcomes]
    merge = [sys.executable, "-m", "verification.commands", "merge", *folders]
    merge.append(f"--report={options.reports / 'merged'}")
    return subprocess.run(merge, cwd=_ROOT, check=False).returncode


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise WrongUse(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m containers.swarm", description=__doc__)
    add = parser.add_argument
    add("--shards", type=int, required=True, metavar="N", help="the number of shards")
    add(
        "--reports",
        type=lambda text: Path(text).resolve(),
        required=True,
        metavar="DIR",
        help="a new folder for the reports of the shards and for the merged report",
    )
    add(
        "--registry",
        metavar="HOST/NAMESPACE",
        help="push the image of a task to this registry (default: each node has it already)",
    )
    add(
        "--constraint",
        action="append",
        default=[],
        help="a constraint for the nodes, such as node.labels.e2e==true; may be repeated",
    )
    add(
        "--share",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder that each node has at this path, such as that of the wheels; a task reads "
        "it at the same path; may be repeated",
    )
    add(
        "--state",
        default=Job.model_fields["state"].default,
        help="the volume or folder of each node for downloads (default: %(default)s)",
    )
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the tasks")
    add("--minutes", type=float, default=Job.model_fields["minutes"].default, help="time limit")
    add("gate_options", nargs="*", metavar="GATE OPTIONS", help="the options of ./e2e gate")
    return parser


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit code. Print an error in one line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return execute(_parser().parse_args(words))
    except KeyboardInterrupt:
        return ExitCode.UNVERIFIED
    except (TestbedFailure, WrongUse) as error:
        print(f"swarm: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
