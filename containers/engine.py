"""Find or start a Docker-compatible engine. Label what runs start, and remove it afterwards."""

from __future__ import annotations

import contextlib
import datetime
import functools
import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import docker
import docker.errors
from docker.constants import DEFAULT_DOCKER_API_VERSION

from containers import temporary
from containers.endpoint import DEFAULT, DEFAULT_CONTEXT, Endpoint, endpoints, of_context
from containers.engine_client import ENGINE_ERRORS, EngineClient, failing_as
from containers.image_registry import ImageRegistry
from containers.owner import identity, is_dead
from containers.progress import print_line, step
from containers.state import locked, state_folder
from verification.models.base import Model
from verification.models.errors import TestbedFailure
from verification.models.limits import LimitOptions

LABEL_RUN = "quiverdb-e2e.run"
LABEL_OWNER = "quiverdb-e2e.owner"
LABEL_IMAGE = "quiverdb-e2e.image"
KEPT_PREFIX = "quiverdb-e2e-kept-"
"""The prefix of the name of a kept container. The engine can change a name, but not a label."""
KEPT_HOURS = 24
_BUILD_PREFIX = "quiverdb-e2e-build-"
"""The prefix of the name of a container that becomes an image. The image would inherit a label."""

_PID_FILES = {  # a killed daemon leaves its pid file, and the system reuses the process number
    Path("/var/run/docker.pid"): "dockerd",
    Path("/run/docker/containerd/containerd.pid"): "containerd",
}
_START_SECONDS = 60
_RETRY_SECONDS = 0.5
_GROUP_ACCESS = 0o060
_USE_DEFAULT_CONTEXT = "unset DOCKER_CONTEXT; docker context use default"
"""The shell command after which Docker uses its default context."""


class Engine(Endpoint):
    """An engine that answered."""

    name: str = ""
    """The name by which the user selected it with ``--engine``, or empty."""
    version: str
    os: str
    """``linux`` or ``windows``: the kind of containers that it runs."""
    architecture: str = ""
    """The architecture of its containers, such as ``amd64``."""
    registry: ImageRegistry | None = None
    """The registry from which it pulls images; None if it builds them."""

    def client(self, timeout_seconds: int = 600) -> EngineClient:
        """Return a new client for this engine."""
        return EngineClient(self, timeout_seconds)

    def library_arguments(self) -> dict[str, bool | str | dict[str, str]]:
        """Return the `docker_client_kw` that make testcontainers use this engine.

        Without them the library uses the environment and the current Docker context. With a version
        it sends no request: `containers.network` replaces its client.
        """
        return {
            "environment": self.environment(),
            "use_context": False,
            "use_ssh_client": True,
            "version": DEFAULT_DOCKER_API_VERSION,
        }

    def answers(self) -> bool:
        """Return True if the engine still answers."""
        return isinstance(connect(self), Engine)

    def processors(self) -> int:
        """Return the number of its processors.

        Raises:
            TestbedFailure: ``engine-unreachable``: it does not answer.
        """
        with (
            failing_as("engine-unreachable", f"engine {self.name or self.url}"),
            contextlib.closing(self.client()) as client,
        ):
            return int(client.info()["NCPU"])


def connect(endpoint: Endpoint, timeout_seconds: int = 5) -> Engine | str:
    """Return the engine that answers at ``endpoint``, or one line that says why none answers."""
    socket = Path(endpoint.url.removeprefix("unix://"))
    if endpoint.url.startswith("unix://") and not socket.exists():
        return f"{endpoint.url} ({endpoint.origin}): there is no such socket"
    if _permission_obstacle(socket):
        return f"{endpoint.url} ({endpoint.origin}): an engine may run, but it refuses this user"
    try:
        client = EngineClient(endpoint, timeout_seconds, pauses=())
        try:
            version = client.version()
        finally:
            client.close()
    except (
        *ENGINE_ERRORS,
        OSError,
        ValueError,  # the address is malformed
    ) as error:
        reason = " ".join(str(error).split())
        return f"{endpoint.url} ({endpoint.origin}): no engine answers: {reason[:200]}"
    return Engine(
        **endpoint.model_dump(include=set(Endpoint.model_fields)),
        version=version["Version"],
        os=version["Os"],
        architecture=version.get("Arch", ""),
    )


def find() -> tuple[Engine | None, list[str]]:
    """Return the first engine that answers, and why none answers at each endpoint before it."""
    reasons: list[str] = []
    for endpoint in endpoints():
        answer = connect(endpoint)
        if isinstance(answer, Engine):
            return answer, reasons
        reasons.append(answer)
        if endpoint.named_by_user:
            break
    return None, reasons


