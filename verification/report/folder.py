"""Where the files and folders are that a user names."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from verification.models.errors import WrongUse

MARK = ".quiverdb-e2e"
"""A file in each folder that a report was written to."""


def typed(name: str) -> Path:
    """Return the path of what was typed; a relative one counts from where the user typed it.

    The launcher tells where that was: it starts everything in the checkout.
    """
    return Path(os.environ.get("QUIVERDB_E2E_FOLDER") or Path.cwd()) / name


def for_report(folder: Path) -> None:
    """Find out now, not after ten minutes, whether a report can be written, and may.

    Raises:
        WrongUse: it cannot, or what is there is no report, and would be lost.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in folder.iterdir()}
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        reason = error.strerror or str(error)
        raise WrongUse(
            f"--report {folder}: it cannot be written to ({reason}); name another folder"
        ) from None
    if lost := _lost(folder, there):
        raise WrongUse(
            f"--report {folder}: it holds {lost} and no report; empty it or name another folder"
        )


_FILES = {"results.json", "index.html", "VERIFICATION.md", "junit.xml", "pipeline.json"}
_FOLDERS = {"evidence", "cells", "required", "kept", "replay"}
"""What a report is made of, which a new one takes the place of."""


def _lost(folder: Path, there: set[str]) -> str:
    """Return what would be lost there that is no report; empty if nothing would be."""
    if MARK in there or _is_report(folder / "results.json"):
        return ""
    # A run that was killed early, or that only collected, leaves some of these.
    early = {"junit.xml", *_FOLDERS}
    for name in sorted(there & (_FILES | _FOLDERS)):
        inside = (folder / name).rglob("*")
        if name not in early or any(p.is_file() and p.suffix != ".json" for p in inside):
            return name
    return ""


def _is_report(path: Path) -> bool:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and {"schema", "verdict"} <= told.keys()
