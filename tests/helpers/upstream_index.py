"""A local package index in the place of the upstream index."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

from pydantic import JsonValue


class FakeUpstream(http.server.ThreadingHTTPServer):
    """A fake index of one project. The keys of ``files`` and ``entries`` are file names."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.entries: dict[str, dict[str, Any]] = {}
        self.provenance: dict[str, JsonValue] = {}
        """The provenance of each file."""
        self.requests: list[str] = []
        self.absent: tuple[str, ...] = ()
        self.content_type = "application/vnd.pypi.simple.v1+json"
        self.before_answer: Callable[[], None] = lambda: None
        """A function that runs before each answer."""

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """Run an index until the end of the block."""
        with cls() as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def add(self, name: str, content: bytes = b"wheel", **entry: Any) -> None:
        """Serve a file. ``entry`` are further values of its entry on the page of the project."""
        self.files[name] = content
        digest = hashlib.sha256(content).hexdigest()
        self.entries[name] = {"hashes": {"sha256": digest}, **entry}

    def page(self) -> bytes:
        """Return the page of the project."""
        files = [
            {"filename": name, "url": f"../../files/{name}", **entry}
            for name, entry in self.entries.items()
        ]
        meta = {"api-version": "1.1"}
        return json.dumps({"meta": meta, "name": "any", "files": files}).encode()

    def answer(self, path: str) -> bytes | None:
        """Return the answer to a request, or None for 404."""
        *_, parent, name = path.split("/")
        if name == "provenance":
            value = self.provenance.get(parent)
            return json.dumps(value).encode() if value is not None else None
        return self.files.get(name) if name else self.page()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FakeUpstream

    def do_GET(self) -> None:
        self.server.before_answer()
        self.server.requests.append(self.path)
        body = None if self.path in self.server.absent else self.server.answer(self.path)
        self.send_response(200 if body is not None else 404)
        if self.path.endswith("/"):
            self.send_header("Content-Type", self.server.content_type)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""
