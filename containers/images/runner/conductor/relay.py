"""Stand between act and the engine.

act names its containers and volumes after the workflow alone, so two runs of one workflow would
remove each other's, and it labels none of the volumes. What it asks of the engine goes through a
relay that gives names and labels of the run to all that it makes, mounts the run's own volume into
the jobs and reports which container is which job's, and in which state each container is when act
removes it. The relay also gives the two variables with
which an identity token is asked for to the jobs that may have one, as GitHub does, and to no other.
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
from .output import Json, say

ENGINE = "/var/run/docker.sock"
RELAY = "/run/relay.sock"
_CREATE = re.compile(r"/v[\d.]+/containers/create$")
_EXEC = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})/exec$")
_REMOVE = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})$")
_MOST_HEAD = 1 << 20
_PATIENCE = 10.0


class Mount(TypedDict, total=False):
    """A mount of a container. These classes have the keys that are changed here."""

    Type: str
    Source: str
    Target: str
    ReadOnly: bool
    VolumeOptions: dict[str, Json]


class HostConfig(TypedDict, total=False):
    """What a container is given of its host."""

    Dns: list[str]
    Init: bool
    Mounts: list[Mount] | None


class CreateRequest(TypedDict, total=False):
    """A request to make a container."""

    Labels: dict[str, str] | None
    HostConfig: HostConfig


class ExecRequest(TypedDict, total=False):
    """A request to start a program in a container."""

    Env: list[str] | None


class Relay:
    """Passes requests on to the engine; changes those that make containers and start programs."""

    def __init__(self, config: Config, artifacts: str, service: str) -> None:
        """Make it; jobs are sent to ``service`` where act would send them to ``artifacts``."""
        self._config = config
        self._artifacts = artifacts
        self._service = service
        self._reported: set[str] = set()
        self._names: dict[str, str] = {}
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(RELAY)
        self._listening.listen(64)

    def start(self) -> None:
        """Serve until the process ends."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            head, body = _read_head(client)
            if not head:
                return
            engine.connect(ENGINE)
            changed = self._changed(head, body, client)
            engine.sendall(changed)
            back = threading.Thread(target=_pump, args=(client, engine), daemon=True)
            back.start()
            created = _CREATE.search(head.split(b" ")[1].decode().partition("?")[0])
            self._answer(engine, client, changed if created else b"")
            back.join(timeout=1)

    def _answer(self, engine: socket.socket, client: socket.socket, created: bytes) -> None:
        if not created:
            _pump(engine, client)
            return
        answer = b""
        while piece := engine.recv(1 << 16):
            answer += piece
            client.sendall(piece)
        if found := re.search(rb'"Id":"([0-9a-f]{64})"', answer):
            name = parse_qs(created.split(b" ")[1].decode().partition("?")[2])["name"][0]
            self._names[found[1].decode()] = name

    def _changed(self, head: bytes, body: bytes, client: socket.socket) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, protocol = first.split(" ")
        path, _, query = target.partition("?")
        headers = [line for line in lines if line]
        upgrade = any(line.lower().startswith("upgrade:") for line in headers)
        if not upgrade:
            # One request a connection: the next one may have to be changed too.
            headers = [line for line in headers if not line.lower().startswith("connection:")]
            headers.append("Connection: close")
        if method == "DELETE" and (removes := _REMOVE.search(path)):
            # Each job's container must still run now: nobody else ends it.
            say(removed={"container": removes[1], "state": _state(removes[1])})
        creates = method == "POST" and _CREATE.search(path)
        executes = method == "POST" and _EXEC.search(path)
        if creates:
            values = {key: found[0] for key, found in parse_qs(query).items()}
            query = urlencode({**values, "name": self._config.prefix + values.get("name", "")})
        if creates or executes:
            request = json.loads(_read_body(client, headers, body))
            if executes:
                self._execute(executes[1], request)
            else:
                self._create(request)
            body = json.dumps(request).encode()
            headers = [
                line
                for line in headers
                if not line.lower().startswith(("content-length:", "transfer-encoding:"))
            ]
            headers.append(f"Content-Length: {len(body)}")
        target = f"{path}?{query}" if query else path
        top = "\r\n".join([f"{method} {target} {protocol}", *headers, "", ""])
        return top.encode("latin-1") + body

    def _create(self, request: CreateRequest) -> None:
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

    def _await(self, container: str) -> None:
        """Wait until the forge knows whose this container's address now is."""
        known = Path(self._config.known) / container
        deadline = time.monotonic() + _PATIENCE
        while not known.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _may_ask(self, container: str) -> bool:
        """Return whether the job of a container may ask for an identity token."""
        try:
            return (Path(self._config.known) / container).read_bytes() == b"identity"
        except FileNotFoundError:
            return False

    def _execute(self, container: str, request: ExecRequest) -> None:
        variables = [
            entry.replace(self._artifacts, self._service) for entry in request.get("Env") or []
        ]
        job = dict(entry.partition("=")[::2] for entry in variables).get("GITHUB_JOB")
        if job and container not in self._reported:
            self._reported.add(container)
            say(job={"id": job, "container": container, "name": self._names.get(container, "")})
            self._await(container)
        identity = self._config.identity
        if job and self._may_ask(container):
            variables += [
                f"ACTIONS_ID_TOKEN_REQUEST_URL={identity.url}",
                f"ACTIONS_ID_TOKEN_REQUEST_TOKEN={identity.token}",
            ]
        if variables:
            request["Env"] = variables


def _state(container: str) -> dict[str, Json]:
    """Return the state of a container (``ContainerState`` of the host)."""
    connection = http.client.HTTPConnection("engine")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(ENGINE)
        connection.sock = engine
        connection.request("GET", f"/containers/{container}/json")
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != 200:
        return {"status": "gone"}
    state = json.loads(content)["State"]
    return {
        "status": state["Status"],
        "exit_code": None if state["Running"] else state["ExitCode"],
        "out_of_memory": state["OOMKilled"],
    }


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    read = b""
    while b"\r\n\r\n" not in read:
        piece = client.recv(1 << 16)
        if not piece or len(read) > _MOST_HEAD:
            return b"", b""
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    return head, body


def _read_body(client: socket.socket, headers: list[str], body: bytes) -> bytes:
    length = next(
        int(line.partition(":")[2])
        for line in headers
        if line.lower().startswith("content-length:")
    )
    while len(body) < length:
        piece = client.recv(1 << 16)
        if not piece:
            break
        body += piece
    return body


def _pump(source: socket.socket, into: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            into.sendall(piece)
    with contextlib.suppress(OSError):
        into.shutdown(socket.SHUT_WR)
