"""Start runs of the workflow with act, in a container of its own, and gather what they show.

act runs in a container (the conductor) on the closed network, so that its artifact server is there
for the jobs. The jobs' containers have that network and no other; they cannot reach the engine.
What needs the engine, the building of wheels, a job asks for by a line of output.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from docker.models.containers import Container

from containers import builder, images
from containers.commands import execute
from containers.engine import Engine, Run
from containers.progress import say, step
from containers.runner import action_sources as actions_
from containers.runner.log import Log, same
from containers.runner.origin import BRANCH, Origin
from verification.models import workflow as workflows
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.pipeline import Artifact, PipelineRun, Push, Wheel
from verification.models.workflow import Job, Workflow
from verification.pipeline.triggers import Decision, Event, decide

LABEL_PIPELINE = "quiverdb-e2e.pipeline"
WORKFLOW = ".github/workflows/publish.yml"
IMAGE = "runner"
LABELS: dict[str, builder.Platform] = {"ubuntu-latest": "linux", "windows-latest": "windows"}
"""The platform that each runner label stands for."""
_BUILDS = {"linux": "cp313-manylinux_x86_64", "windows": "cp313-win_amd64"}
"""What the builder builds, in cibuildwheel's words."""
SECONDS = 1200
"""How long a run may take, all its jobs together."""
_GRACE = 20
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


class Register(Protocol):
    """Tells the forge whose container is at an address."""

    def __call__(self, address: str, job: Job, push: Push, run_id: int, attempt: int, /) -> None:
        """Register it."""


