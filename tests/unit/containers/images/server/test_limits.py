"""The limits for clients: connections without requests, slow requests, malformed requests."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
from server import limits, tls
from server.limits import ClientLimits, Deadlines

from tests.helpers.index_front import INDEX_HOST, Front

ATTACKER = "127.0.0.2"
CONNECTIONS = 200
_HEAD = b"POST /simple/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def connect(front: Front, address: str = ATTACKER) -> socket.socket:
    """Connect from an address without a TLS handshake."""
    return socket.create_connection(
        (INDEX_HOST, front.port), timeout=20, source_address=(address, 0)
    )


def connect_with_tls(front: Front, address: str = ATTACKER) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(front.ca))
    return context.wrap_socket(connect(front, address), server_hostname=INDEX_HOST)


def silent(front: Front) -> socket.socket:
    return connect(front)


def half_handshake(front: Front) -> socket.socket:
    connection = connect(front)
    connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
    return connection


def half_head(front: Front) -> socket.socket:
    connection = connect_with_tls(front)
    connection.sendall(_HEAD)
    return connection


def half_body(front: Front) -> socket.socket:
    connection = connect_with_tls(front)
    connection.sendall(_HEAD + b"Content-Length: 100\r\n\r\nhalf")
    return connection


@pytest.mark.parametrize("number", [CONNECTIONS])
@pytest.mark.parametrize("client", [silent, half_handshake])
def test_connections_without_a_request_do_not_block_others(
    front: Front, client: Callable[[Front], socket.socket], number: int
) -> None:
    _assert_answers_others(front, client, number)


@pytest.mark.parametrize("client", [half_head, half_body])
def test_slow_requests_do_not_block_others(
    front: Front, client: Callable[[Front], socket.socket]
) -> None:
    # The server does the handshake of each connection. The limit leaves the others waiting, so
    # that their handshakes do not end.
    _assert_answers_others(front, client, tls._THREADS_PER_CLIENT)
    with contextlib.ExitStack() as stack:
        for _ in range(tls._THREADS_PER_CLIENT):
            stack.enter_context(client(front))
        _assert_answers_others(front, half_handshake, CONNECTIONS)


def _assert_answers_others(
    front: Front, client: Callable[[Front], socket.socket], number: int
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(client(front))
        # Without the limits, the answer comes after the time limit of the server, 60 seconds.
        with front.session() as session:
            assert session.get(f"{front.index}/_/health", timeout=20).status_code == 200


def test_client_has_a_limit_of_connections(front: Front) -> None:
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(connect(front, "127.0.0.3"))
            for _ in range(tls._CONNECTIONS_PER_CLIENT + 1)
        ]
        connections[-1].settimeout(20)
        assert connections[-1].recv(1) == b""
        connections[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            connections[0].recv(1)
    assert front.get("/_/health").status_code == 200


@pytest.fixture
def expired() -> Iterator[tuple[socket.socket, socket.socket]]:
    with contextlib.ExitStack() as stack:
        pair = socket.socketpair()
        for connection in pair:
            stack.enter_context(connection)
            connection.settimeout(20)
        yield pair


def test_connection_ends_at_its_deadline(
    expired: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_INTERVAL_SECONDS", 0.01)
    server_end, client_end = expired
    deadlines = Deadlines()
    deadlines.start()
    deadlines.set(server_end, 0.0)
    assert server_end.recv(1) == b""
    assert client_end.recv(1) == b""


def test_connection_without_a_deadline_stays(
    expired: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_INTERVAL_SECONDS", 0.01)
    deadlines, (server_end, client_end) = Deadlines(), expired
    other, other_client = socket.socketpair()
    with other, other_client:
        deadlines.set(server_end, 0.0)
        deadlines.clear(server_end)
        deadlines.set(other, 0.0)
        deadlines.start()
        assert other_client.recv(1) == b""  # the deadlines were checked
    server_end.sendall(b"x")
    assert client_end.recv(1) == b"x"


def test_turns_of_a_client_are_in_order_and_apart_from_those_of_others() -> None:
    counted: ClientLimits[str] = ClientLimits(connections=10, active=2)
    assert [counted.begin("a", name) for name in "1234"] == [True, True, False, False]
    assert counted.begin("b", "5")
    assert [counted.end("a") for _ in range(4)] == ["3", "4", None, None]
    assert [counted.begin("a", name) for name in "678"] == [True, True, False]


def test_ended_connections_are_not_counted() -> None:
    counted: ClientLimits[str] = ClientLimits(connections=2, active=2)
    assert [counted.add("a") for _ in range(3)] == [True, True, False]
    counted.remove("a")
    assert counted.add("a")


# ---- malformed requests ----

_GET = b"GET /simple/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_UPLOAD = (
    b"POST /legacy/ HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n"
)
_CHUNKED = _UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "no request line": b"\r\n\r\n\r\n",
    "two words": b"GET /simple/\r\n\r\n",
    "unknown version": b"GET /simple/ HTTP/9.9\r\n\r\n",
    "version without a number": b"GET /simple/ HTTP/x.y\r\n\r\n",
    "no line ends": b"GET /simple/ HTTP/1.1\nHost: 127.0.0.1\n\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "no host": b"GET /simple/ HTTP/1.1\r\n\r\n",
    "fragment": b"GET /simple/#x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "invalid escapes": b"GET /%zz%ff%00/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "invalid IPv6 address": b"GET http://[/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "invalid host": b"GET /simple/ HTTP/1.1\r\nHost: [::\xff\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "header without a colon": _GET + b"nonsense\r\n\r\n",
    "folded header first": b"GET /simple/ HTTP/1.1\r\n folded\r\n\r\n",
    "header that is not text": _GET + b"X: \xff\xfe\r\nContent-Length: 1x\r\n\r\n",
    "long path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "long header": _GET + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": _GET + b"".join(b"X-%d: a\r\n" % n for n in range(20_000)) + b"\r\n",
    "negative length": _UPLOAD + b"Content-Length: -5\r\n\r\n",
    "length that is no number": _UPLOAD + b"Content-Length: five\r\n\r\n",
    "length with a sign": _UPLOAD + b"Content-Length: +5\r\n\r\nhello",
    "length and chunks": _UPLOAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown transfer encoding": _UPLOAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "chunk without a size": _CHUNKED + b"zz\r\n\r\n",
    "chunk that is too long": _CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
}
CUT = {
    "head": _GET,
    "body": _UPLOAD + b"Content-Length: 100\r\n\r\nhalf",
    "chunk": _CHUNKED + b"64\r\nhalf",
    "size of a chunk": _CHUNKED,
}


@pytest.fixture(autouse=True)
def without_errors(front: Front) -> Iterator[None]:
    """Check that the test leaves no traceback, and no request that the index failed to answer."""
    errors = front.folder / "stderr"
    size, lines = errors.stat().st_size, len(front.lines())
    yield
    assert b"Traceback" not in errors.read_bytes()[size:]
    assert [line for line in front.lines()[lines:] if (line.get("status") or 0) >= 500] == []


def _answer(connection: socket.socket) -> bytes:
    """Return the answer until the server closes the connection or has sent a status line."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while b"\r\n" not in received and (data := connection.recv(65536)):
            received += data
    return received


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_malformed_request_is_refused(front: Front, request_bytes: bytes) -> None:
    with connect_with_tls(front) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(request_bytes)
        answer = _answer(connection)
    _assert_refused(front, answer)


