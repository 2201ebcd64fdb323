"""Start a server and run it until a signal ends it.

The server prints `ready ADDRESS:PORT` when it listens. For a line `TOKEN CLIENT` or `TOKEN` on
standard input, it writes a log marker into the request log, after all lines of the client or of all
clients. The exit code is 0 after SIGTERM or SIGINT. It is 2, with a message of one line, if the
server cannot start.
"""

from __future__ import annotations

import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from .config import ConfigError, Listener
from .request_log import RequestLog
from .tls import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# How many seconds active requests get to end after the signal.
_GRACE_SECONDS = 3


class Application(Protocol):
    """A WSGI application that a server can run."""

    listener: Listener
    log: RequestLog
    stopping: threading.Event
    """Set when the server ends. Code of the application that waits must check it."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""


def main(name: str, create: Callable[[Path], Application]) -> NoReturn:
    """Run an application with the configuration file from the command line."""
    code = run(name, create, sys.argv[1:])
    sys.stdout.flush()
    # It does not wait for threads: idle connections and clients must not keep the process alive.
    os._exit(code)


def run(name: str, create: Callable[[Path], Application], arguments: list[str]) -> int:
    """Run an application until a signal ends it, and return the exit code."""
    try:
        application, server = _prepare(name, create, arguments)
    except ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return 2
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    stopping = application.stopping
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: the main thread may hold the lock of the event at this moment.
        signal.signal(number, lambda *_: threading.Thread(target=stopping.set).start())
    threading.Thread(target=server.serve, daemon=True).start()
    threading.Thread(target=application.log.write_markers, args=(sys.stdin,), daemon=True).start()
    address, port = server.bind_addr
    print(f"ready {address}:{port}", flush=True)
    while not stopping.wait(1):  # a signal immediately before the wait does not end it
        pass
    deadline = time.monotonic() + _GRACE_SECONDS
    while application.log.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    return 0


def _prepare(
    name: str, create: Callable[[Path], Application], arguments: list[str]
) -> tuple[Application, Server]:
    """Create the application and a listening server.

    Raises:
        ConfigError: the configuration is not usable.
    """
    if len(arguments) != 1:
        raise ConfigError("expected one argument, the configuration file")
    try:
        application = create(Path(arguments[0]))
        listener = application.listener
        server = Server(name, listener, application, application.log)
    except ssl.SSLError as error:
        raise ConfigError(f"cannot use the certificate or its key: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot start: {error}") from error
    try:
        server.prepare()
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {listener.address}:{listener.port}: {error}"
        ) from error
    return application, server
