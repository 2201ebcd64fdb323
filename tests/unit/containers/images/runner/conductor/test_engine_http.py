"""HTTP messages between act and the engine."""

from __future__ import annotations

import importlib
import json
import socket
from typing import Any

messages = importlib.import_module("conductor.engine_http")


def parse(*lines: str, body: bytes = b"") -> Any:
    return messages.EngineRequest.parse("\r\n".join(lines).encode(), body)


def test_request_is_received_with_the_part_of_the_body_that_has_arrived() -> None:
    act, relay = socket.socketpair()
    with act, relay:
        act.sendall(b"POST /build?t=a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        request = messages.EngineRequest.receive(relay)
        assert (request.method, request.path, request.parameters) == (
            "POST",
            "/build",
            {"t": ["a"]},
        )
        act.sendall(b"cd")
        assert request.read_body(relay) == b"abcd"


def test_client_that_has_ended_sends_no_request() -> None:
    act, relay = socket.socketpair()
    act.close()
    with relay:
        assert messages.EngineRequest.receive(relay) is None


def test_chunked_body_is_read_completely() -> None:
    request = parse("POST /build HTTP/1.1", "Transfer-Encoding: chunked", body=b"4;x=y\r\nab")
    act, relay = socket.socketpair()
    with act, relay:
        act.sendall(b"cd\r\n2\r\nef\r\n0\r\n\r\n")
        assert request.read_body(relay) == b"abcdef"


def test_changed_request_has_the_length_of_its_body_and_ends_the_connection() -> None:
    request = parse(
        "POST /x?a=1&b=2 HTTP/1.1", "Connection: keep-alive", "Transfer-Encoding: chunked"
    )
    request.set_parameters(b="3", c="4")
    request.set_body(b"body")
    head, _, body = request.encode().partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.split(b"\r\n") == [
        b"POST /x?a=1&b=3&c=4 HTTP/1.1",
        b"Connection: close",
        b"Content-Length: 4",
    ]


def test_connection_that_changes_its_protocol_stays_open() -> None:
    request = parse("POST /exec HTTP/1.1", "Connection: Upgrade", "Upgrade: tcp")
    assert b"Connection: Upgrade" in request.encode()


def test_refusal_is_an_error_of_the_api() -> None:
    head, _, body = messages.Refusal(404, "no such image").response().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body) == {"message": "no such image"}
