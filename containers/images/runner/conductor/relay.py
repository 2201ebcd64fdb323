"""The relay between act and the engine.

act derives the names of containers, volumes and images from the workflow only, so two runs of one
workflow would use the same ones. act does not label volumes. Therefore act's requests to the engine
go through this relay:

- It gives all containers, volumes and built images a name and labels of the run.
- It mounts the volume of the run into all containers.
- It puts all containers on the closed network of the run, whatever the options of a job say. It
  refuses options with which a job reaches the host in another way.
- It reports the container of each job, and the state of each container that act removes.
- It gives the container of a Docker action what GitHub gives it: the folder ``/github/workspace``,
  and the network of the job. Variables name the CA of the run.
- It sets the two variables for requests of identity tokens, only in jobs with the permission, as
  GitHub does.
- It refuses to pull an image, and builds images only from images of the engine and without a
  network. A refusal is reported.

The TypedDict classes have only the keys of the engine's API that the relay reads or changes.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

from .config import Config
from .dockerfile import labelled_context, outside_sources
from .engine_http import ENGINE, EngineRequest, Refusal, get, post
from .output import Json, report

RELAY = "/run/relay.sock"
_CREATE = re.compile(r"/v[\d.]+/containers/create$")
_EXEC = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})/exec$")
_REMOVE = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})$")
_PULL = re.compile(r"/v[\d.]+/images/create$")
_BUILD = re.compile(r"/v[\d.]+/build$")
_IMAGE = re.compile(r"(/v[\d.]+/images/)([^/]+)((?:/json)?)$")
_NETWORK = re.compile(r"/v[\d.]+/networks/create$")
_BUILT_IMAGE = re.compile(r"act-(?:[a-z0-9-]+-)?dockeraction:latest")
"""The names that act gives to the images of actions with a Dockerfile."""
_BUILD_ERROR = re.compile(rb'"errorDetail":\{.*?"message":("(?:[^"\\]|\\.)*")')
_OF_CONTAINER = "container:"
_WORKSPACE = "/github/workspace"
"""The folder of the repository in a Docker action on GitHub."""
_CA_CERTIFICATES = "/e2e/ca-certificates.pem"
_CA_VARIABLES = (
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_HOST_CAPABILITIES = frozenset(
    {"ALL", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO"}
)
"""The capabilities that change the network, send any packet, or change the kernel
(capabilities(7))."""
_KILLED = 137
_CREATED = 201
_COUNTED = re.compile(r"memory\.\w+:(oom_kill) [1-9]|(pids)\.events:max [1-9]")
# The files of cgroup v1 and v2 with counters.
_COUNTERS = [
    f"/sys/fs/cgroup/{name}"
    for name in (
        *("memory/memory.oom_control", "pids/pids.events"),
        *("memory.events", "pids.events"),
    )
]
_REGISTRATION_SECONDS = 10.0


class Mount(TypedDict, total=False):
    """A mount of a container."""

    Type: str
    Source: str
    Target: str
    ReadOnly: bool
    VolumeOptions: dict[str, Json]


class HostConfig(TypedDict, total=False):
    """The host settings of a container."""

    Binds: list[str] | None
    CapAdd: list[str] | None
    Devices: list[Json] | None
    Dns: list[str]
    Mounts: list[Mount] | None
    NetworkMode: str
    PidMode: str
    Privileged: bool


class CreateRequest(TypedDict, total=False):
    """A request to create a container."""

    Env: list[str] | None
    HostConfig: HostConfig
    Image: str
    Labels: dict[str, str] | None
    WorkingDir: str


class ExecRequest(TypedDict, total=False):
    """A request to start a program in a container."""

    Env: list[str] | None


class Relay:
    """Forwards requests to the engine. Changes requests that create containers or run programs."""

    def __init__(self, config: Config, act_service: str, service: str) -> None:
        """Listen. In variables of jobs, ``service`` replaces the URL ``act_service``."""
        self._config = config
        self._act_service = act_service
        self._service = service
        self._reported: set[str] = set()
        self._containers: dict[str, str] = {}
        """The ids of the created containers by name."""
        self._of_actions: set[str] = set()
        """The ids of the containers of Docker actions."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(RELAY)
        self._listener.listen(64)

    def start(self) -> None:
        """Serve in a background thread until the process ends."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            request = EngineRequest.receive(client)
            if request is None:
                return
            try:
                self._change(request, client)
            except Refusal as refusal:
                client.sendall(refusal.response())
                return
            engine.connect(ENGINE)
            engine.sendall(request.encode())
            upload = threading.Thread(target=_copy, args=(client, engine), daemon=True)
            upload.start()
            response = _copy(engine, client, keep=_is_read(request))
            if request.method == "POST" and _CREATE.search(request.path):
                self._keep_container(request, response)
            elif request.method == "POST" and _BUILD.search(request.path):
                _check_build(request, response)
            upload.join(timeout=1)

    def _change(self, request: EngineRequest, client: socket.socket | None) -> None:
        """Change a request for the engine.

        Raises:
            Refusal: the engine must not get the request.
        """
        if match := _IMAGE.search(request.path):
            request.path = f"{match[1]}{self._image(match[2])}{match[3]}"
        if request.method == "DELETE" and (removes := _REMOVE.search(request.path)):
            self._report_removal(removes[1])
        if request.method != "POST":
            return
        if _CREATE.search(request.path):
            name = self._config.prefix + request.parameters.get("name", [""])[0]
            request.set_parameters(name=name)
            creation: CreateRequest = json.loads(request.read_body(client))
            self._change_creation(creation)
            request.set_body(json.dumps(creation).encode())
        elif executes := _EXEC.search(request.path):
            execution: ExecRequest = json.loads(request.read_body(client))
            self._change_execution(executes[1], execution)
            request.set_body(json.dumps(execution).encode())
        elif _BUILD.search(request.path):
            self._change_build(request, client)
        elif _PULL.search(request.path):
            image, tag = (request.parameters.get(key, [""])[0] for key in ("fromImage", "tag"))
            name = f"{image}{'@' if ':' in tag else ':'}{tag}" if tag else image
            raise _unavailable(name, f"the engine does not have the image {name}")
        elif _NETWORK.search(request.path):
            report(unsupported="service containers of a job")
            raise Refusal(403, "service containers are not supported")

    def _report_removal(self, container: str) -> None:
        """Report the state of a container that act removes.

        The host checks that the container of a job still runs, because only act may end it. The
        container of a Docker action ends itself, so its state is reported only if it was killed.
        """
        state = _state(container)
        killed = state.get("out_of_memory") or state.get("exit_code") == _KILLED
        if container not in self._of_actions or killed:
            report(removed={"container": container, "state": state})

    def _change_creation(self, request: CreateRequest) -> None:
        """Change a request to create a container.

        Raises:
            Refusal: the container would reach the host of the engine.
        """
        if access := ", ".join(_host_access(request["HostConfig"])):
            report(unsupported=f"a container with access to the host: {access}")
            raise Refusal(403, f"{access}: a container of a run has no access to the host")
        labels, config = self._config.labels, self._config
        request["Labels"] = {**(request.get("Labels") or {}), **labels}
        request["Image"] = self._image(request.get("Image", ""))
        host = cast("HostConfig", {**request["HostConfig"], **config.host_config})
        # The options of a job's container can add capabilities, but not change a limit.
        added = request["HostConfig"].get("CapAdd") or []
        host["CapAdd"] = sorted({*config.capabilities, *added})
        request["HostConfig"] = host
        mounts = host.get("Mounts") or []
        for mount in mounts:
            if mount.get("Type") == "volume":
                mount["Source"] = config.prefix + mount["Source"]
                mount["VolumeOptions"] = {"Labels": {**labels}}
        run_volume = Mount(
            Type="volume",
            Source=config.volume,
            Target="/e2e",
            ReadOnly=True,
            VolumeOptions={"NoCopy": True},
        )
        host["Mounts"] = [*mounts, run_volume]
        mode = host.get("NetworkMode", "")
        if mode.startswith(_OF_CONTAINER):
            # The engine refuses `Dns` for a container that uses the network of another one.
            job = config.prefix + mode.removeprefix(_OF_CONTAINER)
            host["NetworkMode"] = _OF_CONTAINER + job
            self._change_action(request, self._containers.get(job, ""))
        else:
            host["Dns"] = config.dns
            host["NetworkMode"] = config.network

    def _change_action(self, request: CreateRequest, job: str) -> None:
        """Change the container of a Docker action. ``job`` is the id of its job's container."""
        folder = request.get("WorkingDir", "")
        mounts = request["HostConfig"]["Mounts"] or []
        workspaces: list[Mount] = [
            {**mount, "Target": _WORKSPACE} for mount in mounts if mount.get("Target") == folder
        ]
        request["HostConfig"]["Mounts"] = [*mounts, *workspaces]
        variables = dict(entry.partition("=")[::2] for entry in request.get("Env") or [])
        if workspaces:
            request["WorkingDir"] = _WORKSPACE
            variables = {
                name: _WORKSPACE + value.removeprefix(folder)
                if value == folder or value.startswith(f"{folder}/")
                else value
                for name, value in variables.items()
            }
        variables = {**dict.fromkeys(_CA_VARIABLES, _CA_CERTIFICATES), **variables}
        entries = [f"{name}={value}" for name, value in variables.items()]
        request["Env"] = self._job_variables(job, entries)

    def _change_execution(self, container: str, request: ExecRequest) -> None:
        if variables := self._job_variables(container, request.get("Env") or []):
            request["Env"] = variables

    def _job_variables(self, container: str, entries: list[str]) -> list[str]:
        """Return the variables of a program of a job, whose container has this id.

        The first program of a job waits until the host has registered the job.
        """
        variables = [entry.replace(self._act_service, self._service) for entry in entries]
        job = dict(entry.partition("=")[::2] for entry in variables).get("GITHUB_JOB")
        if not job or not container:
            return variables
        if container not in self._reported:
            self._reported.add(container)
            names = (name for name, id_ in self._containers.items() if id_ == container)
            report(job={"id": job, "container": container, "name": next(names, "")})
            self._wait_for_registration(container)
        identity = self._config.identity
        if self._has_identity(container):
            variables += [
                f"ACTIONS_ID_TOKEN_REQUEST_URL={identity.url}",
                f"ACTIONS_ID_TOKEN_REQUEST_TOKEN={identity.token}",
            ]
        return variables

    def _change_build(self, request: EngineRequest, client: socket.socket | None) -> None:
        """Build without a network, with name and labels of the run.

        Raises:
            Refusal: the Dockerfile needs something that the engine does not have.
        """
        parameters = request.parameters
        image = parameters.get("t", [""])[0]
        name = parameters.get("dockerfile", ["Dockerfile"])[0]
        context = request.read_body(client)
        dockerfile, context = labelled_context(context, name, self._config.labels)
        if missing := missing_source(dockerfile):
            raise _unavailable(image, missing)
        request.set_body(context)
        request.set_parameters(
            t=self._image(image),
            networkmode="none",
            forcerm="1",
            nocache="1",
            pull="0",
        )

    def _image(self, name: str) -> str:
        """Return the name of an image in this run. Only images that act builds get a new one."""
        return self._config.prefix + name if _BUILT_IMAGE.fullmatch(name) else name

    def _keep_container(self, request: EngineRequest, response: bytes) -> None:
        """Store the id of a created container."""
        if match := re.search(rb'"Id":"([0-9a-f]{64})"', response):
            container = match[1].decode()
            self._containers[request.parameters["name"][0]] = container
            host: HostConfig = json.loads(request.body)["HostConfig"]
            if host.get("NetworkMode", "").startswith(_OF_CONTAINER):
                self._of_actions.add(container)

    def _wait_for_registration(self, container: str) -> None:
        """Wait until the forge knows the job of a container."""
        path = Path(self._config.registered_jobs) / container
        deadline = time.monotonic() + _REGISTRATION_SECONDS
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _has_identity(self, container: str) -> bool:
        """Return True if the job of a container can request identity tokens."""
        try:
            return (Path(self._config.registered_jobs) / container).read_bytes() == b"identity"
        except FileNotFoundError:
            return False


