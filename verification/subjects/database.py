"""The database file that the package wrote on a machine, read by the SQLite of this Python."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verification.models.errors import WrongUse

_FILES = ("data.db", "data.db-wal", "data.db-journal")
_IS_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'Plant' COLLATE NOCASE"
_ROWS = 1000  # many more than the exercise writes
_READ = "SELECT id, label, units, capacity, note FROM Plant ORDER BY id"


def check() -> None:
    """Make sure that this Python's SQLite knows STRICT tables (sqlite.org, "STRICT Tables").

    Raises:
        WrongUse: it does not.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise WrongUse(
            f"this Python's SQLite is {sqlite3.sqlite_version}, which cannot read what the package"
            " writes; take a Python with SQLite 3.37 or newer"
        )


def read(files: Mapping[str, str], seconds: float = 10) -> dict[str, Any]:
    """Return the ``rows`` of data.db, or its ``error``, and what it was ``read_by``.

    ``files`` are data.db and what SQLite keeps beside it (sqlite.org, "Temporary Files Used By
    SQLite"), by name, in base64. They are the package's, and may be anything: no view and no
    trigger of theirs is run, and the reading ends after ``seconds``.
    """
    told: dict[str, Any] = {"read_by": f"SQLite {sqlite3.sqlite_version}"}
    if "data.db" not in files:
        return {**told, "error": "there is no data.db in the project's folder"}
    with tempfile.TemporaryDirectory() as folder:
        for name in set(_FILES) & set(files):
            (Path(folder) / name).write_bytes(base64.b64decode(files[name]))
        connection = sqlite3.connect(Path(folder) / "data.db")
        with contextlib.closing(connection):
            deadline = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                if not connection.execute(_IS_TABLE).fetchone():
                    return {**told, "error": "there is no table Plant in data.db"}
                rows = connection.execute(_READ).fetchmany(_ROWS)
            except sqlite3.Error as error:
                return {**told, "error": str(error)}
    # JSON has no bytes, which no column of the table holds either.
    return {**told, "rows": [[repr(v) if isinstance(v, bytes) else v for v in r] for r in rows]}
