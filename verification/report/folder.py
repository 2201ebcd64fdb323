"""Check that a folder can hold a report without overwriting other files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from verification.models.errors import WrongUse

MARK = ".quiverdb-e2e"
"""A file in each folder that a report was written to."""


def check(folder: Path) -> None:
    """Check before the run that a report can be written to ``folder``, and overwrites nothing else.

    Raises:
        WrongUse: it cannot, or the folder holds files that are not of a report.
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
    if foreign := _foreign_file(folder, there):
        raise WrongUse(
            f"--report {folder}: it holds {foreign} and no report; empty it or name another folder"
        )


_FILES = {"results.json", "index.html", "VERIFICATION.md", "junit.xml", "pipeline.json"}
_FOLDERS = {"evidence", "cells", "required", "kept", "replay"}
"""The parts of a report. A new report replaces them."""


def _foreign_file(folder: Path, there: set[str]) -> str:
    """Return the name of what a report would overwrite and no report wrote; empty if none is."""
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
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"schema", "verdict"} <= content.keys()