def missing_source(dockerfile: str) -> str:
    """Return why an image cannot be built from a Dockerfile here; empty if it can be tried."""
    sources = outside_sources(dockerfile)
    if sources.downloads:
        return f"its Dockerfile downloads {sources.downloads[0]}"
    for image in sources.images:
        if get(f"/images/{image}/json")[0] != 200:
            return f"its Dockerfile needs the image {image}, which the engine does not have"
    return ""


def _unavailable(image: str, why: str) -> Refusal:
    """Report an image that a job needs and cannot get, and return the refusal."""
    report(unavailable={"image": image, "why": why})
    return Refusal(404, f"{why}; the network of the run is closed")


def _check_build(request: EngineRequest, response: bytes) -> None:
    """Report a build that failed. It has no network here, so the reason can be the testbed."""
    if match := _BUILD_ERROR.search(response):
        why = f"its image cannot be built without a network: {json.loads(match[1])}"
        report(unavailable={"image": request.parameters["t"][0], "why": why})


def _host_access(host: HostConfig) -> Iterator[str]:
    """Yield the settings with which a container can reach the host past the closed network."""
    if host.get("Privileged"):
        yield "privileged"
    for name in host.get("CapAdd") or []:
        if name.upper().removeprefix("CAP_") in _HOST_CAPABILITIES:
            yield f"capability {name}"
    if host.get("PidMode") == "host":
        yield "processes of the host"
    if host.get("Devices"):
        yield "devices of the host"
    for bind in host.get("Binds") or []:
        if bind.startswith(("/", "~", ".")):
            yield f"folder {bind.partition(':')[0]} of the host"


