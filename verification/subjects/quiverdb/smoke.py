"""The smoke test of quiverdb: the first native call, a round trip of data, calls that must fail.

The exercise calls these functions on the machine under test, on any CPython from 3.8. They use only
the standard library and the package.
"""

from __future__ import annotations

import datetime
from itertools import zip_longest
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypedDict,
    Union,
)

if TYPE_CHECKING:
    import quiverdb

Value = Union[int, float, str, None]
Attributes = Dict[str, object]

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
    note TEXT,
    online INTEGER,
    date_start TEXT
) STRICT;
CREATE TABLE Plant_vector_costs (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    vector_index INTEGER NOT NULL,
    step INTEGER,
    cost REAL,
    kind TEXT,
    PRIMARY KEY (id, vector_index)
) STRICT;
CREATE TABLE Plant_vector_gaps (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    vector_index INTEGER NOT NULL,
    pause INTEGER,
    loss REAL,
    reason TEXT,
    PRIMARY KEY (id, vector_index)
) STRICT;
CREATE TABLE Plant_set_codes (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    code INTEGER NOT NULL,
    UNIQUE (id, code)
) STRICT;
CREATE TABLE Plant_set_weights (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    weight REAL NOT NULL,
    UNIQUE (id, weight)
) STRICT;
CREATE TABLE Plant_set_tags (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    tag TEXT NOT NULL,
    UNIQUE (id, tag)
) STRICT;
CREATE TABLE Plant_time_series_flow (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    date_time TEXT NOT NULL,
    gates INTEGER,
    flow REAL,
    remark TEXT,
    PRIMARY KEY (id, date_time)
) STRICT;
"""
_TYPES = {
    **dict.fromkeys(("units", "online", "step", "pause", "code"), "integer"),
    **dict.fromkeys(("capacity", "cost", "loss", "weight"), "float"),
    **dict.fromkeys(("label", "note", "date_start", "kind", "reason", "tag"), "string"),
}
_NULL_VECTORS = "Plant_vector_gaps"
"""The table of vectors with NULL."""
_SERIES = "Plant_time_series_"
_MISSING = "(nothing)"
"""Represents a value that the package did not return."""
_NUMBERS = ("id", "vector_index")
"""The columns whose values the package assigns."""
_closed: List[quiverdb.Database] = []
"""The closed databases. The references keep garbage collection from closing their files."""


class NativeCall(TypedDict):
    """The result of the first native call."""

    version: str
    source: Optional[str]
    lacking: List[str]


class Table(TypedDict):
    """The columns and rows of a table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]


class RoundTrip(TypedDict):
    """The tables as the package returns them after the file was closed and opened again."""

    returned: Mapping[str, Table]
    not_offered: List[str]


def native_call() -> NativeCall:
    """Return the version, the loaded copy of the libraries, and the functions that they lack.

    ``source`` is None if the package does not report which copy it loaded. ``lacking`` are the
    functions that the package declares and the loaded library does not export.
    """
    import quiverdb
    from quiverdb import _c_api, _loader

    version = quiverdb.version()
    library = None
    if hasattr(_c_api, "api"):
        _, library = _c_api.api()
    elif hasattr(_c_api, "get_lib"):  # older releases
        library = _c_api.get_lib()
    # cffi looks up a function at its first use (its documentation, "ABI, in-line").
    lacking = [name for name in dir(library) if not hasattr(library, name)] if library else []
    return {
        "version": version,
        "source": getattr(_loader, "_load_source", None),
        "lacking": lacking,
    }


