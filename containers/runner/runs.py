"""Run the workflow with act in a separate container, and collect the results.

act runs in a container (the conductor) on the closed network, so that the jobs reach its artifact
server. The containers of the jobs have only that network. They cannot reach the engine. A job
therefore requests a wheel build with a line of output.
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
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
from docker.models.containers import Container

from containers import builder, images, limits
from containers.commands import execute, read_state, split_lines
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS
from containers.progress import print_line, step
from containers.runner.act_log import (
    ActLine,
    ActLog,
    ConductorLine,
    JobContainer,
    UnavailableImage,
    find_running,
    is_same_combination,
)
from containers.runner.action_sources import find_checkout, resolve
from containers.runner.build_queue import BuildQueue, BuildRequest
from containers.runner.environment import BOT, RunnerEnvironment, StartedRun
from containers.runner.event_payloads import ACTOR, BRANCH
from containers.runner.git_repository import GitRepository
from containers.runner.network_limits import network_limits, replacement_limits
from containers.runner.runner_values import with_runner_values
from containers.runner.tar_archive import add_file, archive_of
from verification.models.base import Model
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.forge import ForgeRelease
from verification.models.hosted_runners import HostedRunner, hosted_runner
from verification.models.limits import LimitsInForce
from verification.models.pipeline import (
    JobRun,
    PipelineRun,
    ReplacedStep,
    RunEvent,
    RunOutcome,
    WorkflowArtifact,
)
from verification.models.testbed import ContainerState, TestbedFailureRecord
from verification.models.workflow import (
    Combination,
    Decision,
    Event,
    RunningJob,
    Workflow,
    WorkflowJob,
)
from verification.models.workflow_call import load_with_called

LABEL_PIPELINE = "quiverdb-e2e.pipeline"
IMAGE = "runner"
TIME_LIMIT_SECONDS = 1200
"""The time limit of a run with all its jobs."""
_SOCKET = "/var/run/docker.sock"
_PART_BYTES = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError)
"""The exceptions of zipfile for an archive or a member that cannot be read."""
_ARTIFACTS = "/var/lib/artifacts"
_run_ids = itertools.count(int(time.time()) % 100_000_000 * 10)

_COMMON_LABELS = ("ubuntu-latest", "windows-latest", "macos-latest")
"""The labels for a job whose label is unknown before the run."""

_STAND_INS = (
    "every runner is a Debian 13 container, also for Windows, macOS and ARM: `runner.os` and "
    "`runner.arch` are those of the label, and a step without `shell` runs in bash, not in "
    "PowerShell",
    "act runs the jobs. It ignores permissions, environments and concurrency. The forge applies "
    "the permissions of the jobs",
    "the artifact service implements version 4 of GitHub's protocol",
)

Decide = Callable[[Workflow, Event], Decision]
"""Decides whether an event starts a workflow."""

Evaluate = Callable[[str, Workflow, RunningJob, Event, Combination | None], str]
"""Returns a text of a job with the values of its expressions. The workflow is the started one, and
the combination is that of the job, if it is known. A text without a known value stays."""


def keep_expressions(text: str, *_: object) -> str:
    """Return the text unchanged."""
    return text


class WorkflowFile(Model):
    """The file of the workflow, and the options of its runs."""

    path: str
    """The path in the repository."""
    actions_from: Path | None = None
    """A folder with checkouts of real actions. Stand-ins replace the other actions."""
    seconds: int = TIME_LIMIT_SECONDS
    """The time limit of a run with all its jobs."""
    evaluate: Evaluate = keep_expressions
    """Evaluates the labels of the runners and the environments of the jobs."""
    existing: tuple[Path, ...] | None = None
    """The wheels and the sdist that replace the builds; None if the jobs build."""
    replaced: tuple[ReplacedStep, ...] = ()
    """The steps that the existing files replace."""
    texts: Mapping[str, str] = {}
    """The workflow files with these steps replaced, by path. act reads these texts instead of
    the files of the repository."""


class Runner:
    """Runs one workflow file of ``repository`` for events.

    ``decide`` returns whether an event starts the workflow. act would start it for every event.

    Raises:
        TestbedFailure: ``runner-unavailable``: no GitHub-hosted runner has the label of a job, or
            the engine does not have the image of a job. ``action-unavailable``: an action has
            neither a checkout nor a stand-in.
    """

    def __init__(
        self,
        engine: Engine,
        run: Run,
        repository: GitRepository,
        environment: RunnerEnvironment,
        file: WorkflowFile,
        decide: Decide,
    ) -> None:
        self.engine = engine
        self.run = run
        self.repository = repository
        self.environment = environment
        self.file = file
        find = functools.partial(find_checkout, file.actions_from)
        self.workflow = load_with_called(repository.tree / file.path, repository.tree, find)
        self.actions = resolve(
            self.workflow,
            file.actions_from,
            root=repository.tree,
            find_image=functools.partial(_image_id, engine),
        )
        self.values = with_runner_values(self.workflow, repository.tree)
        self.artifacts: dict[int, bytes] = {}
        """The artifacts of the earlier attempts of each run, as archives by run id."""
        self._decide = decide
        self._check_images()
        self.image = images.ensure(engine, IMAGE).tag

    def for_file(self, path: str) -> Runner:
        """Return the runner of another workflow file of the repository."""
        file = self.file.model_copy(update={"path": path})
        return Runner(
            self.engine,
            self.run,
            self.repository,
            self.environment,
            file,
            self._decide,
        )

    @property
    def replaced(self) -> tuple[ReplacedStep, ...]:
        """The steps of this workflow that existing files replace."""
        files = {file.path.name for file in self.workflow.files}
        steps = self.file.replaced
        return tuple(step for step in steps if step.where.partition(":")[0] in files)

    def _check_images(self) -> None:
        """Check that the engine has the images of the jobs and of their services."""
        for running in self.workflow.running_jobs:
            for name in running.job.containers:
                if _image_id(self.engine, name) is None:
                    raise TestbedFailure(
                        "runner-unavailable",
                        running.workflow.location(running.job.line),
                        f"job {running.job.id} needs the image {name}, which the engine does not "
                        "have. Pull it before the run",
                    )

    def hosted_runners(self, event: RunEvent) -> tuple[HostedRunner, ...]:
        """Return the runners of all jobs.

        Raises:
            TestbedFailure: ``runner-unavailable``: no GitHub-hosted runner has the label of a job.
        """
        return tuple(
            runner
            for running in self.workflow.running_jobs
            for matrix in running.job.combinations or ({},)
            if (runner := self.hosted_runner(running, matrix, event))
        )

    def hosted_runner(
        self, running: RunningJob, matrix: Combination, event: RunEvent
    ) -> HostedRunner | None:
        """Return the runner of one combination of a job; None if its label is unknown.

        Raises:
            TestbedFailure: ``runner-unavailable``: no GitHub-hosted runner has the label.
        """
        job = running.job
        if not job.runs_on:
            return None  # the job calls a workflow
        label = self.file.evaluate(
            _label(job, matrix), self.workflow, running, _event_of(event), matrix
        )
        if "${{" in label:
            return None
        runner = hosted_runner(label)
        if runner is None:
            raise TestbedFailure(
                "runner-unavailable",
                running.workflow.location(job.line),
                f"job {job.id} needs the runner {label}. GitHub hosts no runner with this label, "
                "and the suite has no other runner",
            )
        return runner

    def with_environment(self, running: RunningJob, event: RunEvent) -> RunningJob:
        """Return a job with the value of its environment.

        Raises:
            TestbedFailure: ``stand-in-limited``: the value is not known.
        """
        job = running.job
        if "${{" not in (job.environment or ""):
            return running
        matrix = job.combinations[0] if len(job.combinations) == 1 and not job.matrix else None
        environment = self.file.evaluate(
            str(job.environment), self.workflow, running, _event_of(event), matrix
        )
        if "${{" in environment:
            raise TestbedFailure(
                "stand-in-limited",
                running.workflow.location(job.line),
                f"the environment of job {job.id} is {environment}, which only GitHub evaluates",
            )
        known = job.model_copy(update={"environment": environment or None})
        return running.model_copy(update={"job": known})

    def push(self, tags: Sequence[str], *, annotated: bool = True) -> list[PipelineRun]:
        """Push ``tags`` at once. Return the run of each tag, in the same order.

        The runs are parallel. A testbed failure of a run is recorded in its result.

        Raises:
            WrongUse: there is no tag, or a tag name is not valid.
        """
        if not tags:
            raise WrongUse("push needs at least one tag")
        return self.start([self.repository.tag(tag, annotated=annotated) for tag in tags])

    def start(
        self,
        events: Sequence[RunEvent],
        *,
        first_id: int | None = None,
        release: ForgeRelease | None = None,
    ) -> list[PipelineRun]:
        """Run the workflow for events that happened at the same time, such as tags of one push.

        ``first_id`` is the id of the first run. ``release`` is the release of an event ``release``.
        The runs are parallel. A testbed failure of a run is recorded in its result.

        Raises:
            TestbedFailure: ``runner-unavailable``, as for `hosted_runner`.
        """
        ids = [next(_run_ids) for _ in events]
        if first_id is not None:
            ids[0] = first_id
        attempts = [
            _Attempt(self, event, run_id, 1, release)
            for event, run_id in zip(events, ids, strict=True)
        ]
        decisions = [
            self._decide(
                self.workflow,
                _event_of(event, message=self.repository.message(event), tags=len(events)),
            )
            for event in events
        ]
        with ThreadPoolExecutor(len(attempts)) as pool:
            return list(pool.map(_Attempt.start, attempts, decisions))

    def rerun(self, previous: PipelineRun) -> PipelineRun:
        """Run all jobs of a run again, as the next attempt, with the artifacts of earlier attempts.

        Raises:
            WrongUse: the run did not start.
        """
        if not previous.triggered:
            raise WrongUse(f"the {previous.event.title} started no run, so it cannot be rerun")
        number = previous.attempt + 1
        decision = Decision(triggered=True, reason=f"attempt {number} of run {previous.run_id}")
        return _Attempt(self, previous.event, previous.run_id, number).start(decision)


def _label(job: WorkflowJob, matrix: Combination) -> str:
    """Return the text of `runs-on` for one combination of a job."""
    for combination, label in zip(job.combinations or ({},), job.runs_on, strict=False):
        if is_same_combination(matrix, combination):
            return label
    return job.runs_on[0]


def _event_of(event: RunEvent, *, message: str = "", tags: int = 1) -> Event:
    return Event(
        name=event.name,
        type=event.type,
        ref=event.ref,
        inputs=event.inputs,
        message=message,
        tags=tags,
        by_workflow=event.by_workflow,
    )


class _Attempt:
    """One attempt of one run, from the start of its conductor to the end."""

    def __init__(
        self,
        runner: Runner,
        event: RunEvent,
        run_id: int,
        number: int,
        release: ForgeRelease | None = None,
    ) -> None:
        self.runner = runner
        self.event = event
        self.run_id = run_id
        self.number = number
        self.release = release
        self.hosted_runners = runner.hosted_runners(event)
        self.log = ActLog()
        self.hung = False
        self.act_version = ""
        self.artifacts: tuple[WorkflowArtifact, ...] = ()
        self.failures: list[TestbedFailure] = []
        self.limits: list[LimitsInForce] = []
        self.builds = BuildQueue(
            runner.engine, runner.run, runner.file.existing, self.hosted_runners
        )
        self._id = f"{runner.run.id}-{secrets.token_hex(3)}"
        self._labels = {**runner.run.labels(), LABEL_PIPELINE: self._id}
        self._filter: dict[str, Any] = {"label": f"{LABEL_PIPELINE}={self._id}"}
        """The engine's filter for the containers and volumes of this run."""

    def start(self, decision: Decision) -> PipelineRun:
        """Run the workflow if the event starts it, and return the result."""
        started_at = time.time()
        if decision.triggered:
            with step(f"workflow {self.runner.workflow.name} for {self.event.ref_name}"):
                self.run()
        return self.result(decision, time.time() - started_at)

    def run(self) -> None:
        """Run act, collect the results, and remove all containers and volumes.

        A failure of the engine, the conductor or the builder is recorded.
        """
        timer = threading.Timer(self.runner.file.seconds, self._expire)
        timer.daemon = True
        client = self.runner.engine.client()
        try:
            conductor = self._prepare(client)
            timer.start()
            limit_mib = limits.limits_of("job", self.runner.run).disk_mib
            with limits.Watchdog(self.runner.engine, limit_mib, self._filter) as watchdog:
                self._follow(client, conductor)
            for container in watchdog.stopped:
                self.log.set_state(container, ContainerState(status="exited", met_limit="disk"))
            if not self.hung:
                self._collect_artifacts(conductor)
        except TestbedFailure as failure:
            self.failures.append(failure)
        except ENGINE_ERRORS as error:
            if not self.hung:
                message = " ".join(str(error).split())[:400]
                self.failures.append(TestbedFailure("machine-lost", "runner", message))
        finally:
            timer.cancel()
            self.builds.stop()
            self._remove()
            self.builds.close(wait=not self.hung)
            client.close()
        self.failures += self.builds.failures
        if not self.failures:  # after another failure, the host has ended act
            self._check_exit()

    def _check_exit(self) -> None:
        """Record a failure if act or its container was killed, or if act started no job."""
        code = self.log.exit_code
        message = ""
        if code is None:
            message = "" if self.hung else "the container of act ended before act"
        elif code < 0:
            message = f"signal {-code} ended act"
        elif code and not self.log.has_jobs:
            output = " ".join(self.log.other_lines[-3:])[:400] or f"exit code {code}"
            message = f"act started no job: {output}"
        if message:
            self.failures.append(TestbedFailure("machine-lost", "runner", message))

    def _lost_containers(self, jobs: Sequence[JobRun]) -> Iterator[TestbedFailure]:
        """Yield a failure for each container that ended early and belongs to no known job."""
        job_containers = {job.container for job in jobs}
        for container, state in self.log.lost_containers():
            if container not in job_containers:
                name = state.cause("machine-lost")
                yield TestbedFailure(name, "a job's container", state.failure)

    def result(self, decision: Decision, seconds: float) -> PipelineRun:
        """Return the results of the attempt. ``seconds`` is its duration."""
        jobs = tuple(self._jobs())
        outcome: RunOutcome = "failure"
        if not decision.triggered:
            outcome = "not triggered"
        elif self.hung:
            outcome = "hung"
        elif self.log.exit_code == 0 and all(job.result in ("success", "skipped") for job in jobs):
            outcome = "success"
        return PipelineRun(
            event=self.event,
            workflow=self.runner.file.path,
            run_id=self.run_id,
            attempt=self.number,
            triggered=decision.triggered,
            decision=decision.reason,
            result=outcome,
            jobs=jobs,
            artifacts=self.artifacts,
            wheels=tuple(self.builds.wheels),
            sdists=tuple(self.builds.sdists),
            actions=self.runner.actions.uses,
            unsupported=(*self.log.unsupported, *network_limits(jobs)),
            replaced=self.runner.replaced,
            stand_ins=(
                *_STAND_INS,
                *self.runner.values.limits,
                *replacement_limits(self.runner.replaced),
                *_secret_limits(self.runner.environment.secrets),
            ),
            seconds=seconds,
            act=self.act_version,
            log=tuple(self.log.other_lines),
            failures=tuple(
                map(TestbedFailureRecord.of, (*self.failures, *self._lost_containers(jobs)))
            ),
            limits=tuple(dict.fromkeys(self.limits)),
        )

    def _jobs(self) -> Iterator[JobRun]:
        """Yield the results of all jobs, with the values of their labels as far as known."""
        runners = (
            self.runner.hosted_runner(running, matrix, self.event)
            for running in self.runner.workflow.running_jobs
            for matrix in running.job.combinations or ({},)
        )
        jobs = self.log.jobs(self.runner.workflow, hung=self.hung)
        for job, runner in zip(jobs, runners, strict=True):
            yield job.model_copy(update={"label": runner.label}) if runner else job

    def _expire(self) -> None:
        self.hung = True
        limit = self.runner.file.seconds
        print_line(f"workflow for {self.event.ref_name}: stopped at the time limit of {limit} s")
        self._read_states()
        self._remove(volumes=False)

    # ---- before ----

    def _prepare(self, client: docker.DockerClient) -> Container:
        volume = f"quiverdb-e2e-{self._id}"
        client.volumes.create(volume, labels=self._labels)
        socket = urlsplit(self.runner.engine.url)
        # The socket of an engine on another computer is unknown. Assume the default.
        socket_path = socket.path if socket.scheme == "unix" else _SOCKET
        conductor = client.containers.create(
            self.runner.image,
            ["sleep", "infinity"],
            name=f"quiverdb-e2e-{self._id}-act",
            labels=self._labels,
            network=self.runner.environment.network,
            dns=["127.0.0.1"],
            **limits.options(self.runner.engine, self.runner.run, "conductor", self.runner.image),
            volumes={
                volume: {"bind": "/e2e", "mode": "rw"},
                socket_path: {"bind": _SOCKET, "mode": "rw"},
            },
        )
        conductor.start()
        self.limits.append(limits.in_force("conductor", self.runner.run, conductor.attrs))
        folder = f"/home/runner/work/{self.runner.repository.name}/{self.runner.repository.name}"
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                self._pack(tar, volume, folder)
            packed.seek(0)
            conductor.put_archive("/", packed)
        if earlier := self.runner.artifacts.get(self.run_id):
            conductor.put_archive("/var/lib", earlier)
        script = (
            "cat /opt/runner/ca-certificates.pem /conduct/ca.pem > /e2e/ca-certificates.pem && "
            f"mkdir -p {_ARTIFACTS} && mv /conduct/repository.git /e2e/ && "
            f"git clone --quiet /e2e/repository.git {folder} && cd {folder} && "
            f"git -c advice.detachedHead=false checkout --quiet {self.event.ref} && "
            "if [ -d /conduct/files ]; then cp -r /conduct/files/. .; fi && "
            "/opt/runner/act --version"
        )
        result = execute(conductor, ["sh", "-ec", script])
        if result.code:
            message = f"the repository cannot be prepared: {result.output.strip()[-300:]}"
            raise TestbedFailure("machine-lost", "runner", message)
        self.act_version = result.output.strip().splitlines()[-1]
        return conductor

    def _pack(self, tar: tarfile.TarFile, volume: str, folder: str) -> None:
        environment = self.runner.environment
        host_config = limits.host_config(
            self.runner.engine, self.runner.run, "job", self.runner.image
        )
        config = {
            "command": self._command(),
            "environment": {"GITHUB_TOKEN": environment.token, **environment.secrets},
            "folder": folder,
            "labels": self._labels,
            "dns": ["127.0.0.1"],
            "network": environment.network,
            "host_config": host_config,
            "capabilities": host_config.pop("CapAdd"),
            "prefix": f"quiverdb-e2e-{self._id}-",
            "volume": volume,
            "registered_jobs": "/conduct/registered_jobs",
            "artifacts": _ARTIFACTS,
            "attempt": self.number,
            "dockerfiles": list(self.runner.actions.dockerfiles),
            "identity": {
                "url": environment.identity_url,
                "token": environment.identity_token,
            },
        }
        event = self.runner.repository.payload(self.event, self.runner.file.path, self.release)
        add_file(tar, "conduct/config.json", json.dumps(config).encode())
        add_file(tar, "conduct/event.json", json.dumps(event).encode())
        add_file(tar, "conduct/ca.pem", environment.ca_certificate.encode())
        self.runner.repository.pack(tar, "conduct/repository.git")
        texts = {**self.runner.file.texts, **self.runner.values.texts}
        for path, text in texts.items():
            add_file(tar, f"conduct/files/{path}", text.encode())
        for target, checkout in self.runner.actions.real.items():
            tar.add(checkout, target.lstrip("/"), filter=_action_file)

    def _command(self) -> list[str]:
        runner = self.runner
        variables = {
            "GITHUB_REPOSITORY": runner.repository.full_name,
            "GITHUB_REPOSITORY_OWNER": runner.repository.owner,
            "GITHUB_RUN_ID": str(self.run_id),
            "GITHUB_RUN_NUMBER": "1",
            "GITHUB_RUN_ATTEMPT": str(self.number),
            "GITHUB_RETENTION_DAYS": "90",
            **({"E2E_EXISTING_FILES": "1"} if runner.file.existing is not None else {}),
        }
        labels = {runner.label for runner in self.hosted_runners} | {*_COMMON_LABELS}
        return [
            "/opt/runner/act",
            self.event.name,
            "--json",
            f"--workflows={runner.file.path}",
            "--eventpath=/conduct/event.json",
            f"--actor={BOT if self.event.by_workflow else ACTOR}",
            f"--defaultbranch={BRANCH}",
            "--pull=false",
            "--rm",
            "--no-skip-checkout",
            "--no-cache-server",
            "--container-daemon-socket=-",
            f"--network={runner.environment.network}",
            "--secret=GITHUB_TOKEN",
            *(f"--secret={name}" for name in runner.environment.secrets),
            *(f"--platform={label}={runner.image}" for label in sorted(labels)),
            *(f"--env={name}={value}" for name, value in variables.items()),
            *runner.actions.options,
        ]

    # ---- while it runs ----

    def _follow(self, client: docker.DockerClient, conductor: Container) -> None:
        command = ["python3", "-P", "-m", "conductor.main", "/conduct/config.json"]
        process = client.api.exec_create(
            conductor.id, command, environment={"PYTHONPATH": "/opt/runner"}
        )
        stream = client.api.exec_start(process["Id"], stream=True)
        for raw in split_lines(stream):
            try:
                line = ConductorLine.model_validate_json(raw)
            except ValueError:
                self.log.other_lines.append(raw.decode("utf-8", "replace"))
                continue
            self.log.add(line)
            if line.job:
                self._register(client, conductor, line.job)
            elif line.act:
                marker, _, request = (line.act.program_output or "").partition(" ")
                if marker == "e2e-build" and request:
                    self._build(line.act, request)
            elif line.unavailable:
                self.failures.append(self._unavailable(line.unavailable))

    def _unavailable(self, image: UnavailableImage) -> TestbedFailure:
        """Return the failure for an image that a job cannot get."""
        where = self.runner.actions.dockerfiles.get(image.image, f"image {image.image}")
        return TestbedFailure("action-unavailable", where, image.why)

    def _register(
        self, client: docker.DockerClient, conductor: Container, job: JobContainer
    ) -> None:
        environment = self.runner.environment
        container = client.containers.get(job.container)
        self.limits.append(limits.in_force("job", self.runner.run, container.attrs))
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = str(networks.get(environment.network, {}).get("IPAddress", ""))
        self.log.add_container(job.id, str(container.id), str(container.name), address)
        print_line(f"workflow {self.runner.workflow.name} for {self.event.ref_name}: job {job.id}")
        running = self._find_job(job.id, job.name)
        if environment.register:
            running = self.runner.with_environment(running, self.event)
            started = StartedRun(
                self.runner.workflow.name,
                self.runner.file.path,
                self.event,
                self.run_id,
                self.number,
            )
            environment.register(address, running, started)
        has_identity = (
            running.job.permissions.get("id-token") == "write" and environment.identity_url
        )
        # The first step of the job waits for this file. Another job may have had the address.
        registration = {f"registered_jobs/{container.id}": b"identity" if has_identity else b""}
        conductor.put_archive("/conduct", archive_of(registration))

    def _find_job(self, job: str, name: str) -> RunningJob:
        """Return the job with this id. ``name`` is as in `find_running`.

        Raises:
            TestbedFailure: ``stand-in-limited``: more than one job matches.
        """
        running = find_running(self.runner.workflow.running_jobs, job, name)
        if running is None:
            message = f"act's name {name} does not identify one job"
            raise TestbedFailure("stand-in-limited", f"job {job}", message)
        return running

    def _build(self, line: ActLine, request: str) -> None:
        try:
            build = BuildRequest.model_validate_json(request)
        except ValueError:
            return  # a step printed a line that only starts like a request
        running = self._find_job(line.job_id, line.job)
        runner = self.runner.hosted_runner(running, line.matrix or {}, self.event)
        self.builds.submit(build, runner)

    # ---- after ----

    def _read_states(self) -> None:
        """Record the states of the containers before they are removed at the time limit."""
        with (
            contextlib.suppress(*ENGINE_ERRORS),
            contextlib.closing(self.runner.engine.client(timeout_seconds=60)) as client,
        ):
            for container in self._containers(client):
                self.log.set_state(str(container.id), read_state(container))

    def _containers(self, client: docker.DockerClient) -> list[Container]:
        """Return the containers of this run, the conductor first."""
        containers = client.containers.list(all=True, filters=self._filter, ignore_removed=True)
        return sorted(containers, key=lambda container: not str(container.name).endswith("-act"))

    def _collect_artifacts(self, conductor: Container) -> None:
        chunks, _ = conductor.get_archive(_ARTIFACTS)
        archive = b"".join(chunks)
        self.runner.artifacts[self.run_id] = archive
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.artifacts = tuple(_artifacts(tar))

    def _remove(self, *, volumes: bool = True) -> None:
        """Remove all containers, volumes and built images of this run.

        What the engine does not remove now is removed by the next sweep.
        """
        with (
            contextlib.suppress(*ENGINE_ERRORS),
            contextlib.closing(self.runner.engine.client(timeout_seconds=60)) as client,
        ):
            # The conductor is first, because it can start other containers.
            for container in self._containers(client):
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
            for volume in client.volumes.list(filters=self._filter) if volumes else []:
                with contextlib.suppress(docker.errors.APIError):
                    volume.remove(force=True)
            for image in client.api.images(filters=self._filter):
                with contextlib.suppress(docker.errors.APIError):
                    client.images.remove(image["Id"], force=True)


