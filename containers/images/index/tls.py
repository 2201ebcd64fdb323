"""The server: cheroot with TLS, where no client can hold up another.

cheroot shakes hands in the thread that accepts, so a client that connects and says nothing
would stop all others. Here each handshake is left to the worker that serves the connection.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Gateway_10, Server

from .app import RESET, Front
from .requestlog import now

if TYPE_CHECKING:
    from .config import Settings

# More than the 64 clients at once that a full run has, each with a thread of its own.
_THREADS = 80
_KEPT_ALIVE = 512
_TIMEOUT = 60


class Adapter(BuiltinSSLAdapter):
    """TLS by the standard library, with the handshake put off."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Wrap an accepted socket without talking to the client yet."""
        context: ssl.SSLContext = self.context
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class Connection(HTTPConnection):
    """A connection that begins with its handshake, in the worker's thread."""

    greeted = False

    def communicate(self) -> bool:
        """Serve the next request; tell whether the connection is to be kept."""
        if not self.greeted:
            with self.server.greeting(self.remote_addr):
                self.greeted = self._greet()
            if not self.greeted:
                return False
        try:
            return bool(super().communicate())  # type: ignore[no-untyped-call]
        except OSError as error:
            # The client left while it was being told that its request cannot be read.
            logging.getLogger("index").info("a client broke off: %s", error)
            return False

    def _greet(self) -> bool:
        try:
            self.socket.do_handshake()
            # With TLS 1.3 a client's refusal may arrive only after the handshake.
            self.rfile.peek(1)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False
        except ssl.SSLError as error:
            self.server.tls_refused(self.remote_addr, error.reason or str(error))
            return False
        except OSError:
            return False
        return True

    def reset(self) -> None:
        """Break the connection off: the client sees a reset, not an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.socket.detach())
        # Nothing is left for cheroot to shut down.
        self.linger = True


class Gateway(Gateway_10):
    """Hands the application a way to break its connection off."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """Give the WSGI environment."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[RESET] = self.req.conn.reset
        return environ


class FrontServer(Server):
    """The server for a front."""

    ConnectionClass = Connection
    keep_alive_conn_limit = _KEPT_ALIVE

    def __init__(self, settings: Settings, front: Front) -> None:
        super().__init__(
            (settings.address, settings.port),
            front,
            numthreads=_THREADS,
            server_name="index",
            request_queue_size=256,
            timeout=_TIMEOUT,
        )
        self.gateway = Gateway
        self.ssl_adapter = Adapter(str(settings.certificate), str(settings.key))
        self.tls_refused: Callable[[str, str], None] = _Refusals(front)
        self.greeting = front.log.greeting

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Keep what clients do to their connections to a line; only errors need the stack."""
        logging.getLogger("index").log(level, msg, exc_info=traceback and level >= logging.ERROR)


class _Refusals:
    """Logs handshakes that failed: a client that does not trust the index leaves this."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def __call__(self, client: str, reason: str) -> None:
        self._front.log.write({"time": now(), "client": client, "tls_refused": reason})