@dataclasses.dataclass(frozen=True)
class Site:
    """What the jobs find around them: the closed network, and who answers on it."""

    network: str
    authority: str
    """The certificate of the authority for the names on the network, PEM."""
    register: Register | None = None
    token: str = "ghs_none"  # noqa: S105  (act wants one; where there is no forge, none looks)
    """GITHUB_TOKEN."""
    identity: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``url`` and ``token`` with which an identity token is asked for."""


class TellsJobs(Protocol):
    """What the runner needs of a forge."""

    repository: Any
    workflow: Any

    @property
    def environment(self) -> dict[str, str]:
        """The variables through which a job gets its tokens."""

    def register(self, address: str, identity: Any) -> None:
        """Say whose container is at an address."""


def with_forge(
    forge: TellsJobs, identity: Callable[..., Any], *, network: str, authority: str
) -> Site:
    """Return the site with this forge; ``identity`` is the forge's class of job identities.

    A run of another tag than the forge was made for, or a further attempt, is told by claims.
    """
    given = forge.environment

    def register(address: str, job: Job, push: Push, run_id: int, attempt: int) -> None:
        forge.register(
            address,
            identity(
                job=job.id,
                permissions=job.permissions,
                environment=job.environment,
                claims=claims(forge, job, push, run_id, attempt),
            ),
        )

    return Site(
        network=network,
        authority=authority,
        register=register,
        token=given["GITHUB_TOKEN"],
        identity={
            "url": given["ACTIONS_ID_TOKEN_REQUEST_URL"],
            "token": given["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
        },
    )


def claims(forge: TellsJobs, job: Job, push: Push, run_id: int, attempt: int) -> dict[str, Any]:
    """Return the claims of this run that are not those that the forge was told of at its start."""
    facts, found = forge.workflow, dict[str, Any]()
    full = f"{forge.repository.owner}/{forge.repository.name}"
    if facts.sha != push.sha:
        found |= {"sha": push.sha, "workflow_sha": push.sha, "job_workflow_sha": push.sha}
    if facts.ref != push.ref:
        workflow = f"{full}/{facts.path}@{push.ref}"
        found |= {"ref": push.ref, "workflow_ref": workflow, "job_workflow_ref": workflow}
        if not job.environment:
            found["sub"] = f"repo:{full}:ref:{push.ref}"
    if facts.run_id != run_id:
        found["run_id"] = str(run_id)
    if facts.run_attempt != attempt:
        found["run_attempt"] = str(attempt)
    return found


class Runner:
    """Runs the workflow of ``origin`` for the tags that are pushed."""

    def __init__(
        self,
        engine: Engine,
        run: Run,
        origin: Origin,
        site: Site,
        *,
        workflow: str = WORKFLOW,
        actions_from: Path | None = None,
        seconds: int = SECONDS,
        run_id: int | None = None,
    ) -> None:
        self.engine = engine
        self.run = run
        self.origin = origin
        self.site = site
        self.path = workflow
        self.workflow: Workflow = workflows.load(origin.tree / workflow)
        self.actions = actions_.resolve(self.workflow, actions_from)
        self._seconds = seconds
        self._first_id = run_id
        self._artifacts: dict[int, bytes] = {}
        self._check_labels()
        self.image = images.ensure(engine, IMAGE).tag

    def _check_labels(self) -> None:
        for job in self.workflow.jobs.values():
            for label in job.runs_on:
                if label not in LABELS:
                    raise TestbedFailure(
                        "runner-unavailable",
                        self.workflow.at(job.line),
                        f"job {job.id} runs on {label}, and there are runners for "
                        f"{', '.join(LABELS)} only",
                    )

    def label(self, job: str, matrix: Mapping[str, Any]) -> str:
        """Return the runner label of one combination of a job."""
        found = self.workflow.jobs[job]
        for combination, label in zip(found.combinations or ({},), found.runs_on, strict=False):
            if same(matrix, combination):
                return label
        return found.runs_on[0]

    def push(self, tags: Sequence[str], *, annotated: bool = True) -> list[PipelineRun]:
        """Push ``tags`` at once; return the run of each, in their order. The runs are parallel.

        Raises:
            TestbedFailure: the engine, an image or the conductor is not as needed.
            WrongUse: a tag is none.
        """
        if not tags:
            raise WrongUse("no tag is given to push")
        pushes = [self.origin.tag(tag, annotated=annotated) for tag in tags]
        return self.start(pushes)

    def start(self, pushes: Sequence[Push]) -> list[PipelineRun]:
        """Run the workflow for tags that ``origin`` has; as `push`, for one push of them all."""
        ids = []
        for _ in pushes:
            ids.append(self._first_id or next(_numbers))
            self._first_id = None
        decisions = [
            decide(
                self.workflow,
                Event("push", push.ref, message=self.origin.message(push), tags=len(pushes)),
            )
            for push in pushes
        ]
        with ThreadPoolExecutor(len(pushes)) as pool:
            return list(pool.map(self._one, pushes, ids, [1] * len(pushes), decisions))

    def rerun(self, previous: PipelineRun) -> PipelineRun:
        """Run all jobs of a run once more: the next attempt, with the artifacts it has.

        Raises:
            TestbedFailure: as `push`.
            WrongUse: the run was never started.
        """
        if not previous.triggered:
            raise WrongUse(f"the push of {previous.push.tag} started no run that could be repeated")
        decision = Decision(True, f"attempt {previous.attempt + 1} of run {previous.run_id}")
        return self._one(previous.push, previous.run_id, previous.attempt + 1, decision)

    def _one(self, push: Push, run_id: int, attempt: int, decision: Decision) -> PipelineRun:
        began = time.time()
        log = Log()
        conducted: _Conducted | None = None
        if decision.triggered:
            with step(f"workflow {self.workflow.name} for {push.tag}"):
                conducted = _Conducted(self, push, run_id, attempt, log)
                conducted.go()
        hung = bool(conducted and conducted.hung)
        jobs = log.jobs(self.workflow, hung=hung)
        if not decision.triggered:
            result = "not triggered"
        elif hung:
            result = "hung"
        else:
            good = log.ended == 0 and all(job.result in ("success", "skipped") for job in jobs)
            result = "success" if good else "failure"
        return PipelineRun(
            push=push,
            run_id=run_id,
            attempt=attempt,
            triggered=decision.triggered,
            decision=decision.reason,
            result=result,
            jobs=jobs,
            artifacts=conducted.artifacts if conducted else (),
            wheels=tuple(conducted.wheels) if conducted else (),
            actions=self.actions.uses,
            unsupported=tuple(log.unsupported),
            stand_ins=_STAND_INS,
            seconds=time.time() - began,
            act=conducted.act if conducted else "",
            log=tuple(log.others),
        )

    def kept(self, run_id: int) -> bytes | None:
        """Return the artifacts that earlier attempts of a run left, packed."""
        return self._artifacts.get(run_id)

    def keep(self, run_id: int, packed: bytes) -> None:
        """Keep the artifacts of a run for a further attempt."""
        self._artifacts[run_id] = packed


class _Conducted:
    """One attempt of one run, from its conductor's start to its end."""

    def __init__(self, runner: Runner, push: Push, run_id: int, attempt: int, log: Log) -> None:
        self.runner = runner
        self.push = push
        self.run_id = run_id
        self.attempt = attempt
        self.log = log
        self.hung = False
        self.act = ""
        self.artifacts: tuple[Artifact, ...] = ()
        self.wheels: list[Wheel] = []
        self._id = f"{runner.run.id}-{secrets.token_hex(3)}"
        self._labels = {**runner.run.labels(), LABEL_PIPELINE: self._id}
        self._client = runner.engine.client()
        self._failures: list[TestbedFailure] = []
        self._builds = ThreadPoolExecutor(2)
        self._ending = threading.Event()

    def go(self) -> None:
        """Run it and gather what it shows; leave nothing behind.

        Raises:
            TestbedFailure: the engine, the conductor or the builder is not as needed.
        """
        timer = threading.Timer(self.runner._seconds, self._expire)
        timer.daemon = True
        try:
            conductor = self._prepared()
            timer.start()
            self._follow(conductor)
            if not self.hung:
                self._gather(conductor)
        except (docker.errors.DockerException, requests.RequestException) as error:
            if not self.hung:
                told = " ".join(str(error).split())[:400]
                raise TestbedFailure("machine-lost", "runner", told) from error
        finally:
            timer.cancel()
            self._ending.set()
            self._remove()
            self._builds.shutdown(wait=not self.hung, cancel_futures=True)
            self._client.close()
        if self._failures:
            raise self._failures[0]
        if not self.hung and self.log.ended is None:
            raise TestbedFailure("machine-lost", "runner", "act's container ended before act did")
        if self.log.ended and not self.log.began:
            told = " ".join(self.log.others[-3:])[:400] or f"it ended with {self.log.ended}"
            raise TestbedFailure("machine-lost", "act", f"it started no job: {told}")

    def _expire(self) -> None:
        self.hung = True
        say(f"workflow for {self.push.tag}: ended after {self.runner._seconds} s")
        self._remove(volumes=False)

    # ---- before ----

    def _prepared(self) -> Container:
        volume = f"quiverdb-e2e-{self._id}"
        self._client.volumes.create(volume, labels=self._labels)
        socket = urlsplit(self.runner.engine.url)
        # An engine that is reached over the network has its socket where engines have it.
        place = socket.path if socket.scheme == "unix" else _SOCKET
        conductor = self._client.containers.create(
            self.runner.image,
            ["sleep", "infinity"],
            name=f"quiverdb-e2e-{self._id}-act",
            labels=self._labels,
            network=self.runner.site.network,
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
        if earlier := self.runner.kept(self.run_id):
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
            told = f"cannot be prepared: {done.output.strip()[-300:]}"
            raise TestbedFailure("machine-lost", "runner", told)
        self.act = done.output.strip().splitlines()[-1]
        return conductor

    def _pack(self, tar: tarfile.TarFile, volume: str, folder: str) -> None:
        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))

        config = {
            "command": self._command(),
            "environment": {"GITHUB_TOKEN": self.runner.site.token},
            "folder": folder,
            "labels": self._labels,
            "dns": ["127.0.0.1"],
            "prefix": f"quiverdb-e2e-{self._id}-",
            "volume": volume,
            "known": "/conduct/known",
            "artifacts": _ARTIFACTS,
            "attempt": self.attempt,
            "identity": {
                "url": "",
                "token": "",
                **self.runner.site.identity,
                "jobs": [
                    job.id
                    for job in self.runner.workflow.jobs.values()
                    if job.permissions.get("id-token") == "write" and self.runner.site.identity
                ],
            },
        }
        add("conduct/config.json", json.dumps(config).encode())
        add("conduct/event.json", json.dumps(self.runner.origin.event(self.push)).encode())
        add("conduct/ca.pem", self.runner.site.authority.encode())
        with tempfile.TemporaryFile() as repository:
            with tarfile.open(fileobj=repository, mode="w") as inner:
                self.runner.origin.pack(inner)
            repository.seek(0)
            with tarfile.open(fileobj=repository) as inner:
                for member in inner:
                    member.name = f"conduct/{member.name}"
                    tar.addfile(member, inner.extractfile(member) if member.isfile() else None)
        for place, have in self.runner.actions.real.items():
            tar.add(have, place.lstrip("/"))

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
            f"--workflows={runner.path}",
            "--eventpath=/conduct/event.json",
            f"--actor={_ACTOR}",
            f"--defaultbranch={BRANCH}",
            "--pull=false",
            "--rm",
            "--no-skip-checkout",
            "--no-cache-server",
            "--container-daemon-socket=-",
            f"--network={runner.site.network}",
            "--secret=GITHUB_TOKEN",
            *(f"--platform={label}={runner.image}" for label in LABELS),
            *(f"--env={name}={value}" for name, value in variables.items()),
            *runner.actions.options,
        ]

    # ---- while it runs ----

    def _follow(self, conductor: Container) -> None:
        command = ["python3", "-P", "-m", "conductor.main", "/conduct/config.json"]
        started = self._client.api.exec_create(
            conductor.id, command, environment={"PYTHONPATH": "/opt/runner"}
        )
        stream = self._client.api.exec_start(started["Id"], stream=True)
        for raw in _lines(stream):
            try:
                told = json.loads(raw)
            except ValueError:
                self.log.others.append(raw.decode("utf-8", "replace"))
                continue
            if "job" in told:
                self._arrived(conductor, told["job"])
                continue
            said = self.log.add(told)
            if said and said.startswith("e2e-build "):
                line = told["act"]
                label = self.runner.label(line["jobID"], line.get("matrix") or {})
                asked = json.loads(said.partition(" ")[2])
                self._builds.submit(self._build, asked, LABELS[label])

    def _arrived(self, conductor: Container, told: Mapping[str, str]) -> None:
        container = self._client.containers.get(told["container"])
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = str(networks.get(self.runner.site.network, {}).get("IPAddress", ""))
        self.log.container(told["id"], str(container.id), str(container.name), address)
        say(f"workflow {self.runner.workflow.name} for {self.push.tag}: job {told['id']}")
        job = self.runner.workflow.jobs.get(told["id"])
        if job and self.runner.site.register:
            self.runner.site.register(address, job, self.push, self.run_id, self.attempt)
        # The job's first step waits for this: the address may have been another job's before.
        conductor.put_archive("/conduct", _tar({f"known/{container.id}": b""}))

    def _build(self, asked: Mapping[str, Any], platform: builder.Platform) -> None:
        """Build what a job asks for, and put it into the job's container."""
        began = time.time()
        answer: dict[str, Any] = {"error": "", "unsupported": "", "reused": False}
        files: dict[str, bytes] = {"build.log": b""}
        with contextlib.closing(self.runner.engine.client()) as client:
            try:
                container = client.containers.get(asked["container"])
                if declined := _declined(asked["would"][platform], platform):
                    self._answer(container, asked, files, answer | declined)
                    return
                with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-checkout-") as scratch:
                    source = _fetch(container, asked["source"], Path(scratch))
                    wheel = builder.build(
                        self.runner.engine,
                        source,
                        self.runner.run,
                        platform=platform,
                    )
                content = wheel.read_bytes()
                reused = wheel.stat().st_mtime < began - 0.5
                answer["reused"] = reused
                files[wheel.name] = content
                files["build.log"] = _read(builder.log_of(platform, wheel))
                self.wheels.append(
                    Wheel(
                        wheel.name,
                        hashlib.sha256(content).hexdigest(),
                        platform,
                        reused,
                        time.time() - began,
                    )
                )
            except BuildFailed as error:
                answer["error"] = f"cibuildwheel: {error}"
                files["build.log"] = _read(Path(error.log))
            except (TestbedFailure, images.Unavailable) as error:
                failure = (
                    error
                    if isinstance(error, TestbedFailure)
                    else TestbedFailure("image-build-failed", "builder", str(error))
                )
                self._failures.append(failure)
                answer["error"] = f"the testbed failed: {error}"
            except WrongUse as error:
                answer["error"] = f"cibuildwheel: {error}"
            except (docker.errors.DockerException, requests.RequestException, OSError) as error:
                if not self._ending.is_set():
                    self._failures.append(TestbedFailure("machine-lost", "runner", str(error)))
                return
            self._answer(container, asked, files, answer | {"seconds": time.time() - began})

    def _answer(
        self,
        container: Container,
        asked: Mapping[str, Any],
        files: dict[str, bytes],
        answer: dict[str, Any],
    ) -> None:
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            # The answer comes last: it says that all is there.
            for batch in (files, {"done.json": json.dumps(answer).encode()}):
                container.put_archive(asked["answer"], _tar(batch))

    # ---- after ----

    def _gather(self, conductor: Container) -> None:
        chunks, _ = conductor.get_archive(_ARTIFACTS)
        packed = b"".join(chunks)
        self.runner.keep(self.run_id, packed)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            self.artifacts = tuple(_artifacts(tar))

    def _remove(self, *, volumes: bool = True) -> None:
        """Remove all that this run started; what the engine does not remove, the sweep does."""
        asked: dict[str, Any] = {"label": f"{LABEL_PIPELINE}={self._id}"}
        with (
            contextlib.suppress(docker.errors.DockerException, requests.RequestException),
            contextlib.closing(self.runner.engine.client(timeout_seconds=60)) as client,
        ):
            found = client.containers.list(all=True, filters=asked, ignore_removed=True)
            # The conductor first: it would start others.
            for container in sorted(found, key=lambda c: not str(c.name).endswith("-act")):
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
            for volume in client.volumes.list(filters=asked) if volumes else []:
                with contextlib.suppress(docker.errors.APIError):
                    volume.remove(force=True)


def _declined(would: Sequence[str], platform: builder.Platform) -> dict[str, str]:
    """Return why the builder does not build what cibuildwheel would; nothing if it does."""
    if not would:
        return {"error": "cibuildwheel: No build identifiers selected"}
    if list(would) == [_BUILDS[platform]]:
        return {}
    return {
        "unsupported": f"cibuildwheel would build {', '.join(would)}, and the builder here builds "
        f"{_BUILDS[platform]}"
    }


def _fetch(container: Container, folder: str, into: Path) -> Path:
    chunks, _ = container.get_archive(folder)
    with tempfile.TemporaryFile() as packed:
        packed.writelines(chunks)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            tar.extractall(into, filter="data")
    return into / Path(folder).name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b"(the log of this build is gone)\n"


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _artifacts(tar: tarfile.TarFile) -> Iterator[Artifact]:
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
            with contextlib.suppress(zipfile.BadZipFile):
                yield Artifact(name, _digests(content))
                continue
            yield Artifact(name, {name: hashlib.sha256(content).hexdigest()})


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