def _secret_limits(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield (
            f"the secret {name} has a value of this run, which the local index accepts; the real "
            "value is not checked"
        )


def _image_id(engine: Engine, name: str) -> str | None:
    """Return the id of an image of the engine, or None if the engine does not have it."""
    try:
        with contextlib.closing(engine.client()) as client:
            return str(client.images.get(name).id)
    except docker.errors.ImageNotFound:
        return None
    except ENGINE_ERRORS as error:
        raise TestbedFailure("engine-unreachable", f"image {name}", str(error)) from error


def _action_file(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out the git folder of a checkout, as GitHub does; a filter for ``TarFile.add``."""
    return None if ".git" in Path(info.name).parts else builder.owned_by_root(info)


def _artifacts(tar: tarfile.TarFile) -> Iterator[WorkflowArtifact]:
    """Yield the artifacts in a copy of the folder of ``conductor/artifacts.py``."""
    top = Path(_ARTIFACTS).name
    try:
        index = tar.extractfile(f"{top}/index.json")
    except KeyError:
        return  # no artifact was uploaded
    entries = json.loads(index.read()) if index else {}
    for name, entry in sorted(entries.items()):
        if entry["complete"] and (file := tar.extractfile(f"{top}/{entry['id']}.blob")):
            content = file.read()
            try:
                files = _digests(content)
            except _DAMAGE:
                files = {name: hashlib.sha256(content).hexdigest()}
            yield WorkflowArtifact(name=name, files=files)


def _digests(content: bytes) -> dict[str, str]:
    """Return the sha256 of each file of an artifact. The files are read in parts."""
    digests = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                digest = hashlib.sha256()
                with archive.open(info) as file:
                    while part := file.read(_PART_BYTES):
                        digest.update(part)
                digests[info.filename] = digest.hexdigest()
    return digests
