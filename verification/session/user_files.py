"""The location of the user's files: paths from options, and the history of runs."""

from __future__ import annotations

import os
from pathlib import Path

from containers.state import state_folder
from verification.history.store import History


def user_path(name: str) -> Path:
    """Return the path that an option names. A relative one counts from the user's own folder.

    The launcher starts everything in the checkout and sets ``QUIVERDB_E2E_FOLDER`` to that folder.
    """
    return Path(os.environ.get("QUIVERDB_E2E_FOLDER") or Path.cwd()) / name


def history() -> History:
    """Return the history of runs; ``QUIVERDB_E2E_HISTORY`` names another file for it."""
    named = os.environ.get("QUIVERDB_E2E_HISTORY")
    return History(Path(named) if named else state_folder() / "history.sqlite3")


def history_to_write() -> History | None:
    """Return the history that runs are added to: none if ``QUIVERDB_E2E_HISTORY`` is empty."""
    return None if os.environ.get("QUIVERDB_E2E_HISTORY") == "" else history()
