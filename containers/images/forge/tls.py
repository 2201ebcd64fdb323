"""The server: cheroot with TLS, where no client can hold up another.

cheroot shakes hands in the thread that accepts, so a client that connects and says nothing would
stop all others. Here each handshake is left to the worker that serves the connection.
"""

from __future__ import annotations

import logging
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from index.requestlog import now

from .app import Forge

if TYPE_CHECKING:
    from .config import Settings

# A workflow has few jobs at once; each may wait in a thread for its registration.
_THREADS = 40
_TIMEOUT = 60


class Adapter(BuiltinSSLAdapter):
    """TLS by the standard library, with the handshake put off."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Wrap an accepted socket without talking to the client yet."""
        context: ssl.SSLContext = self.context
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class Connection(HTTPConnection):
    """A connection whose first bytes are its handshake's; one that fails leaves a line."""

    def communicate(self) -> bool:
        """Serve the next request; tell whether the connection is to be kept."""
        if self.requests_seen == 0:
            try:
                # The first read shakes hands; with TLS 1.3 a client's refusal comes after that.
                self.rfile.peek(1)
            except ssl.SSLError as error:
                self.server.refused(self.remote_addr, error.reason or str(error))
                return False
            except OSError:
                return False
        return bool(super().communicate())  # type: ignore[no-untyped-call]


class ForgeServer(Server):
    """The server for a forge."""

    ConnectionClass = Connection

    def __init__(self, settings: Settings, forge: Forge) -> None:
        super().__init__(
            (settings.address, settings.port),
            forge,
            numthreads=_THREADS,
            server_name="forge",
            timeout=_TIMEOUT,
        )
        self.ssl_adapter = Adapter(str(settings.certificate), str(settings.key))
        self._forge = forge

    def refused(self, client: str, reason: str) -> None:
        """Log a handshake that failed: a client that does not trust the forge leaves this."""
        self._forge.log.write({"time": now(), "client": client, "tls_refused": reason})

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Keep what clients do to their connections to a line; only errors need the stack."""
        if isinstance(sys.exc_info()[1], OSError):
            level = logging.INFO  # the client went away
        logging.getLogger("forge").log(level, msg, exc_info=traceback and level >= logging.ERROR)


def serving(server: ForgeServer) -> tuple[str, int]:
    """Return the address and port at which a prepared server listens."""
    bound: Any = server.bind_addr
    return bound[0], bound[1]
