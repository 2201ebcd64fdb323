"""Describe a crash of the suite in one line, and save its traceback in a file."""

from __future__ import annotations

import traceback
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_MAX_LENGTH = 300
"""The number of characters of an error that are shown."""


def line(error: BaseException) -> str:
    """Return the error and its location in one line, and save its traceback in a file.

    The file is in the state folder, and the line names it. If the file cannot be written, the line
    names none.
    """
    text = " ".join(str(error).split())[:_MAX_LENGTH]
    name = f"{type(error).__name__}: {text}" if text else type(error).__name__
    path = _save(error)
    return f"{name}{_location(error)}" + (f"; traceback: {path}" if path else "")


def _location(error: BaseException) -> str:
    """Return the innermost line of the project in the traceback, or an empty string."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and ".tox" not in path.parts:
            return f" ({path.relative_to(_ROOT)}:{frame.lineno})"
    return ""


def _save(error: BaseException) -> str:
    """Return the file with the traceback, or an empty string if it cannot be written."""
    try:
        # Imported here, because in a damaged environment this import can fail.
        from containers.state import state_folder

        path = state_folder() / "crash.log"
        path.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
    except Exception:  # noqa: BLE001  (the line is more important than the file)
        return ""
    return str(path)
