"""A fake Docker engine on a Unix socket. It answers and records the requests of testcontainers."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import re
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "27.1", "Os": "linux"}
_STATE = {"Status": "running", "Running": True}
_ANSWERS: tuple[tuple[str, str, object], ...] = (
    ("GET", r"/version", _VERSION),
    ("GET", r"/images/.*/json", {"Id": "sha256:1", "RepoTags": []}),
    ("GET", r"/containers/[^/]+/json", {"Id": "c1", "Name": "/c1", "State": _STATE, "Config": {}}),
    ("GET", r"/(containers|images)/json|/networks", []),
    ("GET", r"/volumes", {"Volumes": []}),
    ("POST", r"/networks/create", {"Id": "n1"}),
    ("GET", r"/networks/[^/]+", {"Id": "n1", "Name": "n1"}),
    ("POST", r"/containers/create", {"Id": "c1"}),
    ("GET", r"/containers/[^/]+/archive", ["the archive"]),
    ("POST", r"/containers/[^/]+/wait", {"StatusCode": 0}),
    ("POST", r"/containers/[^/]+/exec", {"Id": "e1"}),
)


@dataclasses.dataclass(frozen=True)
class Request:
    """A recorded request to the fake engine."""

    method: str
    path: str
    """The path without the version of the API and without the query."""
    body: bytes


class EngineServer(socketserver.ThreadingUnixStreamServer):
    """A fake Docker engine. ``requests`` is the list of the received requests, oldest first."""

    daemon_threads = True
    refused = ""
    """A text in the bodies of the requests that the engine refuses; empty if it refuses none."""
    refusal = "an authorization plugin denied the request"
    status = 403
    """The status of a refusal."""

    def __init__(self, socket: Path) -> None:
        self.requests: list[Request] = []
        self.exit_codes: list[int | None] = []
        """The exit codes that it reports for the command, one for each request; the last one also
        for later requests. None: the command runs."""
        self.output = b""
        """What the command writes to its standard output."""
        self.removal_counts = False
        """Whether a second removal of a container is answered with 404."""
        self.url = f"unix://{socket}"
        super().__init__(str(socket), _Handler)

    def paths(self, method: str) -> list[str]:
        """Return the paths of the requests with this method."""
        return [request.path for request in self.requests if request.method == method]

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """Return the bodies of the requests with this path."""
        return [json.loads(request.body) for request in self.requests if request.path == path]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: EngineServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = re.sub(r"^/v[\d.]+", "", self.path.partition("?")[0])
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(Request(self.command, path, body))
        answers = (
            answer
            for method, pattern, answer in _ANSWERS
            if method == self.command and re.fullmatch(pattern, path)
        )
        answer = next(answers, None)
        status = 204 if answer is None else 200
        data = b"" if answer is None else json.dumps(answer).encode()
        if path == "/exec/e1/json":
            codes = self.server.exit_codes
            code = codes.pop(0) if len(codes) > 1 else next(iter(codes), 0)
            status, data = 200, json.dumps({"ExitCode": code}).encode()
        elif path == "/exec/e1/start":
            self._run_command()
            return
        elif self.command == "DELETE" and self.server.removal_counts:
            if self.server.paths("DELETE").count(path) > 1:
                status, data = 404, b'{"message": "no such container"}'
        if self.server.refused and self.server.refused in body.decode():
            status, data = self.server.status, json.dumps({"message": self.server.refusal}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if data:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _run_command(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        time.sleep(0.1)  # the client loses output that arrives together with the headers
        if output := self.server.output:
            # The header of a frame: the stream, three zeros and the length (Docker Engine API,
            # "attach to a container").
            self.wfile.write(struct.pack(">BxxxL", 1, len(output)) + output)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815  (the names of the base class)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def address_string(self) -> str:
        """Return a fixed name, because the peer of a Unix socket has no address."""
        return "client"


@contextlib.contextmanager
def running(socket: Path) -> Iterator[EngineServer]:
    """Run a fake engine at this socket during the block."""
    with EngineServer(socket) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
