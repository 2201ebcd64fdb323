"""Describe a crash of the suite's own code in one line, and save its traceback in a file."""

from __future__ import annotations

import traceback
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LENGTH = 300
"""How many characters of an error are shown."""


def line(error: BaseException) -> str:
    """Return what broke and where, in one line; save the traceback in the state folder."""
    text = " ".join(str(error).split())[:_LENGTH]
    name = f"{type(error).__name__}: {text}" if text else type(error).__name__
    saved = _save(error)
    return f"{name}{_where(error)}" + (f"; traceback: {saved}" if saved else "")


def _where(error: BaseException) -> str:
    """Return the innermost line of the project in the traceback; empty if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and ".tox" not in path.parts:
            return f" ({path.relative_to(_ROOT)}:{frame.lineno})"
    return ""


def _save(error: BaseException) -> str:
    """Return the file with the traceback; empty if there is none."""
    try:
        # Imported here, because a damaged environment may not have what it needs.
        from containers.state import state_folder

        path = state_folder() / "crash.log"
        path.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
    except Exception:  # noqa: BLE001  (the line matters more than the file)
        return ""
    return str(path)
