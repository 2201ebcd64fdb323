"""The server: cheroot with TLS, where no client can delay another.

cheroot shakes hands in the thread that accepts, so a client that connects and says nothing
would stop all others. Here each handshake is left to the worker that serves the connection.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import struct
from typing import TYPE_CHECKING

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Gateway_10
from cheroot.wsgi import Server as CherootServer

from .config import Listener
from .request_log import RequestLog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

RESET = "server.reset"
"""The key of a request's environment with a function that breaks its connection off."""
# More than the 64 clients at once that a full run has, each with a thread of its own.
_THREADS = 80
_KEPT_ALIVE = 512
_QUEUE = 256
_TIMEOUT_SECONDS = 60


class Server(CherootServer):
    """Serves an application, and logs the handshakes that fail."""

    keep_alive_conn_limit = _KEPT_ALIVE

    def __init__(
        self, name: str, listener: Listener, application: WSGIApplication, log: RequestLog
    ) -> None:
        super().__init__(
            (listener.address, listener.port),
            application,
            numthreads=_THREADS,
            server_name=name,
            request_queue_size=_QUEUE,
            timeout=_TIMEOUT_SECONDS,
        )
        self.ConnectionClass = _Connection
        self.gateway = _gateway
        self.ssl_adapter = _Adapter(str(listener.certificate), str(listener.key))
        self.log = log

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Keep what clients do to their connections to a line; only errors need the stack."""
        logger = logging.getLogger(str(self.server_name))
        logger.log(level, msg, exc_info=traceback and level >= logging.ERROR)


class _Adapter(BuiltinSSLAdapter):
    """TLS by the standard library, with the handshake left for later."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        context: ssl.SSLContext = self.context
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class _Connection(HTTPConnection):
    """A connection that begins with its handshake, in the worker's thread."""

    server: Server
    _has_shaken_hands = False

    def communicate(self) -> bool:
        """Serve the next request; return whether the connection is to be kept."""
        if not self._has_shaken_hands:
            with self.server.log.handshake(self.remote_addr):
                self._has_shaken_hands = self._shake_hands()
            if not self._has_shaken_hands:
                return False
        try:
            return bool(HTTPConnection.communicate(self))
        except OSError as error:
            # The client left before it got the answer that its request cannot be read.
            self.server.error_log(f"a client broke off: {error}")
            return False

    def _shake_hands(self) -> bool:
        try:
            self.socket.do_handshake()
            # With TLS 1.3 a client's refusal may arrive only after the handshake.
            self.rfile.peek(1)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False
        except ssl.SSLError as error:
            self.server.log.refuse(self.remote_addr, error.reason or str(error))
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


def _gateway(request: HTTPRequest) -> Gateway_10:
    """Return cheroot's own gateway; the environment also has a way to break the connection off."""
    gateway = Gateway_10(request)
    gateway.env[RESET] = request.conn.reset
    return gateway
