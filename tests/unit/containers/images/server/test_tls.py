"""The TLS server: failed handshakes, persistent connections, simultaneous clients."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.forge_server import Forge
from tests.helpers.index_front import (
    INDEX_HOST,
    Front,
    pip,
    sha256,
    wheel,
)


def test_client_without_the_ca_is_refused_and_logged(front: Front, tmp_path: Path) -> None:
    front.put(wheel("guarded", "1.0"))
    process = pip(front, tmp_path, "download", "guarded", with_ca=False)
    assert process.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in process.stdout
    assert not front.lines(path="/simple/guarded/")
    assert front.lines(tls_refused="TLSV1_ALERT_UNKNOWN_CA")


def test_simultaneous_clients_get_complete_files(front: Front) -> None:
    filename, content = wheel("popular", "1.0", payload=os.urandom(1_000_000))
    front.put((filename, content))

    def download(_number: int) -> bytes:
        with front.session() as session:
            return session.get(f"{front.index}/packages/{filename}", timeout=60).content

    with ThreadPoolExecutor(32) as pool:
        downloads = list(pool.map(download, range(64)))
    assert {sha256(data) for data in downloads} == {sha256(content)}
    lines = front.lines(file=filename)
    assert len(lines) == 64
    assert {(line["sha256"], line["complete"]) for line in lines} == {(sha256(content), True)}


def test_one_connection_serves_many_requests(front: Front) -> None:
    context = ssl.create_default_context(cafile=str(front.ca))
    connection = http.client.HTTPSConnection(INDEX_HOST, front.port, context=context, timeout=20)
    connection.connect()
    first_socket = connection.sock
    for _ in range(3):
        connection.request("GET", "/simple/")
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        assert connection.sock is first_socket
    connection.close()


@pytest.mark.parametrize(
    ("body", "stays_open"),
    [
        (b"2\r\n{}\r\n0\r\n\r\n", True),
        (b"2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n", True),
        (b"0\r\n\r\n", True),
        (b"no size\r\n{}\r\n0\r\n\r\n", False),
    ],
    ids=["chunk", "trailer", "empty", "malformed"],
)
def test_unread_chunked_body_is_not_the_next_request(
    front: Front, body: bytes, stays_open: bool
) -> None:
    context = ssl.create_default_context(cafile=str(front.ca))
    connection = http.client.HTTPSConnection(INDEX_HOST, front.port, context=context, timeout=20)
    connection.connect()
    first_socket = connection.sock
    connection.request("POST", "/simple/", body, {"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    response.read()
    assert (response.status, response.will_close) == (405, not stays_open)
    connection.request("GET", "/simple/")
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    assert (connection.sock is first_socket) == stays_open
    connection.close()


def test_forge_refuses_a_client_without_the_ca(forge: Forge) -> None:
    context = ssl.create_default_context()  # with the CA certificates of the host
    with (
        socket.create_connection(("127.0.0.1", forge.port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="api.github.com")
    assert forge.lines(tls_refused="TLSV1_ALERT_UNKNOWN_CA")


_HYPOTHESIS_SETTINGS = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@_HYPOTHESIS_SETTINGS
@given(head=st.binary(min_size=1, max_size=80))
def test_forge_answers_after_bytes_that_are_not_a_request(forge: Forge, head: bytes) -> None:
    context = ssl.create_default_context(cafile=str(forge.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", forge.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="github.com") as sock,
    ):
        sock.sendall(head + b"\r\n\r\n")
    assert forge.api("GET", "").status_code == 200
