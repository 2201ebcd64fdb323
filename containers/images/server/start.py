"""Start a server and run it until a signal ends it.

It prints `ready ADDRESS:PORT` when it listens. For a line `TOKEN CLIENT` on standard input, or a
`TOKEN` alone, it writes a mark into the request log: every line of that client, or of all, is
before it. It ends with 0 after SIGTERM or SIGINT, and with 2 and one line of reason when it cannot
start.
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

# How long, in seconds, requests under way may take to end after the signal.
_GRACE_SECONDS = 3


class Application(Protocol):
    """A WSGI application that a server can run."""

    listener: Listener
    log: RequestLog
    stopping: threading.Event
    """Set when the server is to end; whatever waits in the application watches it."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""


def main(name: str, create: Callable[[Path], Application]) -> NoReturn:
    """Run the application that the configuration file named on the command line describes."""
    code = run(name, create, sys.argv[1:])
    sys.stdout.flush()
    # Idle connections and clients that neither read nor leave must not keep the process.
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
        # In a thread: the main one may hold the event's own lock when the signal comes.
        signal.signal(number, lambda *_: threading.Thread(target=stopping.set).start())
    threading.Thread(target=server.serve, daemon=True).start()
    threading.Thread(target=application.log.read_marks, args=(sys.stdin,), daemon=True).start()
    address, port = server.bind_addr
    print(f"ready {address}:{port}", flush=True)
    while not stopping.wait(1):  # a signal just before it sleeps would not wake it
        pass
    deadline = time.monotonic() + _GRACE_SECONDS
    while application.log.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    return 0


def _prepare(
    name: str, create: Callable[[Path], Application], arguments: list[str]
) -> tuple[Application, Server]:
    """Make the application and a server that listens.

    Raises:
        ConfigError: one of them cannot be made as it is configured.
    """
    if len(arguments) != 1:
        raise ConfigError("give one configuration file, as the only argument")
    try:
        application = create(Path(arguments[0]))
        listener = application.listener
        server = Server(name, listener, application, application.log)
    except ssl.SSLError as error:
        raise ConfigError(f"the certificate or its key cannot be used: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot start: {error}") from error
    try:
        server.prepare()
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {listener.address}:{listener.port}: {error}"
        ) from error
    return application, server
