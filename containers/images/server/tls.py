"""The server: cheroot with TLS, in which no client can delay another one.

cheroot does the TLS handshake in the thread that accepts connections, so a client that connects
and sends nothing stops all others. Here the worker thread of the connection does the handshake.
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
"""The WSGI environment key of a function that resets the connection."""
# Each client uses a thread. A full run has up to 64 simultaneous clients.
_THREADS = 80
_IDLE_CONNECTIONS = 512
_QUEUE_SIZE = 256
_TIMEOUT_SECONDS = 60
_BUFFER_BYTES = 65536


class Server(CherootServer):
    """Serves an application and logs failed handshakes."""

    keep_alive_conn_limit = _IDLE_CONNECTIONS

    def __init__(
        self, name: str, listener: Listener, application: WSGIApplication, log: RequestLog
    ) -> None:
        super().__init__(
            (listener.address, listener.port),
            application,
            numthreads=_THREADS,
            server_name=name,
            request_queue_size=_QUEUE_SIZE,
            timeout=_TIMEOUT_SECONDS,
        )
        self.ConnectionClass = _Connection
        self.gateway = _gateway
        self.ssl_adapter = _Adapter(str(listener.certificate), str(listener.key))
        self.log = log

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log a problem with a connection in one line. Only errors get a stack trace."""
        logger = logging.getLogger(str(self.server_name))
        logger.log(level, msg, exc_info=traceback and level >= logging.ERROR)


class _Adapter(BuiltinSSLAdapter):
    """TLS of the standard library, without the handshake."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        context: ssl.SSLContext = self.context
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class _Request(HTTPRequest):
    """A request whose chunked body is read completely, so that the connection can be used again.

    cheroot does this only for a body with a Content-Length.
    """

    def send_headers(self) -> None:
        """Send the status and the headers after the rest of the request is read."""
        if self.chunked_read:
            try:
                while self.rfile.read(_BUFFER_BYTES):
                    pass
                for _ in self.rfile.read_trailer_lines():
                    pass
            except ValueError:  # not a chunk: the start of the next request is unknown
                self.close_connection = True
        super().send_headers()


class _Connection(HTTPConnection):
    """A connection that does the handshake in the worker thread."""

    RequestHandlerClass = _Request
    server: Server
    _is_encrypted = False

    def communicate(self) -> bool:
        """Serve the next request. Return True if the connection stays open."""
        if not self._is_encrypted:
            with self.server.log.handshake(self.remote_addr):
                self._is_encrypted = self._do_handshake()
            if not self._is_encrypted:
                return False
        try:
            return bool(HTTPConnection.communicate(self))
        except OSError as error:
            # The client disconnected before it got the response to an unreadable request.
            self.server.error_log(f"a client disconnected: {error}")
            return False

    def _do_handshake(self) -> bool:
        try:
            self.socket.do_handshake()
            # With TLS 1.3 the client's refusal can arrive after the handshake.
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
        """Reset the connection. The client gets an error, not an end of data."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.socket.detach())
        # The socket is closed, so cheroot must not shut it down.
        self.linger = True


def _gateway(request: HTTPRequest) -> Gateway_10:
    """Return cheroot's gateway with the reset function in the environment of the request."""
    gateway = Gateway_10(request)
    gateway.env[RESET] = request.conn.reset
    return gateway
