"""The TLS server: handshakes that fail, persistent clients, simultaneous clients."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
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


def test_a_client_without_the_authority_gets_nothing_and_the_log_says_why(
    front: Front, tmp_path: Path
) -> None:
    front.put(wheel("guarded", "1.0"))
    done = pip(front, tmp_path, "download", "guarded", trusting=False)
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout
    assert not front.lines(path="/simple/guarded/")
    assert front.lines(tls_refused="TLSV1_ALERT_UNKNOWN_CA")


def test_many_clients_at_once_all_get_whole_files(front: Front) -> None:
    filename, content = wheel("popular", "1.0", payload=os.urandom(1_000_000))
    front.put((filename, content))
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(lambda _: front.get(f"/packages/{filename}").content, range(64)))
    assert {sha256(data) for data in got} == {sha256(content)}
    lines = front.lines(file=filename)
    assert len(lines) == 64
    assert {(line["sha256"], line["complete"]) for line in lines} == {(sha256(content), True)}


def test_one_connection_serves_many_requests(front: Front) -> None:
    context = ssl.create_default_context(cafile=str(front.authority))
    connection = http.client.HTTPSConnection(INDEX_HOST, front.port, context=context, timeout=20)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/simple/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert connection.sock is first
    connection.close()


def test_clients_that_say_nothing_do_not_hold_up_the_others(front: Front) -> None:
    silent = [socket.create_connection((INDEX_HOST, front.port)) for _ in range(10)]
    try:
        begun = time.monotonic()
        assert front.get("/_/health").status_code == 200
        assert time.monotonic() - begun < 2
    finally:
        for connection in silent:
            connection.close()


def test_a_client_without_the_authority_gets_nothing_from_the_forge(forge: Forge) -> None:
    context = ssl.create_default_context()  # with the host's own authorities
    with (
        socket.create_connection(("127.0.0.1", forge.port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="api.github.com")
    assert forge.lines(tls_refused="TLSV1_ALERT_UNKNOWN_CA")


def test_clients_that_say_nothing_hold_up_nobody(forge: Forge) -> None:
    silent = [socket.create_connection(("127.0.0.1", forge.port)) for _ in range(10)]
    begun = time.monotonic()
    assert forge.api("GET", "").status_code == 200
    assert time.monotonic() - begun < 3
    for sock in silent:
        sock.close()


def test_a_connection_serves_many_requests(forge: Forge) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(forge.folder / "ca.pem")
        for _ in range(5):
            url = f"https://127.0.0.1:{forge.port}/meta"
            assert session.get(url, headers={"Host": "api.github.com"}, timeout=10).ok


_GENTLE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@_GENTLE
@given(head=st.binary(min_size=1, max_size=80))
def test_bytes_that_are_no_request_do_not_stop_it(forge: Forge, head: bytes) -> None:
    context = ssl.create_default_context(cafile=str(forge.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", forge.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="github.com") as sock,
    ):
        sock.sendall(head + b"\r\n\r\n")
    assert forge.api("GET", "").status_code == 200