def round_trip(tables: Mapping[str, Table]) -> RoundTrip:
    """Create a database, write the tables, close it, open it again and read the tables."""
    import quiverdb

    not_offered: List[str] = []
    database = _new_database("data.db")
    _create(database, "Configuration", {"label": "main"}, not_offered)
    separate = [_NULL_VECTORS] if _refuses_null_in_vectors() else []
    elements = _elements(tables, separate)
    ids = [_create(database, "Plant", element, not_offered) for element in elements]
    for name in separate:
        _write_null_vectors(database, tables[name], ids, not_offered)
    if hasattr(quiverdb.Database, "open"):
        _close(database)
        database = quiverdb.Database.open("data.db")
    else:  # releases before 0.7.9 cannot open an existing file without a schema
        not_offered.append("Database.open")
    returned: Dict[str, Table] = {
        name: {"columns": table["columns"], "rows": _read(database, name, table["columns"], ids)}
        for name, table in tables.items()
    }
    _close(database)
    return {"returned": returned, "not_offered": sorted(set(not_offered))}


def failing_calls() -> Iterator[Tuple[str, Type[Exception], Callable[[], object]]]:
    """Yield each call that must fail: its name, the error that it must raise, and the call."""
    import quiverdb

    database = _new_database("failing.db")
    _create(database, "Configuration", {"label": "main"}, [])
    error = quiverdb.QuiverError
    yield (
        "create an element with a label that exists",
        error,
        lambda: _create(database, "Configuration", {"label": "main"}, []),
    )
    yield (
        "read an attribute that does not exist",
        error,
        lambda: database.read_scalar_integers("Plant", "nothing"),
    )
    yield (
        "create a database without its schema",
        error,
        lambda: quiverdb.Database.from_schema("none.db", "none.sql"),
    )
    _close(database)


def _new_database(path: str) -> quiverdb.Database:
    import quiverdb

    with open("schema.sql", "w", encoding="utf-8") as file:
        file.write(_SCHEMA)
    return quiverdb.Database.from_schema(path, "schema.sql")


def _close(database: quiverdb.Database) -> None:
    database.close()
    _closed.append(database)


# ---- writing ----


def _elements(tables: Mapping[str, Table], separate: Sequence[str]) -> List[Attributes]:
    """Return the attributes of each element: its scalars, and the columns of its groups as lists.

    The tables ``separate`` are left out.
    """
    plants = tables["Plant"]
    elements = [_by_column(plants["columns"], row) for row in plants["rows"]]
    for name, table in tables.items():
        if name not in ("Plant", *separate):
            for number, group in _groups(table).items():
                elements[number - 1].update(group)
    return [
        {name: value for name, value in element.items() if name != "id"} for element in elements
    ]


def _groups(table: Table) -> Dict[int, Dict[str, List[Value]]]:
    """Return the values of each column of a group, by element number and column name."""
    groups: Dict[int, Dict[str, List[Value]]] = {}
    for row in table["rows"]:
        values = dict(zip_longest(table["columns"], row))
        group = groups.setdefault(int(str(values["id"])), {})
        for column in table["columns"]:
            if column not in _NUMBERS:
                group.setdefault(column, []).append(values[column])
    return groups


def _write_null_vectors(
    database: quiverdb.Database, table: Table, ids: Sequence[int], not_offered: List[str]
) -> None:
    """Write the vectors that contain NULL, which this release's `create_element` refuses.

    An older release cannot write them. Then SQLite writes them, and ``not_offered`` is extended.
    """
    if not _is_older():
        for number, group in _groups(table).items():
            database.update_vector_group("Plant", "gaps", ids[number - 1], group)
        return
    import sqlite3

    not_offered.append("NULL in a vector")
    values = ", ".join("?" * len(table["columns"]))
    with sqlite3.connect("data.db") as connection:
        connection.executemany(f"INSERT INTO {_NULL_VECTORS} VALUES ({values})", table["rows"])  # noqa: S608
    connection.close()


def _by_column(columns: Sequence[str], row: Sequence[object]) -> Attributes:
    return {column: row[number] for number, column in enumerate(columns)}


