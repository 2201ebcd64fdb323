"""Lines for the host: one JSON object each."""

from __future__ import annotations

import json
import threading
import time
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""A value as JSON has it."""
_PRINTING = threading.Lock()


def say(**values: Json) -> None:
    """Print one line for the host."""
    with _PRINTING:
        print(json.dumps({"at": time.time(), **values}), flush=True)