def ensure(*, provision: bool = True) -> Engine:
    """Return an engine that answers. If none does and ``provision`` is true, start one.

    Raises:
        TestbedFailure: ``engine-unreachable`` with the endpoints that were tried and a remedy.
    """
    engine, reasons = find()
    if engine:
        return engine
    if obstacle := start_obstacle(provision=provision):
        raise TestbedFailure(
            "engine-unreachable", "engine", f"{'; '.join(reasons)}. None is started: {obstacle}"
        )
    with locked("engine"):
        engine, _ = find()  # another run may have started it before it released the lock
        if engine is None:
            _install(("dockerd",), ("docker.io",))
            install_client()
            _start_daemon()
            engine, reasons = find()
    if engine is None:
        raise TestbedFailure("engine-unreachable", "engine", "; ".join(reasons))
    return engine


def named(name: str, *, provision: bool = True) -> Engine:
    """Return the engine of a Docker context. The name ``default`` stands for that of `ensure`.

    Raises:
        WrongUse: there is no such context.
        TestbedFailure: ``engine-unreachable``: the engine does not answer.
    """
    if name == DEFAULT_CONTEXT:
        return ensure(provision=provision).model_copy(update={"name": name})
    answer = connect(of_context(name))
    if isinstance(answer, str):
        raise TestbedFailure("engine-unreachable", f"engine {name}", answer)
    return answer.model_copy(update={"name": name})


class Obstacle(Model):
    """Why `ensure` starts no engine, and what the user can do."""

    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.reason}. To fix it, {self.fix}"


def start_obstacle(*, provision: bool = True) -> Obstacle | None:
    """Return why `ensure` would not start an engine, or None if it would."""
    endpoint = next(endpoints())
    if denied := _permission_obstacle(Path(endpoint.url.removeprefix("unix://"))):
        return denied
    if endpoint.named_by_user:
        fix = "unset DOCKER_HOST" if endpoint.origin == "DOCKER_HOST" else _USE_DEFAULT_CONTEXT
        reason = f"{endpoint.origin} names the engine"
        return Obstacle(reason=reason, fix=f"start that engine, or run: {fix}")
    obstacle = provision_obstacle()
    if obstacle is None and provision:
        return None
    if shutil.which("dockerd"):
        fix = f"as root run: {'systemctl start docker' if _has_systemd() else 'dockerd'}"
    elif is_debian():
        start = "" if _has_systemd() else " && dockerd"
        fix = f"as root run: apt-get install docker.io{start}"
    else:
        fix = "install and start Docker or podman, or set DOCKER_HOST to the address of an engine"
    if obstacle is None:
        return Obstacle(reason="--no-provision is set", fix=f"{fix}; or omit --no-provision")
    return Obstacle(reason=obstacle, fix=fix)


def _permission_obstacle(socket: Path) -> Obstacle | None:
    """Return the obstacle if an engine has a socket that this user cannot use."""
    if not socket.is_socket() or os.access(socket, os.R_OK | os.W_OK):
        return None
    user, status = pwd.getpwuid(os.geteuid()).pw_name, socket.stat()
    group = grp.getgrgid(status.st_gid).gr_name
    reason = f"{socket} belongs to the group {group}, and the user {user} is not in it"
    if status.st_gid == 0 or status.st_mode & _GROUP_ACCESS != _GROUP_ACCESS:
        reason = f"only root can use {socket}"
        return Obstacle(reason=reason, fix="run the command as root")
    fix = f"as root run: usermod --append --groups {group} {user}; then log in again"
    return Obstacle(reason=reason, fix=fix)


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def provision_obstacle() -> str | None:
    """Return why this host cannot install and start an engine, or None if it can."""
    if os.geteuid() != 0:
        return "only root can install packages and start an engine"
    if not is_debian():
        return "packages can be installed on Debian and Ubuntu only"
    return None


def is_debian() -> bool:
    """Return True if this host is Debian or a derivative with apt-get."""
    try:
        lines = Path("/etc/os-release").read_text("utf-8").splitlines()
    except OSError:
        return False
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    family = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in family and shutil.which("apt-get") is not None


def package_fix(*packages: str) -> str:
    """Return what the user can do if Debian packages are missing."""
    if is_debian():
        return f"as root run: apt-get install {' '.join(packages)}"
    return f"install {' '.join(packages)} with the package manager of this system"