def _is_read(request: EngineRequest) -> bool:
    """Return True if the relay reads the response to a request."""
    creates = _CREATE.search(request.path) or _BUILD.search(request.path)
    return request.method == "POST" and bool(creates)


def _state(container: str) -> dict[str, Json]:
    """Return the state of a container, with the fields of the suite's ``ContainerState``."""
    status, content = get(f"/containers/{container}/json")
    if status != 200:
        return {"status": "gone"}
    state = json.loads(content)["State"]
    met = _met_limits(container) if state["Running"] else set()
    return {
        "status": state["Status"],
        "exit_code": None if state["Running"] else state["ExitCode"],
        "out_of_memory": state["OOMKilled"] or "oom_kill" in met,
        "met_limit": "processes" if "pids" in met else "",
    }


def _met_limits(container: str) -> set[str]:
    """Return which limits a container met, ``oom_kill`` or ``pids``; empty if unknown."""
    command: Json = ["grep", "-s", "-H", "", *_COUNTERS]
    path = f"/containers/{container}/exec"
    status, content = post(path, {"AttachStdout": True, "Tty": True, "Cmd": command, "User": "0"})
    if status != _CREATED:
        return set()
    path = f"/exec/{json.loads(content)['Id']}/start"
    output = post(path, {"Detach": False, "Tty": True})[1].decode("utf-8", "replace")
    return {kill or pids for kill, pids in _COUNTED.findall(output)}


def _copy(source: socket.socket, target: socket.socket, *, keep: bool = False) -> bytes:
    """Forward the rest of a connection. Return it if it is kept."""
    kept = b""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            kept += data if keep else b""
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    return kept
