"""The server: cheroot with TLS, in which no client can delay another one.

cheroot does the TLS handshake in the thread that accepts connections, so a client that connects
and sends nothing stops all others. Here the thread of the connection does the handshake. A
connection gets a thread when its client has sent data. Each client has a limit of connections and
of threads, and a time limit for a request. A malformed request gets a status of 400 or above, or
the end of its connection.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from cheroot.errors import MaxSizeExceeded
from cheroot.server import ChunkedRFile, HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Gateway_10
from cheroot.wsgi import Server as CherootServer
from werkzeug.exceptions import BadRequest, ClientDisconnected

from .config import Listener
from .limits import ClientLimits, Deadlines
from .request_log import RequestLog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

RESET = "server.reset"
"""The WSGI environment key of a function that resets the connection."""
# Each active connection uses a thread. A full run has up to 64 simultaneous clients.
_THREADS = 128
_THREADS_PER_CLIENT = 48
_CONNECTIONS_PER_CLIENT = 256
_IDLE_CONNECTIONS = 512
_MAX_HEAD_BYTES = 128 * 1024
# The time for the TLS handshake and the head of a request. On a busy host it takes seconds.
_HEAD_SECONDS = 30
_BODY_SECONDS = 300
_QUEUE_SIZE = 256
_TIMEOUT_SECONDS = 60
_BUFFER_BYTES = 65536


class Server(CherootServer):
    """Serves an application and logs failed handshakes."""

    keep_alive_conn_limit = _IDLE_CONNECTIONS
    max_request_header_size = _MAX_HEAD_BYTES

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
        self.deadlines = Deadlines()
        self.limits: ClientLimits[_Connection] = ClientLimits(
            connections=_CONNECTIONS_PER_CLIENT, active=_THREADS_PER_CLIENT
        )

    def prepare(self) -> None:
        """Listen, and start the threads."""
        super().prepare()
        self.deadlines.start()

    def process_conn(self, conn: _Connection) -> None:
        """Give a connection to a thread. A new connection first waits for data of its client."""
        if not conn.is_counted:
            conn.is_counted = self.limits.add(conn.remote_addr)
            if conn.is_counted:
                self.put_conn(conn)
            else:
                conn.close()
        elif self.limits.begin(conn.remote_addr, conn):
            super().process_conn(conn)

    def end_turn(self, client: str) -> None:
        """Give the thread's turn to the next connection of the client."""
        if waiting := self.limits.end(client):
            super().process_conn(waiting)

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

    def read_request_line(self) -> bool:
        """Read the first line. cheroot raises an error for an address that is not valid."""
        try:
            return bool(HTTPRequest.read_request_line(self))
        except ValueError:
            self.simple_response("400 Bad Request", "The address of the request is not valid.")
            return False

    def read_request_headers(self) -> bool:
        """Read the headers. Refuse a body of unknown length, whose end would be a guess."""
        try:
            if not HTTPRequest.read_request_headers(self):
                return False
        except UnboundLocalError:  # of cheroot, at the continuation of a header that does not exist
            self.simple_response("400 Bad Request", "The first header has no name.")
            return False
        length = self.inheaders.get(b"Content-Length")
        if length is None or (length.isdigit() and b"Transfer-Encoding" not in self.inheaders):
            return True
        self.simple_response("400 Bad Request", "The length of the body is not known.")
        return False

    def respond(self) -> None:
        """Answer the request. The client has a time limit for the body."""
        self.server.deadlines.set(self.conn.socket, _BODY_SECONDS)
        super().respond()

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
        self.server.deadlines.clear(self.conn.socket)


class _ChunkedBody:
    """The body of a request that arrives in chunks. A malformed chunk is an error of the client."""

    def __init__(self, body: ChunkedRFile) -> None:
        self._body = body

    def read(self, size: int | None = None) -> bytes:
        """Return the next bytes, or the rest of the body.

        Raises:
            BadRequest: the body is malformed, or the client disconnected.
        """
        return self._call(self._body.read, size)

    def readline(self, size: int | None = None) -> bytes:
        """Return the next line. It raises the same errors as `read`."""
        return self._call(self._body.readline, size)

    def _call(self, read: Callable[[int | None], bytes], size: int | None) -> bytes:
        try:
            return read(None if size is None or size < 0 else size)
        except (ValueError, MaxSizeExceeded) as error:
            raise BadRequest("a chunk of the body is malformed") from error
        except OSError as error:
            raise ClientDisconnected from error


class _Connection(HTTPConnection):
    """A connection that does the handshake in its thread."""

    RequestHandlerClass = _Request
    server: Server
    is_counted = False
    """True if the limits of the client count the connection."""
    _is_encrypted = False

    def communicate(self) -> bool:
        """Serve the next request. Return True if the connection stays open."""
        connected = self.socket
        self.server.deadlines.set(connected, _HEAD_SECONDS)
        try:
            return self._serve()
        finally:
            self.server.deadlines.clear(connected)
            self.server.end_turn(self.remote_addr)

    def close(self) -> None:
        """Close the connection."""
        if self.is_counted:
            self.is_counted = False
            self.server.limits.remove(self.remote_addr)
        super().close()

    def _serve(self) -> bool:
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
    if request.chunked_read:
        gateway.env["wsgi.input"] = _ChunkedBody(request.rfile)
    return gateway
