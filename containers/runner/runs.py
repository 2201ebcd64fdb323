"""Run the workflow with act, in a container of its own, and collect the results.

act runs in a container (the conductor) on the closed network, so that the jobs reach its artifact
server. The containers of the jobs have only that network. They cannot reach the engine. A job
requests a wheel build, which needs the engine, by a line of output.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import itertools
import json
import secrets
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from docker.models.containers import Container

from containers import images
from containers.commands import execute, read_state
from containers.engine import Engine, Run
from containers.progress import print_line, step
from containers.runner.act_log import (
    ActLine,
    ActLog,
    ConductorLine,
    JobContainer,
    find_running,
    is_same_combination,
)
from containers.runner.action_sources import find_checkout, resolve
from containers.runner.build_queue import BuildQueue, BuildRequest
from containers.runner.environment import RunnerEnvironment
from containers.runner.git_repository import BRANCH, GitRepository
from containers.runner.tar_archive import add_file, archive_of
from verification.models.base import Model
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.machine import OperatingSystem
from verification.models.pipeline import JobRun, PipelineRun, Push, RunOutcome, WorkflowArtifact
from verification.models.testbed import TestbedFailureRecord
from verification.models.workflow import (
    Combination,
    Decision,
    Event,
    RunningJob,
    Workflow,
    WorkflowJob,
)
from verification.models.workflow_call import with_called
from verification.models.workflow_file import load

LABEL_PIPELINE = "quiverdb-e2e.pipeline"
IMAGE = "runner"
RUNNER_SYSTEMS: dict[str, OperatingSystem] = {"ubuntu-latest": "linux", "windows-latest": "windows"}
"""The platform that each runner label stands for."""
TIME_LIMIT_SECONDS = 1200
"""How long a run may take, all its jobs together."""
_SOCKET = "/var/run/docker.sock"
_ARTIFACTS = "/var/lib/artifacts"
_ACTOR = "maintainer"
_numbers = itertools.count(int(time.time()) % 100_000_000 * 10)

_STAND_INS = (
    "runners are Debian 13 containers, not GitHub's machines; windows-latest is one too, where "
    "runner.os is Linux and a step without `shell` runs in bash, not PowerShell",
    "act runs the jobs: it knows no permissions, environments and concurrency; what a job may do "
    "is decided by the forge, by the job's permissions in the file",
    "the artifact service is ours, by version 4 of the protocol",
)

Decide = Callable[[Workflow, Event], Decision]
"""Whether an event starts a workflow."""


class WorkflowFile(Model):
    """The workflow that is run, and how."""

    path: str
    """Relative to the repository."""
    actions_from: Path | None = None
    """A folder with checkouts of real actions; stand-ins run in place of the others."""
    seconds: int = TIME_LIMIT_SECONDS
    """How long a run may take, all its jobs together."""


class Runner:
    """Runs the workflow of ``origin`` for the tags that are pushed.

    ``decide`` returns whether an event starts the workflow: act starts it for every event.
    """

    def __init__(
        self,
        engine: Engine,
        run: Run,
        origin: GitRepository,
        environment: RunnerEnvironment,
        file: WorkflowFile,
        decide: Decide,
    ) -> None:
        self.engine = engine
        self.run = run
        self.origin = origin
        self.environment = environment
        self.file = file
        find = functools.partial(find_checkout, file.actions_from)
        self.workflow = with_called(load(origin.tree / file.path), origin.tree, find)
        self.actions = resolve(self.workflow, file.actions_from)
        self.artifacts: dict[int, bytes] = {}
        """The artifacts that the earlier attempts of each run left, packed."""
        self._decide = decide
        self._check_labels()
        self.image = images.ensure(engine, IMAGE).tag

    def _check_labels(self) -> None:
        for running in self.workflow.running_jobs:
            job = running.job
            for label in job.runs_on:
                if label not in RUNNER_SYSTEMS:
                    raise TestbedFailure(
                        "runner-unavailable",
                        running.workflow.at(job.line),
                        f"job {job.id} runs on {label}, and there are runners for "
                        f"{', '.join(RUNNER_SYSTEMS)} only",
                    )

    def label(self, job: WorkflowJob, matrix: Combination) -> str:
        """Return the runner label of one combination of a job."""
        labels = job.runs_on
        combinations = job.combinations
        for combination, label in zip(combinations or ({},), labels, strict=False):
            if is_same_combination(matrix, combination):
                return label
        return labels[0]

    def push(self, tags: Sequence[str], *, annotated: bool = True) -> list[PipelineRun]:
        """Push ``tags`` at once; return the run of each, in their order. The runs are parallel.

        A failure of the testbed during a run is recorded in it.

        Raises:
            WrongUse: a tag is none.
        """
        if not tags:
            raise WrongUse("no tag is given to push")
        pushes = [self.origin.tag(tag, annotated=annotated) for tag in tags]
        return self.start(pushes)

    def start(self, pushes: Sequence[Push], *, first_id: int | None = None) -> list[PipelineRun]:
        """Run the workflow for tags that ``origin`` has; as `push`, for one push of them all.

        ``first_id`` is the id of the first run.
        """
        ids = [next(_numbers) for _ in pushes]
        if first_id is not None:
            ids[0] = first_id
        decisions = [
            self._decide(
                self.workflow,
                Event(ref=push.ref, message=self.origin.message(push), tags=len(pushes)),
            )
            for push in pushes
        ]
        with ThreadPoolExecutor(len(pushes)) as pool:
            return list(pool.map(self._one, pushes, ids, [1] * len(pushes), decisions))

    def rerun(self, previous: PipelineRun) -> PipelineRun:
        """Run all jobs of a run once more: the next attempt, with the artifacts it has.

        Raises:
            WrongUse: the run was never started.
        """
        if not previous.triggered:
            raise WrongUse(f"the push of {previous.push.tag} started no run that could be repeated")
        attempt = previous.attempt + 1
        decision = Decision(triggered=True, reason=f"attempt {attempt} of run {previous.run_id}")
        return self._one(previous.push, previous.run_id, attempt, decision)

    def _one(self, push: Push, run_id: int, attempt: int, decision: Decision) -> PipelineRun:
        began = time.time()
        conducted = _Attempt(self, push, run_id, attempt)
        if decision.triggered:
            with step(f"workflow {self.workflow.name} for {push.tag}"):
                conducted.go()
        return conducted.result(decision, time.time() - began)


class _Attempt:
    """One attempt of one run, from its conductor's start to its end."""

    def __init__(self, runner: Runner, push: Push, run_id: int, attempt: int) -> None:
        self.runner = runner
        self.push = push
        self.run_id = run_id
        self.attempt = attempt
        self.log = ActLog()
        self.hung = False
        self.act = ""
        self.artifacts: tuple[WorkflowArtifact, ...] = ()
        self.failures: list[TestbedFailure] = []
        self.builds = BuildQueue(runner.engine, runner.run)
        self._id = f"{runner.run.id}-{secrets.token_hex(3)}"
        self._labels = {**runner.run.labels(), LABEL_PIPELINE: self._id}
        self._filter: dict[str, str | list[str] | bool] = {"label": f"{LABEL_PIPELINE}={self._id}"}
        """The engine's filter for the containers and volumes of this run."""

    def go(self) -> None:
        """Run it and gather what it shows; leave nothing behind.

        A failure of the engine, the conductor or the builder is recorded.
        """
        timer = threading.Timer(self.runner.file.seconds, self._expire)
        timer.daemon = True
        client = self.runner.engine.client()
        try:
            conductor = self._prepare(client)
            timer.start()
            self._follow(client, conductor)
            if not self.hung:
                self._gather(conductor)
        except TestbedFailure as failure:
            self.failures.append(failure)
        except (docker.errors.DockerException, requests.RequestException) as error:
            if not self.hung:
                observed = " ".join(str(error).split())[:400]
                self.failures.append(TestbedFailure("machine-lost", "runner", observed))
        finally:
            timer.cancel()
            self.builds.stop()
            self._remove()
            self.builds.close(wait=not self.hung)
            client.close()
        self.failures += self.builds.failures
        if not self.failures:  # after a failure, the host ended act
            self._check_act()

    def _check_act(self) -> None:
        """Record a failure if act or its container did not run to the end."""
        ended = self.log.ended
        observed = ""
        if ended is None:
            observed = "" if self.hung else "act's container ended before act did"
        elif ended < 0:
            observed = f"act was ended by signal {-ended}"
        elif ended and not self.log.began:
            last = " ".join(self.log.others[-3:])[:400] or f"it ended with {ended}"
            observed = f"act started no job: {last}"
        if observed:
            self.failures.append(TestbedFailure("machine-lost", "runner", observed))

    def _lost_containers(self, jobs: Sequence[JobRun]) -> Iterator[TestbedFailure]:
        """Yield the containers that ended too early and belong to no known job."""
        known = {job.container for job in jobs}
        for container, observed in self.log.lost_containers():
            if container not in known:
                yield TestbedFailure("machine-lost", "a job's container", observed)

    def result(self, decision: Decision, seconds: float) -> PipelineRun:
        """Return what it showed."""
        jobs = self.log.jobs(self.runner.workflow, hung=self.hung)
        outcome: RunOutcome = "failure"
        if not decision.triggered:
            outcome = "not triggered"
        elif self.hung:
            outcome = "hung"
        elif self.log.ended == 0 and all(job.result in ("success", "skipped") for job in jobs):
            outcome = "success"
        return PipelineRun(
            push=self.push,
            run_id=self.run_id,
            attempt=self.attempt,
            triggered=decision.triggered,
            decision=decision.reason,
            result=outcome,
            jobs=jobs,
            artifacts=self.artifacts,
            wheels=tuple(self.builds.wheels),
            actions=self.runner.actions.uses,
            unsupported=tuple(self.log.unsupported),
            stand_ins=_STAND_INS,
            seconds=seconds,
            act=self.act,
            log=tuple(self.log.others),
            failures=tuple(
                map(TestbedFailureRecord.of, (*self.failures, *self._lost_containers(jobs)))
            ),
        )

    def _expire(self) -> None:
        self.hung = True
        print_line(f"workflow for {self.push.tag}: ended after {self.runner.file.seconds} s")
        self._read_states()
        self._remove(volumes=False)

    # ---- before ----

    def _prepare(self, client: docker.DockerClient) -> Container:
        volume = f"quiverdb-e2e-{self._id}"
        client.volumes.create(volume, labels=self._labels)
        socket = urlsplit(self.runner.engine.url)
        # An engine that is reached over the network has its socket where engines have it.
        place = socket.path if socket.scheme == "unix" else _SOCKET
        conductor = client.containers.create(
            self.runner.image,
            ["sleep", "infinity"],
            name=f"quiverdb-e2e-{self._id}-act",
            labels=self._labels,
            network=self.runner.environment.network,
            dns=["127.0.0.1"],
            init=True,
            volumes={
                volume: {"bind": "/e2e", "mode": "rw"},
                place: {"bind": _SOCKET, "mode": "rw"},
            },
        )
        conductor.start()
        folder = f"/home/runner/work/{self.runner.origin.name}/{self.runner.origin.name}"
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                self._pack(tar, volume, folder)
            packed.seek(0)
            conductor.put_archive("/", packed)
        if earlier := self.runner.artifacts.get(self.run_id):
            conductor.put_archive("/var/lib", earlier)
        script = (
            "cat /opt/runner/authorities.pem /conduct/ca.pem > /e2e/authorities.pem && "
            f"mkdir -p {_ARTIFACTS} && mv /conduct/repository.git /e2e/ && "
            f"git clone --quiet /e2e/repository.git {folder} && cd {folder} && "
            f"git -c advice.detachedHead=false checkout --quiet {self.push.ref} && "
            "/opt/runner/act --version"
        )
        done = execute(conductor, ["sh", "-ec", script])
        if done.code:
            observed = f"cannot be prepared: {done.output.strip()[-300:]}"
            raise TestbedFailure("machine-lost", "runner", observed)
        self.act = done.output.strip().splitlines()[-1]
        return conductor

    def _pack(self, tar: tarfile.TarFile, volume: str, folder: str) -> None:
        environment = self.runner.environment
        config = {
            "command": self._command(),
            "environment": {"GITHUB_TOKEN": environment.token},
            "folder": folder,
            "labels": self._labels,
            "dns": ["127.0.0.1"],
            "prefix": f"quiverdb-e2e-{self._id}-",
            "volume": volume,
            "known": "/conduct/known",
            "artifacts": _ARTIFACTS,
            "attempt": self.attempt,
            "identity": {
                "url": environment.identity_url,
                "token": environment.identity_token,
            },
        }
        event = self.runner.origin.event(self.push)
        add_file(tar, "conduct/config.json", json.dumps(config).encode())
        add_file(tar, "conduct/event.json", json.dumps(event).encode())
        add_file(tar, "conduct/ca.pem", environment.ca_certificate.encode())
        self.runner.origin.pack(tar, "conduct/repository.git")
        for place, checkout in self.runner.actions.real.items():
            tar.add(checkout, place.lstrip("/"))

    def _command(self) -> list[str]:
        runner = self.runner
        variables = {
            "GITHUB_REPOSITORY": runner.origin.full_name,
            "GITHUB_REPOSITORY_OWNER": runner.origin.owner,
            "GITHUB_RUN_ID": str(self.run_id),
            "GITHUB_RUN_NUMBER": "1",
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
            "GITHUB_RETENTION_DAYS": "90",
        }
        return [
            "/opt/runner/act",
            "push",
            "--json",
            f"--workflows={runner.file.path}",
            "--eventpath=/conduct/event.json",
            f"--actor={_ACTOR}",
            f"--defaultbranch={BRANCH}",
            "--pull=false",
            "--rm",
            "--no-skip-checkout",
            "--no-cache-server",
            "--container-daemon-socket=-",
            f"--network={runner.environment.network}",
            "--secret=GITHUB_TOKEN",
            *(f"--platform={label}={runner.image}" for label in RUNNER_SYSTEMS),
            *(f"--env={name}={value}" for name, value in variables.items()),
            *runner.actions.options,
        ]

    # ---- while it runs ----

    def _follow(self, client: docker.DockerClient, conductor: Container) -> None:
        command = ["python3", "-P", "-m", "conductor.main", "/conduct/config.json"]
        started = client.api.exec_create(
            conductor.id, command, environment={"PYTHONPATH": "/opt/runner"}
        )
        stream = client.api.exec_start(started["Id"], stream=True)
        for raw in _lines(stream):
            try:
                line = ConductorLine.model_validate_json(raw)
            except ValueError:
                self.log.others.append(raw.decode("utf-8", "replace"))
                continue
            self.log.add(line)
            if line.job:
                self._register(client, conductor, line.job)
            elif line.act and line.act.printed and line.act.printed.startswith("e2e-build "):
                self._build(line.act, line.act.printed.partition(" ")[2])

    def _register(
        self, client: docker.DockerClient, conductor: Container, started: JobContainer
    ) -> None:
        environment = self.runner.environment
        container = client.containers.get(started.container)
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = str(networks.get(environment.network, {}).get("IPAddress", ""))
        self.log.container(started.id, str(container.id), str(container.name), address)
        print_line(f"workflow {self.runner.workflow.name} for {self.push.tag}: job {started.id}")
        running = self._running(started.id, started.name)
        if environment.register:
            environment.register(address, running, self.push, self.run_id, self.attempt)
        may_ask = running.job.permissions.get("id-token") == "write" and environment.identity_url
        # The job's first step waits for this: the address may have been another job's before.
        known = {f"known/{container.id}": b"identity" if may_ask else b""}
        conductor.put_archive("/conduct", archive_of(known))

    def _running(self, job: str, name: str) -> RunningJob:
        """Return the job with this id whose container, or whose line of act's log, has this name.

        Raises:
            TestbedFailure: ``stand-in-limited``: several jobs may be meant.
        """
        running = find_running(self.runner.workflow.running_jobs, job, name)
        if running is None:
            observed = f"act names it {name}, which can be several jobs"
            raise TestbedFailure("stand-in-limited", f"job {job}", observed)
        return running

    def _build(self, line: ActLine, request: str) -> None:
        job = self._running(line.job_id, line.job).job
        label = self.runner.label(job, line.matrix or {})
        self.builds.submit(BuildRequest.model_validate_json(request), RUNNER_SYSTEMS[label])

    # ---- after ----

    def _read_states(self) -> None:
        """Record the states of the containers before they are removed at the time limit."""
        with (
            contextlib.suppress(docker.errors.DockerException, requests.RequestException),
            contextlib.closing(self.runner.engine.client(timeout_seconds=60)) as client,
        ):
            for container in self._containers(client):
                self.log.set_state(str(container.id), read_state(container))

    def _containers(self, client: docker.DockerClient) -> list[Container]:
        """Return the containers of this run, the conductor first."""
        containers = client.containers.list(all=True, filters=self._filter, ignore_removed=True)
        return sorted(containers, key=lambda container: not str(container.name).endswith("-act"))

    def _gather(self, conductor: Container) -> None:
        chunks, _ = conductor.get_archive(_ARTIFACTS)
        packed = b"".join(chunks)
        self.runner.artifacts[self.run_id] = packed
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            self.artifacts = tuple(_artifacts(tar))

    def _remove(self, *, volumes: bool = True) -> None:
        """Remove all that this run started; what the engine does not remove, the sweep does."""
        with (
            contextlib.suppress(docker.errors.DockerException, requests.RequestException),
            contextlib.closing(self.runner.engine.client(timeout_seconds=60)) as client,
        ):
            # The conductor first: it would start others.
            for container in self._containers(client):
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
            for volume in client.volumes.list(filters=self._filter) if volumes else []:
                with contextlib.suppress(docker.errors.APIError):
                    volume.remove(force=True)


def _artifacts(tar: tarfile.TarFile) -> Iterator[WorkflowArtifact]:
    """Yield the artifacts that the artifact service keeps (``conductor/artifacts.py``)."""
    top = Path(_ARTIFACTS).name
    try:
        index = tar.extractfile(f"{top}/index.json")
    except KeyError:
        return  # there was never one
    entries = json.loads(index.read()) if index else {}
    for name, entry in sorted(entries.items()):
        if entry["complete"] and (file := tar.extractfile(f"{top}/{entry['id']}.blob")):
            content = file.read()
            try:
                files = _digests(content)
            except zipfile.BadZipFile:
                files = {name: hashlib.sha256(content).hexdigest()}
            yield WorkflowArtifact(name=name, files=files)


def _digests(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {
            info.filename: hashlib.sha256(packed.read(info)).hexdigest()
            for info in packed.infolist()
            if not info.is_dir()
        }


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
