"""Output for the host: one JSON object per line."""

from __future__ import annotations

import json
import threading
import time
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""A JSON value."""
_LOCK = threading.Lock()


def report(**values: Json) -> None:
    """Print a line with the current time (seconds since 1970) and these values."""
    with _LOCK:
        print(json.dumps({"at": time.time(), **values}), flush=True)
