"""The relay between act and the engine.

act derives the names of containers and volumes from the workflow only, so two runs of one workflow
would remove each other's containers. It does not label volumes. Therefore its requests to the
engine go through this relay:

- It gives all containers and volumes a name and labels of the run.
- It mounts the volume of the run into the jobs.
- It reports the container of each job, and the state of each container that act removes.
- It sets the two variables for requests of identity tokens, only in jobs with the permission, as
  GitHub does.

The TypedDict classes have only the keys of the engine's API that the relay reads or changes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from pathlib import Path
from typing import TypedDict
from urllib.parse import parse_qs, urlencode

from .config import Config
from .output import Json, report

ENGINE = "/var/run/docker.sock"
RELAY = "/run/relay.sock"
_CREATE = re.compile(r"/v[\d.]+/containers/create$")
_EXEC = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})/exec$")
_REMOVE = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})$")
_MAX_HEAD_BYTES = 1 << 20
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

    Dns: list[str]
    Init: bool
    Mounts: list[Mount] | None


class CreateRequest(TypedDict, total=False):
    """A request to create a container."""

    Labels: dict[str, str] | None
    HostConfig: HostConfig


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
        self._names: dict[str, str] = {}
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
            head, body = _read_head(client)
            if not head:
                return
            engine.connect(ENGINE)
            request = self._change(head, body, client)
            engine.sendall(request)
            upload = threading.Thread(target=_copy, args=(client, engine), daemon=True)
            upload.start()
            if _CREATE.search(head.split(b" ")[1].decode().partition("?")[0]):
                self._forward_creation(engine, client, request)
            else:
                _copy(engine, client)
            upload.join(timeout=1)

    def _forward_creation(
        self, engine: socket.socket, client: socket.socket, request: bytes
    ) -> None:
        """Forward the response to the creation of a container, and store the container's name."""
        response = b""
        while data := engine.recv(1 << 16):
            response += data
            client.sendall(data)
        if match := re.search(rb'"Id":"([0-9a-f]{64})"', response):
            name = parse_qs(request.split(b" ")[1].decode().partition("?")[2])["name"][0]
            self._names[match[1].decode()] = name

    def _change(self, head: bytes, body: bytes, client: socket.socket) -> bytes:
        """Return the request for the engine. If the body must change, read the rest of it first."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, protocol = first.split(" ")
        path, _, query = target.partition("?")
        headers = [line for line in lines if line]
        upgrade = any(line.lower().startswith("upgrade:") for line in headers)
        if not upgrade:
            # Only one request per connection, so that the relay gets each request.
            headers = [line for line in headers if not line.lower().startswith("connection:")]
            headers.append("Connection: close")
        if method == "DELETE" and (removes := _REMOVE.search(path)):
            # The host checks that the container still runs, because only act may end it.
            report(removed={"container": removes[1], "state": _state(removes[1])})
        creates = method == "POST" and _CREATE.search(path)
        executes = method == "POST" and _EXEC.search(path)
        if creates:
            parameters = {key: values[0] for key, values in parse_qs(query).items()}
            name = self._config.prefix + parameters.get("name", "")
            query = urlencode({**parameters, "name": name})
        if creates or executes:
            request = json.loads(_read_body(client, headers, body))
            if executes:
                self._change_execution(executes[1], request)
            else:
                self._change_creation(request)
            body = json.dumps(request).encode()
            headers = [
                line
                for line in headers
                if not line.lower().startswith(("content-length:", "transfer-encoding:"))
            ]
            headers.append(f"Content-Length: {len(body)}")
        target = f"{path}?{query}" if query else path
        new_head = "\r\n".join([f"{method} {target} {protocol}", *headers, "", ""])
        return new_head.encode("latin-1") + body

    def _change_creation(self, request: CreateRequest) -> None:
        labels, config = self._config.labels, self._config
        request["Labels"] = {**(request.get("Labels") or {}), **labels}
        host = request["HostConfig"]
        host["Dns"] = config.dns
        host["Init"] = True
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

    def _change_execution(self, container: str, request: ExecRequest) -> None:
        variables = [
            entry.replace(self._act_service, self._service) for entry in request.get("Env") or []
        ]
        job = dict(entry.partition("=")[::2] for entry in variables).get("GITHUB_JOB")
        if job and container not in self._reported:
            self._reported.add(container)
            report(job={"id": job, "container": container, "name": self._names.get(container, "")})
            self._wait_for_registration(container)
        identity = self._config.identity
        if job and self._has_identity(container):
            variables += [
                f"ACTIONS_ID_TOKEN_REQUEST_URL={identity.url}",
                f"ACTIONS_ID_TOKEN_REQUEST_TOKEN={identity.token}",
            ]
        if variables:
            request["Env"] = variables


def _state(container: str) -> dict[str, Json]:
    """Return the state of a container, with the fields of the suite's ``ContainerState``."""
    connection = http.client.HTTPConnection("engine")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(ENGINE)
        connection.sock = engine
        connection.request("GET", f"/containers/{container}/json")
        response = connection.getresponse()
        content = response.read()
    if response.status != 200:
        return {"status": "gone"}
    state = json.loads(content)["State"]
    return {
        "status": state["Status"],
        "exit_code": None if state["Running"] else state["ExitCode"],
        "out_of_memory": state["OOMKilled"],
    }


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        data = client.recv(1 << 16)
        if not data or len(received) > _MAX_HEAD_BYTES:
            return b"", b""
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def _read_body(client: socket.socket, headers: list[str], body: bytes) -> bytes:
    length = next(
        int(line.partition(":")[2])
        for line in headers
        if line.lower().startswith("content-length:")
    )
    while len(body) < length:
        data = client.recv(1 << 16)
        if not data:
            break
        body += data
    return body


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
