from __future__ import annotations

import base64
import contextlib
import sqlite3
from pathlib import Path

import pytest

from verification.models.chosen_values import TableRows
from verification.models.errors import WrongUse
from verification.subjects import database

TABLE = "CREATE TABLE Plant (id INTEGER, label TEXT, units INTEGER, capacity REAL, note ANY) STRICT"
COLUMNS = ("id", "label", "units", "capacity", "note")


def files_of(folder: Path) -> dict[str, str]:
    """Return the files of the database by name, in base64 as the probe records them."""
    return {
        path.name: base64.b64encode(path.read_bytes()).decode() for path in folder.glob("data.db*")
    }


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "data.db")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(TABLE)
    return connection


def test_the_rows_of_all_tables_are_read_in_the_order_of_the_first_column(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO Plant VALUES (2, 'b', 1, 1.0, NULL)")
    connection.execute("INSERT INTO Plant VALUES (1, 'Itaipú', 20, 14000.5, NULL)")
    connection.execute('CREATE TABLE "a "" table" (x INTEGER PRIMARY KEY AUTOINCREMENT)')
    connection.commit()
    connection.close()
    content = database.read(files_of(tmp_path))
    rows = ((1, "Itaipú", 20, 14000.5, None), (2, "b", 1, 1.0, None))
    assert content.tables == {
        "Plant": TableRows(columns=COLUMNS, rows=rows),
        'a " table': TableRows(columns=("x",), rows=()),
    }
    assert (content.error, content.read_by) == ("", f"SQLite {sqlite3.sqlite_version}")


def test_rows_in_the_write_ahead_log_are_read(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO Plant VALUES (1, 'a', 2, 3.0, NULL)")
    connection.commit()
    files = files_of(tmp_path)
    connection.close()
    assert set(files) >= {"data.db", "data.db-wal"}
    rows = ((1, "a", 2, 3.0, None),)
    assert database.read(files).tables["Plant"].rows == rows
    without_log = database.read({"data.db": files["data.db"]}).tables.get("Plant")
    assert without_log is None or without_log.rows != rows


def test_bytes_are_returned_as_their_python_literal(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO Plant VALUES (1, 'a', 2, 3.0, x'00ff')")
    connection.commit()
    connection.close()
    assert database.read(files_of(tmp_path)).tables["Plant"].rows[0][4] == "b'\\x00\\xff'"


def test_a_missing_or_invalid_database_has_an_error_and_no_tables() -> None:
    invalid = database.read({"data.db": base64.b64encode(b"no database" * 100).decode()})
    assert "not a database" in invalid.error  # SQLite's words
    missing = database.read({})
    assert "data.db" in missing.error
    assert invalid.tables == missing.tables == {}


def test_only_files_of_sqlite_are_written(tmp_path: Path) -> None:
    other = f"../{tmp_path.name}-other"
    with contextlib.suppress(OSError):
        database.read({"data.db": "", other: base64.b64encode(b"x").decode()})
    assert not (tmp_path.parent / f"{tmp_path.name}-other").exists()


ENDLESS = (
    "WITH RECURSIVE more(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM more) SELECT * FROM more"
)


def test_views_and_virtual_tables_are_not_read(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "data.db")
    connection.execute(f"CREATE VIEW Plant AS {ENDLESS}")
    connection.execute("CREATE VIRTUAL TABLE Words USING fts5(word)")
    connection.execute("CREATE TABLE ordinary (x)")
    connection.close()
    assert list(database.read(files_of(tmp_path)).tables) == ["ordinary"]


def test_at_most_a_thousand_rows_are_read(connection: sqlite3.Connection, tmp_path: Path) -> None:
    connection.executemany(
        "INSERT INTO Plant VALUES (?, 'a', 1, 1.0, NULL)", ((n,) for n in range(1500))
    )
    connection.commit()
    connection.close()
    assert len(database.read(files_of(tmp_path)).tables["Plant"].rows) == 1000


def test_text_that_is_not_utf_8_has_escaped_bytes(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO Plant VALUES (1, CAST(x'49fa' AS TEXT), 2, 3.0, NULL)")
    connection.commit()
    connection.close()
    assert database.read(files_of(tmp_path)).tables["Plant"].rows[0][1] == "I\\xfa"


def test_a_value_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "data.db")
    connection.execute("CREATE TABLE a (x, y GENERATED ALWAYS AS (hex(zeroblob(1000000))))")
    connection.execute("INSERT INTO a VALUES (1)")
    connection.commit()
    connection.close()
    assert "too big" in database.read(files_of(tmp_path)).error  # SQLite's words


def test_too_many_long_values_are_an_error(connection: sqlite3.Connection, tmp_path: Path) -> None:
    connection.executemany(
        "INSERT INTO Plant VALUES (?, ?, 1, 1.0, NULL)", ((n, "x" * 50_000) for n in range(60))
    )
    connection.commit()
    connection.close()
    content = database.read(files_of(tmp_path))
    assert (bool(content.error), content.tables) == (True, {})


def test_reading_ends_after_the_time_limit(
    connection: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.commit()
    connection.close()
    monkeypatch.setattr(database, "_NAMES", f"SELECT count(*) FROM ({ENDLESS})")  # noqa: S608
    assert database.read(files_of(tmp_path), seconds=0.2).error == "interrupted"


def test_a_sqlite_without_strict_tables_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 9))
    with pytest.raises(WrongUse, match=r"3\.37"):
        database.check()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 0))
    database.check()
    monkeypatch.undo()
    database.check()
