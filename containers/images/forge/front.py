"""Start the forge: `python -m forge.front CONFIG.json`.

Prints `ready ADDRESS:PORT` when it listens. Ends with 0 after SIGTERM or SIGINT, and with 2
and one line of reason when it cannot start.
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

from .app import Forge
from .config import ConfigError, load
from .keys import KeysError
from .tls import ForgeServer, serving

# How long requests under way may take to end once the forge is told to.
_GRACE = 3


def main(arguments: list[str]) -> int:
    """Run the forge until it is told to end; give the exit code."""
    if len(arguments) != 1:
        return _fail("give one configuration file, as the only argument")
    try:
        settings = load(Path(arguments[0]))
        forge = Forge(settings)
        server = ForgeServer(settings, forge)
    except (ConfigError, KeysError) as error:
        return _fail(str(error))
    except ssl.SSLError as error:
        return _fail(f"the certificate or its key cannot be used: {error}")
    except OSError as error:
        return _fail(f"cannot start: {error}")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(forge))
    try:
        server.prepare()
    except OSError as error:
        return _fail(f"cannot listen on {settings.address}:{settings.port}: {error}")
    threading.Thread(target=server.serve, daemon=True).start()
    address, port = serving(server)
    print(f"ready {address}:{port}", flush=True)
    while not forge.stopping.wait(1):  # a signal just before it sleeps would not wake it
        pass
    deadline = time.monotonic() + _GRACE
    while forge.log.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    return 0


def _stop(forge: Forge) -> None:
    # In a thread: the main one may hold the event's own lock when the signal comes.
    threading.Thread(target=forge.stopping.set).start()


def _fail(reason: str) -> int:
    print(f"forge: {reason}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Idle connections and clients that neither read nor leave must not keep the process.
    os._exit(code)
