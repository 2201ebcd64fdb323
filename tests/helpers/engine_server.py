"""A fake Docker engine on a Unix socket. It answers and records the requests of testcontainers."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "27.1", "Os": "linux"}
_ANSWERS = (
    ("GET", r"/version", _VERSION),
    ("GET", r"/images/.*/json", {"Id": "sha256:1", "RepoTags": []}),
    ("GET", r"/containers/[^/]+/json", {"Id": "c1", "Name": "/c1", "State": {}, "Config": {}}),
    ("POST", r"/networks/create", {"Id": "n1"}),
    ("GET", r"/networks/[^/]+", {"Id": "n1", "Name": "n1"}),
    ("POST", r"/containers/create", {"Id": "c1"}),
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
        data = b"" if answer is None else json.dumps(answer).encode()
        is_refused = self.server.refused and self.server.refused in body.decode()
        if is_refused:
            data = json.dumps({"message": self.server.refusal}).encode()
        self.send_response(self.server.status if is_refused else 200 if data else 204)
        self.send_header("Content-Type", "application/json")
        if data:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

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
