"""Lines for the host: one JSON object each."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

_SAYING = threading.Lock()


def say(**values: Any) -> None:
    """Print one line for the host."""
    with _SAYING:
        print(json.dumps({"at": time.time(), **values}), flush=True)
