"""Where the files and folders are that a user names."""

from __future__ import annotations

import os
from pathlib import Path


def typed(name: str) -> Path:
    """Return the path of what was typed; a relative one counts from where the user typed it.

    The launcher tells where that was: it starts everything in the checkout.
    """
    return Path(os.environ.get("QUIVERDB_E2E_FOLDER") or Path.cwd()) / name
