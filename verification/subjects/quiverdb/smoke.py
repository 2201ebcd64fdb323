"""The smoke test of quiverdb: the first native call, and a database that is written and read.

The exercise calls both functions on the machine under test, on any CPython from 3.8. They use only
the standard library and the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence, TypedDict, Union

if TYPE_CHECKING:
    import quiverdb

Value = Union[int, float, str, None]

_SCHEMA = """
CREATE TABLE Configuration (
    id INTEGER PRIMARY KEY,
    label TEXT UNIQUE NOT NULL
) STRICT;
CREATE TABLE Plant (
    id INTEGER PRIMARY KEY,
    label TEXT UNIQUE NOT NULL,
    units INTEGER,
    capacity REAL,
    note TEXT
) STRICT;
"""
_FULL: Dict[str, Value] = {"label": "Itaipú", "units": 20, "capacity": 14000.5}
_EMPTY: Dict[str, Value] = {"label": "empty"}
_READERS = {
    "label": "read_scalar_strings",
    "units": "read_scalar_integers",
    "capacity": "read_scalar_floats",
    "note": "read_scalar_strings",
}


class NativeCall(TypedDict):
    """What the first native call shows."""

    version: str
    source: Optional[str]
    lacking: List[str]


class Table(TypedDict):
    """A table of the database file."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]


class RoundTrip(TypedDict):
    """What was written and what was read again."""

    written: Mapping[str, Union[Value, Sequence[Value]]]
    returned: Mapping[str, Union[Value, Sequence[Value]]]
    stored: Mapping[str, Table]
    not_offered: List[str]


def native_call() -> NativeCall:
    """Return the version, and which declared functions the libraries do not export."""
    import quiverdb
    from quiverdb import _c_api, _loader

    version = quiverdb.version()
    library = None
    if hasattr(_c_api, "api"):
        _, library = _c_api.api()
    elif hasattr(_c_api, "get_lib"):  # older releases
        library = _c_api.get_lib()
    # cffi looks for a function when it is first asked for (its documentation, "ABI, in-line").
    lacking = [name for name in dir(library) if not hasattr(library, name)] if library else []
    return {
        "version": version,
        "source": getattr(_loader, "_load_source", None),
        "lacking": lacking,
    }


def round_trip() -> RoundTrip:
    """Create a database, write to it, close it, open it again and read it."""
    import quiverdb

    not_offered: List[str] = []
    with open("schema.sql", "w", encoding="utf-8") as file:
        file.write(_SCHEMA)
    database = quiverdb.Database.from_schema("data.db", "schema.sql")
    _create(database, "Configuration", {"label": "main"}, not_offered)
    made = _create(database, "Plant", _FULL, not_offered)
    _create(database, "Plant", _EMPTY, not_offered)
    database.close()
    if hasattr(quiverdb.Database, "open"):
        values = _read(quiverdb.Database.open("data.db"))
    else:  # releases before 0.7.9 cannot open a file again without a schema
        not_offered.append("Database.open")
        values = _read_with_sqlite()
    columns = list(_READERS)
    rows = [[row.get(column) for column in columns] for row in (_FULL, _EMPTY)]
    return {
        "written": {"id": 1, **{c: [row[n] for row in rows] for n, c in enumerate(columns)}},
        "returned": {"id": made, **values},
        "stored": {
            "Plant": {
                "columns": ["id", *columns],
                "rows": [[number, *row] for number, row in enumerate(rows, 1)],
            }
        },
        "not_offered": sorted(set(not_offered)),
    }


def _create(
    database: quiverdb.Database,
    collection: str,
    values: Mapping[str, Value],
    not_offered: List[str],
) -> int:
    """Create an element and return its id."""
    import quiverdb

    try:
        return int(database.create_element(collection, **values))
    except TypeError:  # releases before 0.6.0 take an Element
        not_offered.append("create_element(**attributes)")
        element = quiverdb.Element()
        for key, value in values.items():
            element.set(key, value)
        return int(database.create_element(collection, element))


def _read(database: quiverdb.Database) -> Dict[str, List[Value]]:
    try:
        return {
            column: list(getattr(database, reader)("Plant", column))
            for column, reader in _READERS.items()
        }
    finally:
        database.close()


def _read_with_sqlite() -> Dict[str, List[Value]]:
    """Read the columns with the standard library, as users of such a release do."""
    import sqlite3

    with sqlite3.connect("data.db") as connection:
        rows = connection.execute(
            "SELECT label, units, capacity, note FROM Plant ORDER BY id"
        ).fetchall()
    connection.close()
    return {column: [row[number] for row in rows] for number, column in enumerate(_READERS)}
