"""Start the index: `python -m index.front CONFIG.json`.

Prints `ready ADDRESS:PORT` when it listens. For a line `TOKEN CLIENT` on standard input, or a
`TOKEN` alone, it writes a mark into the request log: every line of that client, or of all, is
before it. Ends with 0 after SIGTERM or SIGINT, and with 2 and one line of reason when it cannot
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
from pathlib import Path

from .app import Front
from .config import ConfigError, load
from .tls import FrontServer

# How long, in seconds, requests under way may take to end once the front is told to.
_GRACE = 3
# How long, in seconds, a mark waits for them: one that hangs on request does not end sooner.
_SETTLE = 2


def main(arguments: list[str]) -> int:
    """Run the index until it is told to end; give the exit code."""
    named = arguments or [os.environ.get("INDEX_CONFIG", "")]
    if len(named) != 1 or not named[0]:
        return _fail("give one configuration file, as the argument or in INDEX_CONFIG")
    try:
        settings = load(Path(named[0]))
        front = Front(settings)
        server = FrontServer(settings, front)
    except ConfigError as error:
        return _fail(str(error))
    except ssl.SSLError as error:
        return _fail(f"the certificate or its key cannot be used: {error}")
    except OSError as error:
        return _fail(f"cannot start: {error}")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(front))
    try:
        server.prepare()
    except OSError as error:
        return _fail(f"cannot listen on {settings.address}:{settings.port}: {error}")
    threading.Thread(target=server.serve, daemon=True).start()
    threading.Thread(target=_marks, args=(front,), daemon=True).start()
    address, port = server.bind_addr
    print(f"ready {address}:{port}", flush=True)
    while not front.stopping.wait(1):  # a signal just before it sleeps would not wake it
        pass
    deadline = time.monotonic() + _GRACE
    while front.log.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    return 0


def _marks(front: Front) -> None:
    for line in sys.stdin:
        token, _, client = line.strip().partition(" ")
        # One client that takes its time does not hold up the others' marks.
        told = (token, client, _SETTLE)
        threading.Thread(target=front.log.mark, args=told, daemon=True).start()


def _stop(front: Front) -> None:
    # In a thread: the main one may hold the event's own lock when the signal comes.
    threading.Thread(target=front.stopping.set).start()


def _fail(reason: str) -> int:
    print(f"index: {reason}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Idle connections and clients that neither read nor leave must not keep the process.
    os._exit(code)