@pytest.mark.parametrize("request_bytes", CUT.values(), ids=CUT)
def test_request_that_ends_early_is_refused(front: Front, request_bytes: bytes) -> None:
    with connect_with_tls(front) as connection:
        connection.sendall(request_bytes)
        # Only the TCP connection ends, so that the server can still answer.
        socket.socket.shutdown(connection, socket.SHUT_WR)
        answer = _answer(connection)
    _assert_refused(front, answer)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000,
        b"\x15\x03\x03\x00\x02\x02\x28",
        bytes(100),
    ],
    ids=["plain HTTP", "short ClientHello", "long record", "alert", "zeros"],
)
def test_bad_tls_ends_the_connection(front: Front, data: bytes) -> None:
    with connect(front) as connection:
        with contextlib.suppress(OSError):  # the server may have ended the connection
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                pass
    assert front.get("/_/health").status_code == 200


def test_bad_tls_after_the_handshake_ends_the_connection(front: Front) -> None:
    with connect_with_tls(front) as connection:
        socket.socket.sendall(connection, b"\x17\x03\x03\x00\x20" + bytes(32))
        assert _answer(connection) == b""
    assert front.get("/_/health").status_code == 200


def _assert_refused(front: Front, answer: bytes) -> None:
    """Check that the answer is empty or of 4xx, and that the index answers others."""
    status = answer.split(b" ")[1][:1] if answer else b""
    # An unknown version is 505, an unknown encoding 501 (RFC 9110, section 15.6).
    assert status in (b"", b"4") or answer.startswith((b"HTTP/1.1 505", b"HTTP/1.1 501"))
    assert front.get("/_/health").status_code == 200


def test_long_text_of_a_client_is_cut_in_the_log(front: Front) -> None:
    path = f"/simple/{'a' * 60_000}/"
    headers = {"User-Agent": "b" * 30_000, "Host": f"127.0.0.1:{front.port}"}
    assert front.get(path, headers=headers).status_code == 404
    (line,) = [line for line in front.lines() if line.get("path", "").startswith("/simple/aaaa")]
    assert path.startswith(line["path"])
    assert {"path", "user_agent"} <= {*line["cut"]}
    assert len(str(line)) < 10_000


def test_short_text_of_a_client_is_not_cut_in_the_log(front: Front) -> None:
    path = f"/simple/{'b' * 1_000}/"
    front.get(path)
    (line,) = front.lines(path=path)
    assert "cut" not in line