def _create(
    database: quiverdb.Database,
    collection: str,
    values: Attributes,
    not_offered: List[str],
) -> int:
    """Create an element and return its id. Add what the release lacks to ``not_offered``."""
    import quiverdb

    if not _is_older():
        return int(database.create_element(collection, **_typed(values)))
    not_offered.append("datetime")
    try:
        return int(database.create_element(collection, **values))
    except TypeError:  # releases before 0.6.0 need an Element
        not_offered.append("create_element(**attributes)")
        element = quiverdb.Element()
        for key, value in values.items():
            element.set(key, value)
        return int(database.create_element(collection, element))


def _is_older() -> bool:
    """Return True if the release is older than 0.12 and does not accept datetimes."""
    try:
        from quiverdb import _helpers
    except ImportError:
        return False
    return not hasattr(_helpers, "format_datetime")


def _refuses_null_in_vectors() -> bool:
    """Return True if `create_element` rejects NULL in a vector, as in published releases."""
    import quiverdb

    return hasattr(quiverdb.Database, "update_vector_group") or _is_older()


def _typed(values: Attributes) -> Attributes:
    """Return the attributes with times as datetime and flags as bool."""
    return {name: _as_python(name, value) for name, value in values.items()}


def _as_python(name: str, value: object) -> object:
    if isinstance(value, list):
        return [_as_python(name, item) for item in value]
    if name.startswith("date_") and isinstance(value, str):
        return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.timezone.utc)
    return bool(value) if name == "online" and value is not None else value


# ---- reading ----


def _read(
    database: quiverdb.Database, table: str, columns: Sequence[str], ids: Sequence[int]
) -> List[Sequence[Value]]:
    """Read a table with the package, and return its rows."""
    if table == "Plant":
        values = [_column(database, "scalar", column, ids) for column in columns if column != "id"]
        return [list(row) for row in zip_longest(ids, *values, fillvalue=_MISSING)]
    if table == _NULL_VECTORS and _is_older():
        return _read_with_sqlite(table)
    groups: List[Mapping[str, Sequence[Value]]]
    if table.startswith(_SERIES):
        groups = [_series(database, table[len(_SERIES) :], element) for element in ids]
    else:
        kind = table.split("_")[1]
        names = [column for column in columns if column not in _NUMBERS]
        lists = [_column(database, kind, name, ids) for name in names]
        groups = [dict(zip_longest(names, row)) for row in zip_longest(*lists, fillvalue=())]
    rows: List[Sequence[Any]] = []
    for number, group in enumerate(groups):
        group_rows = zip_longest(*group.values(), fillvalue=_MISSING)
        for position, items in enumerate(group_rows, 1):
            row = {"id": ids[number], "vector_index": position, **_by_column(list(group), items)}
            rows.append([row.get(column, _MISSING) for column in columns])
    return rows


def _read_with_sqlite(table: str) -> List[Sequence[Value]]:
    """Read a table with the standard library, as users do if their release cannot read it."""
    import sqlite3

    connection = sqlite3.connect("data.db")
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
    connection.close()
    return [list(row) for row in rows]


def _column(database: quiverdb.Database, kind: str, name: str, ids: Sequence[int]) -> List[Any]:
    """Return a column of all elements: values of a scalar, or lists for a vector or set."""
    reader = f"read_{kind}_{_TYPES[name]}"
    if hasattr(database, "open"):
        return list(getattr(database, f"{reader}s")("Plant", name))
    # In the first releases, the readers of all elements omit NULL and elements without rows.
    by_id = getattr(database, f"{reader}_by_id" if kind == "scalar" else f"{reader}s_by_id")
    return [by_id("Plant", name, element) for element in ids]


def _series(database: quiverdb.Database, group: str, element: int) -> Mapping[str, Sequence[Value]]:
    """Return a time series by column; older releases return it by row."""
    series = database.read_time_series_group("Plant", group, element)
    if isinstance(series, list):
        names = series[0] if series else {}
        series = {name: [row[name] for row in series] for name in names}
    return {name: [_as_text(value) for value in values] for name, values in series.items()}


def _as_text(value: object) -> Value:
    """Return the JSON form of a value of a time series."""
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat()
    assert value is None or isinstance(value, (int, float, str))
    return value
