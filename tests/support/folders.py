"""Where the files and folders are that a user names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from containers.errors import WrongUse

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
    if there and not there & {MARK, "results.json"}:
        raise WrongUse(
            f"--report {folder}: it holds {min(there)} and no report; "
            "empty it or name another folder"
        )
