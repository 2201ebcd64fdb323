"""HTTP messages between act and the engine: read a request, change it, answer it."""

from __future__ import annotations

import http.client
import io
import json
import socket
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from .output import Json

ENGINE = "/var/run/docker.sock"
_MAX_HEAD_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 16
_BODY_HEADERS = ("content-length:", "transfer-encoding:")


class Refusal(Exception):
    """A request that the relay answers itself, with an error of the engine's API."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def response(self) -> bytes:
        """Return the HTTP response."""
        body = json.dumps({"message": str(self)}).encode()
        head = (
            f"HTTP/1.1 {self.status} Refused\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class EngineRequest:
    """A request of act. `read_body` reads the rest of the body."""

    method: str
    path: str
    query: str
    protocol: str
    headers: list[str]
    body: bytes
    """The part of the body that has arrived."""

    @classmethod
    def receive(cls, client: socket.socket) -> EngineRequest | None:
        """Return the next request of a client, or None if the client has ended."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = client.recv(_BUFFER_BYTES)
            if not data or len(received) > _MAX_HEAD_BYTES:
                return None
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        return cls.parse(head, body)

    @classmethod
    def parse(cls, head: bytes, body: bytes) -> EngineRequest:
        """Return the request with this head, without its empty line.

        The connection ends after the response, so that the relay gets each request. A connection
        that changes its protocol stays open.
        """
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, protocol = first.split(" ")
        path, _, query = target.partition("?")
        headers = [line for line in lines if line]
        if not any(line.lower().startswith("upgrade:") for line in headers):
            headers = [line for line in headers if not line.lower().startswith("connection:")]
            headers.append("Connection: close")
        return cls(method, path, query, protocol, headers, body)

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The parameters of the query."""
        return parse_qs(self.query)

    def set_parameters(self, **values: str | list[str]) -> None:
        """Set parameters of the query. Keep the others."""
        self.query = urlencode({**self.parameters, **values}, doseq=True)

    def read_body(self, client: socket.socket | None) -> bytes:
        """Read the rest of the body from the client, and return the whole body."""
        reader = io.BufferedReader(_Stream(self.body, client))
        if self._header("transfer-encoding").lower() == "chunked":
            chunks = []
            while size := int(reader.readline().split(b";")[0] or b"0", 16):
                chunks.append(reader.read(size))
                reader.readline()
            reader.readline()
            return b"".join(chunks)
        return reader.read(int(self._header("content-length") or 0))

    def set_body(self, body: bytes) -> None:
        """Replace the whole body."""
        self.headers = [line for line in self.headers if not line.lower().startswith(_BODY_HEADERS)]
        self.headers.append(f"Content-Length: {len(body)}")
        self.body = body

    def encode(self) -> bytes:
        """Return the request for the engine, with the part of the body that has arrived."""
        target = f"{self.path}?{self.query}" if self.query else self.path
        head = "\r\n".join([f"{self.method} {target} {self.protocol}", *self.headers, "", ""])
        return head.encode("latin-1") + self.body

    def _header(self, name: str) -> str:
        for line in self.headers:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return ""


class _Stream(io.RawIOBase):
    """The bytes that have arrived, then those of a connection."""

    def __init__(self, received: bytes, client: socket.socket | None) -> None:
        super().__init__()
        self._received = received
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._received and self._client:
            self._received = self._client.recv(len(buffer))
        data, self._received = self._received[: len(buffer)], self._received[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def get(path: str) -> tuple[int, bytes]:
    """Return the status and the body of the engine's response to a request for ``path``."""
    return _request("GET", path)


def post(path: str, body: dict[str, Json]) -> tuple[int, bytes]:
    """Return the status and the body of the engine's response to a posted object."""
    return _request("POST", path, json.dumps(body))


def _request(method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("engine")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(ENGINE)
        connection.sock = engine
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