def install_packages(programs: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Install Debian ``packages`` unless all ``programs`` are on PATH.

    Raises:
        TestbedFailure: ``engine-unreachable``: apt-get fails, or this host cannot use it.
    """
    with locked("apt"):
        _install(programs, packages)


def _install(programs: tuple[str, ...], packages: tuple[str, ...]) -> None:
    if all(shutil.which(program) for program in programs):
        return
    if obstacle := provision_obstacle():
        raise TestbedFailure(
            "engine-unreachable",
            "apt-get",
            f"{' '.join(packages)} must be installed, but {obstacle}. "
            f"To fix it, {package_fix(*packages)}",
        )
    apt = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)} with apt-get"):
        for command in (
            (*apt, "update"),
            (*apt, "install", "--no-install-recommends", *packages),
        ):
            result = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if result.returncode:
                last_line = (result.stderr.strip().splitlines() or ["no output"])[-1]
                raise TestbedFailure(
                    "engine-unreachable",
                    "apt-get",
                    f"`{' '.join(command)}` ended with exit code {result.returncode}: {last_line}",
                )


def install_client() -> None:
    """Install the ``docker`` command if it is missing. cibuildwheel uses it.

    From Debian 13 on, it is in the package docker-cli, before that in docker.io.

    Raises:
        TestbedFailure: ``engine-unreachable``: it cannot be installed.
    """
    if shutil.which("docker"):
        return
    _install(("docker",), (client_package(),))


def client_package() -> str:
    """Return the Debian package with the ``docker`` command."""
    try:
        show = ("apt-cache", "show", "docker-cli")
        result = subprocess.run(show, capture_output=True, check=False)
    except OSError:  # not Debian
        return "docker.io"
    return "docker.io" if result.returncode else "docker-cli"


def _process_ids(program: str) -> list[int]:
    process_ids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text("utf-8").strip() == program:
                process_ids.append(int(folder.name))
        except OSError:
            continue  # the process ended
    return process_ids


def remove_stale_pid_files(pid_files: dict[Path, str] | None = None) -> list[Path]:
    """Remove the pid files whose process is gone or is another program. Return these files.

    ``pid_files`` maps the path of each pid file to the name of the program that writes it.
    """
    removed = []
    for path, program in (_PID_FILES if pid_files is None else pid_files).items():
        try:
            pid = int(path.read_text("utf-8").strip() or 0)
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            pid = 0
        if pid not in _process_ids(program):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _start_daemon() -> None:
    log = state_folder() / "dockerd.log"
    process: subprocess.Popen[bytes] | None = None
    if _process_ids("dockerd"):
        print_line("a Docker engine is already starting; waiting for it")
    elif _has_systemd():
        print_line("starting the Docker engine: systemctl start docker")
        subprocess.run(("systemctl", "start", "docker"), capture_output=True, check=False)
    else:
        for path in remove_stale_pid_files():
            print_line(f"removed the stale pid file {path}")
        print_line(f"starting the Docker engine: dockerd (log: {log})")
        with log.open("wb") as output:
            process = subprocess.Popen(
                ("dockerd",),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The daemon outlives the temporary folder of this program.
                env={**os.environ, "TMPDIR": str(temporary.shared_folder())},
            )
        (state_folder() / "dockerd.pid").write_text(str(process.pid), "utf-8")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if isinstance(connect(DEFAULT, 2), Engine):
            if process:
                # The daemon outlives this program. CPython warns about a Popen object that is
                # deleted without a return code (subprocess, Popen.__del__).
                process.returncode = 0
            return
        if process and process.poll() is not None:
            lines = log.read_text("utf-8", "replace").strip().splitlines() or ["no output"]
            raise TestbedFailure(
                "engine-unreachable",
                "dockerd",
                f"ended with exit code {process.returncode} while starting: {lines[-1][:300]} "
                f"(log: {log})",
            )
        time.sleep(0.2)
    raise TestbedFailure(
        "engine-unreachable", "dockerd", f"no answer after {_START_SECONDS} s (log: {log})"
    )


def stop_provided() -> bool:
    """Stop the daemon that this project started. Return True if it was still running."""
    path = state_folder() / "dockerd.pid"
    try:
        pid = int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    path.unlink()
    if pid not in _process_ids("dockerd"):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while pid in _process_ids("dockerd") and time.monotonic() < deadline:
        time.sleep(0.1)
    return True


# ---- runs, labels and the sweep ----


class Run(Model):
    """One run of the suite. Everything that it makes on the engine has its labels."""

    id: str
    owner: str
    limits: LimitOptions | None = None
    """The limits of the containers that run the package's code; None for the default ones."""

    @classmethod
    def new(cls, limits: LimitOptions | None = None) -> Run:
        """Return a new run whose owner is this process."""
        return cls(id=uuid.uuid4().hex[:10], owner=identity(os.getpid()), limits=limits)

    def labels(self) -> dict[str, str]:
        """Return the labels for everything that this run starts."""
        return {LABEL_RUN: self.id, LABEL_OWNER: self.owner}


def age_hours_of(attributes: Mapping[str, object]) -> float:
    """Return the age of an object of the engine; 0 if its time of creation cannot be read."""
    created = str(attributes.get("Created") or attributes.get("CreatedAt") or "")
    try:
        created_at = datetime.datetime.fromisoformat(created)
    except ValueError:
        return 0.0
    if created_at.tzinfo is None:
        created_at = created_at.replace(tzinfo=datetime.UTC)
    return max(0.0, (datetime.datetime.now(datetime.UTC) - created_at).total_seconds() / 3600)


def sweep(client: docker.DockerClient, *, run: str | None = None, everything: bool = False) -> int:
    """Remove what runs that have ended left on the engine. Return the number of objects.

    These are containers, networks, volumes, and the images that actions of a workflow built.

    With ``run``, remove only those of this run. With ``everything``, remove those of all runs.
    Without ``everything``, a kept container stays for 24 hours.

    Raises:
        TestbedFailure: ``engine-unreachable``: the engine does not answer.
    """
    label = f"{LABEL_RUN}={run}" if run else LABEL_RUN
    removed = 0

    def is_due(age_hours: float, labels: Mapping[str, str] | None) -> bool:
        owner = (labels or {}).get(LABEL_OWNER, "")
        return bool(run or everything or is_dead(owner, age_hours))

    try:
        for container in client.containers.list(
            all=True, filters={"label": label}, ignore_removed=True
        ):
            age_hours = age_hours_of(container.attrs)
            stays = is_kept(container.name) and age_hours < KEPT_HOURS
            if everything or (not stays and is_due(age_hours, container.labels)):
                removed += _remove(functools.partial(container.remove, force=True, v=True))
        removed += 0 if run else _sweep_builds(client, everything=everything)
        for network in client.networks.list(filters={"label": label}):
            if is_due(age_hours_of(network.attrs), network.attrs.get("Labels")):
                removed += _remove(network.remove)
        for volume in client.volumes.list(filters={"label": label}):
            if is_due(age_hours_of(volume.attrs), volume.attrs.get("Labels")):
                removed += _remove(functools.partial(volume.remove, force=True))
        for image in client.api.images(filters={"label": label}):
            if is_due((time.time() - image["Created"]) / 3600, image["Labels"]):
                removed += _remove(functools.partial(client.images.remove, image["Id"], force=True))
    except ENGINE_ERRORS as error:
        raise TestbedFailure("engine-unreachable", "sweep", str(error)) from error
    return removed


def build_name() -> str:
    """Return a name for a container that becomes an image. It has the owner of the container."""
    return f"{_BUILD_PREFIX}{identity(os.getpid()).replace(':', '_')}-{uuid.uuid4().hex[:8]}"


def _sweep_builds(client: docker.DockerClient, *, everything: bool) -> int:
    """Remove the containers of builds that have ended. Return their number."""
    removed = 0
    for container in client.containers.list(
        all=True, filters={"name": _BUILD_PREFIX}, ignore_removed=True
    ):
        name = (container.name or "").removeprefix(_BUILD_PREFIX)
        owner = name.rpartition("-")[0].replace("_", ":")
        if everything or is_dead(owner, age_hours_of(container.attrs)):
            removed += _remove(functools.partial(container.remove, force=True, v=True))
    return removed


def is_kept(name: str | None) -> bool:
    """Return True if the container with this name is kept for its user."""
    return (name or "").lstrip("/").startswith(KEPT_PREFIX)


def remove_kept(client: docker.DockerClient) -> int:
    """Remove the kept containers of all runs and their networks.

    Return the number of removed containers and networks.
    """
    removed = 0
    try:
        runs = set()
        for container in client.containers.list(
            all=True, filters={"label": LABEL_RUN}, ignore_removed=True
        ):
            if is_kept(container.name):
                runs.add(container.labels[LABEL_RUN])
                removed += _remove(functools.partial(container.remove, force=True, v=True))
        for run in runs:
            for network in client.networks.list(filters={"label": f"{LABEL_RUN}={run}"}):
                removed += _remove(network.remove)
    except ENGINE_ERRORS as error:
        raise TestbedFailure("engine-unreachable", "clean", str(error)) from error
    return removed


def _remove(remove: Callable[[], None]) -> int:
    """Call ``remove``, which removes an object of the engine.

    Return 1, or 0 if another sweep removes the object.

    The engine can answer 500 if two programs remove one container at the same time. The removal is
    therefore tried three times.
    """
    for is_last_attempt in (False, False, True):
        try:
            remove()
        except docker.errors.NotFound:
            return 0
        except docker.errors.APIError as error:
            if error.status_code in (403, 409):  # it, or a container that uses it, is being removed
                return 0
            if is_last_attempt:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            break
    return 1


def remove_images(client: docker.DockerClient) -> int:
    """Remove every image of this project. Return how many were removed."""
    images = client.images.list(filters={"label": LABEL_IMAGE})
    for image in images:
        for tag in image.tags or [str(image.id)]:
            client.images.remove(tag, force=True)
    return len(images)
