"""The paths of the user's files: paths from options, and the history of runs."""

from __future__ import annotations

import os
from pathlib import Path

from containers.state import state_folder
from verification.history.store import History


def user_path(name: str) -> Path:
    """Return the path that an option names. A relative path is relative to the user's folder.

    The launcher changes to the checkout and sets ``QUIVERDB_E2E_FOLDER`` to the user's folder.
    """
    return Path(os.environ.get("QUIVERDB_E2E_FOLDER") or Path.cwd()) / name


def history() -> History:
    """Return the history of runs. ``QUIVERDB_E2E_HISTORY`` can name its file."""
    name = os.environ.get("QUIVERDB_E2E_HISTORY")
    return History(Path(name) if name else state_folder() / "history.sqlite3")


def history_to_write() -> History | None:
    """Return the history to add runs to, or None if ``QUIVERDB_E2E_HISTORY`` is empty."""
    return None if os.environ.get("QUIVERDB_E2E_HISTORY") == "" else history()
