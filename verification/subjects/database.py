"""Read the database file that a package wrote on a machine, with the SQLite of this Python."""

from __future__ import annotations

import base64
import contextlib
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from verification.models.chosen_values import TableRows
from verification.models.errors import WrongUse
from verification.models.evidence import DatabaseFile

FILES = ("data.db", "data.db-wal", "data.db-journal")
# Much more than a smoke test writes.
_TABLES, _ROWS, _BYTES_OF_VALUE, _CHARACTERS = 100, 1000, 100_000, 2_000_000
# Views and virtual tables are left out: reading them runs code of the file.
_NAMES = """
SELECT name FROM pragma_table_list
WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY name
"""


def check() -> None:
    """Check that this Python's SQLite supports STRICT tables (sqlite.org, "STRICT Tables").

    Raises:
        WrongUse: SQLite is too old.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise WrongUse(
            f"this Python has SQLite {sqlite3.sqlite_version}, which cannot read the package's"
            " database; use a Python with SQLite 3.37 or newer"
        )


def read(files: Mapping[str, str], seconds: float = 10) -> DatabaseFile:
    """Return the tables of data.db, with their rows ordered by the first column, or an error.

    ``files`` are data.db and SQLite's files for it (sqlite.org, "Temporary Files Used By SQLite"),
    by name, in base64. Their content is untrusted: views, triggers and virtual tables do not run,
    values that are too long or too many are an error, and reading ends after ``seconds``.
    """
    read_by = f"SQLite {sqlite3.sqlite_version}"
    if "data.db" not in files:
        error = "the project's folder has no data.db"
        return DatabaseFile(read_by=read_by, error=error)
    with tempfile.TemporaryDirectory() as folder:
        for name in set(FILES) & set(files):
            (Path(folder) / name).write_bytes(base64.b64decode(files[name]))
        connection = sqlite3.connect(Path(folder) / "data.db")
        with contextlib.closing(connection):
            deadline = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            try:
                return DatabaseFile(read_by=read_by, tables=_tables(connection))
            except sqlite3.Error as error:
                return DatabaseFile(read_by=read_by, error=str(error))


def _tables(connection: sqlite3.Connection) -> dict[str, TableRows]:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _BYTES_OF_VALUE)
    connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
    tables = {}
    remaining = _CHARACTERS
    for (name,) in connection.execute(_NAMES).fetchmany(_TABLES):
        quoted = name.replace('"', '""')
        cursor = connection.execute(f'SELECT * FROM "{quoted}" ORDER BY 1')  # noqa: S608
        columns = tuple(str(column) for column, *_ in cursor.description)
        rows: list[tuple[JsonValue, ...]] = []
        for row in itertools.islice(cursor, _ROWS):
            rows.append(tuple(map(_value, row)))
            remaining -= sum(len(value) for value in rows[-1] if isinstance(value, str))
            if remaining < 0:
                raise sqlite3.DataError(f"the tables have more than {_CHARACTERS} characters")
        tables[name] = TableRows(columns=columns, rows=tuple(rows))
    return tables


def _value(value: bytes | JsonValue) -> JsonValue:
    return repr(value) if isinstance(value, bytes) else value  # JSON has no bytes
