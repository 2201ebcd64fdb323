from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.engine_proxy import engine_proxy

ANSWER = b"x" * 1000


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        with contextlib.suppress(OSError):  # the proxy dropped the connection
            self.wfile.write(ANSWER)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """Return the socket of a server that answers each line."""
    path = str(tmp_path / "target.sock")
    with socketserver.ThreadingUnixStreamServer(path, _Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


def _ask(url: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(url.removeprefix("unix://"))
        client.sendall(b"GET\n")
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_proxy_forwards_both_directions(tmp_path: Path, target: str) -> None:
    with engine_proxy(tmp_path / "proxy", target, "seed") as proxy:
        assert [_ask(proxy.url) for _ in range(3)] == [ANSWER] * 3


def test_seed_decides_which_connections_are_dropped(tmp_path: Path, target: str) -> None:
    sizes = []
    for _ in range(2):
        with engine_proxy(tmp_path / "proxy", target, "seed", dropped=0.5) as proxy:
            sizes.append([len(_ask(proxy.url)) for _ in range(10)])
    assert sizes[0] == sizes[1]
    assert len(ANSWER) in sizes[0]
    assert min(sizes[0]) < len(ANSWER)


def test_stopped_proxy_closes_its_connections(tmp_path: Path, target: str) -> None:
    with engine_proxy(tmp_path / "proxy", target, "seed") as proxy:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(proxy.url.removeprefix("unix://"))
            client.sendall(b"no line")
            proxy.stop()
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
        with pytest.raises(OSError, match="refused"):
            _ask(proxy.url)
