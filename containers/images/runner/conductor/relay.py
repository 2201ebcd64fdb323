"""Stand between act and the engine.

act names its containers and volumes after the workflow alone, so two runs of one workflow would
remove each other's, and it labels none of the volumes. What it asks of the engine goes through a
relay that gives names and labels of the run to all that it makes, mounts the run's own volume into
the jobs and tells which container is which job's. The relay also gives the two variables with which
an identity token is asked for to the jobs that may have one, as GitHub does, and to no other.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from .output import say

ENGINE = "/var/run/docker.sock"
RELAY = "/run/relay.sock"
_CREATE = re.compile(r"/v[\d.]+/containers/create$")
_EXEC = re.compile(r"/v[\d.]+/containers/([0-9a-f]{12,})/exec$")
_MOST_HEAD = 1 << 20
_PATIENCE = 10.0


class Relay:
    """Passes requests on to the engine; changes those that make containers and start programs."""

    def __init__(self, config: dict[str, Any], artifacts: str, service: str) -> None:
        """Make it; jobs are sent to ``service`` where act would send them to ``artifacts``."""
        self._config = config
        self._artifacts = artifacts
        self._service = service
        self._told: set[str] = set()
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
        change: Callable[[dict[str, Any]], None] | None = None
        if method == "POST" and _CREATE.search(path):
            name = parse_qs(query).get("name", [""])[0]
            query = urlencode(
                {
                    **{k: v[0] for k, v in parse_qs(query).items()},
                    "name": self._config["prefix"] + name,
                }
            )
            change = self._created
        elif method == "POST" and (found := _EXEC.search(path)):
            change = functools.partial(self._executed, found[1])
        if change:
            body = _read_body(client, headers, body)
            asked = json.loads(body)
            change(asked)
            body = json.dumps(asked).encode()
            headers = [
                line
                for line in headers
                if not line.lower().startswith(("content-length:", "transfer-encoding:"))
            ]
            headers.append(f"Content-Length: {len(body)}")
        target = f"{path}?{query}" if query else path
        top = "\r\n".join([f"{method} {target} {protocol}", *headers, "", ""])
        return top.encode("latin-1") + body

    def _created(self, asked: dict[str, Any]) -> None:
        asked["Labels"] = {**(asked.get("Labels") or {}), **self._config["labels"]}
        host = asked["HostConfig"]
        host["Dns"] = self._config["dns"]
        host["Init"] = True
        for mount in host.get("Mounts") or []:
            if mount.get("Type") == "volume":
                mount["Source"] = self._config["prefix"] + mount["Source"]
                mount["VolumeOptions"] = {"Labels": self._config["labels"]}
        host["Mounts"] = [
            *(host.get("Mounts") or []),
            {
                "Type": "volume",
                "Source": self._config["volume"],
                "Target": "/e2e",
                "ReadOnly": True,
                "VolumeOptions": {"NoCopy": True},
            },
        ]

    def _await(self, container: str) -> None:
        """Wait until the host has told the forge whose this container's address now is."""
        known = Path(self._config["known"]) / container
        deadline = time.monotonic() + _PATIENCE
        while not known.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _executed(self, container: str, asked: dict[str, Any]) -> None:
        for at, entry in enumerate(asked.get("Env") or []):
            asked["Env"][at] = entry.replace(self._artifacts, self._service)
        given = dict(entry.partition("=")[::2] for entry in asked.get("Env") or [])
        job = given.get("GITHUB_JOB")
        if not job:
            return
        if container not in self._told:
            self._told.add(container)
            say(job={"id": job, "container": container, "name": self._names.get(container, "")})
            self._await(container)
        if job in self._config["identity"]["jobs"]:
            asked["Env"] += [
                f"ACTIONS_ID_TOKEN_REQUEST_{key}={self._config['identity'][key.lower()]}"
                for key in ("URL", "TOKEN")
            ]


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
