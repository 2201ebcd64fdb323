"""The smoke test, with a fake package that stores its data with the standard library."""

from __future__ import annotations

import datetime
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from verification.models.chosen_values import TableRows
from verification.models.evidence import RoundTripValue
from verification.subjects import chosen_values
from verification.subjects.quiverdb import smoke
from verification.subjects.subject import load as load_subject

TABLES = {
    **dict.fromkeys(("step", "cost", "kind"), "Plant_vector_costs"),
    **dict.fromkeys(("pause", "loss", "reason"), "Plant_vector_gaps"),
    **dict.fromkeys(("code",), "Plant_set_codes"),
    **dict.fromkeys(("weight",), "Plant_set_weights"),
    **dict.fromkeys(("tag",), "Plant_set_tags"),
    **dict.fromkeys(("date_time", "gates", "flow", "remark"), "Plant_time_series_flow"),
}


class QuiverError(Exception):
    """The exception class of the fake package."""


class Element:
    """A fake of the class that ``create_element`` takes in the first releases."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, key: str, value: object) -> None:
        if isinstance(value, datetime.datetime):
            raise TypeError("Unsupported type datetime")
        self.values[key] = value


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat()
    return value


class Database:
    """A fake of the `Database` class of the newest release."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA synchronous = OFF")  # the tests need no durable files

    @classmethod
    def from_schema(cls, path: str, schema: str) -> Database:
        if not Path(schema).exists():
            raise QuiverError(f"no {schema}")
        database = cls(path)
        database.connection.executescript(Path(schema).read_text("utf-8"))
        return database

    @classmethod
    def open(cls, path: str) -> Database:
        return cls(path)

    def create_element(self, collection: str, **values: object) -> int:
        scalars = {k: _plain(v) for k, v in values.items() if not isinstance(v, list)}
        element = self._insert(collection, scalars)
        groups: dict[str, dict[str, list[object]]] = {}
        for name, value in values.items():
            if isinstance(value, list):
                groups.setdefault(TABLES[name], {})[name] = list(map(_plain, value))
        for table, columns in groups.items():
            for number, row in enumerate(zip(*columns.values(), strict=True), 1):
                index = {"vector_index": number} if "_vector_" in table else {}
                values_of_row = dict(zip(columns, row, strict=True))
                self._insert(table, {"id": element, **index, **values_of_row})
        return element

    def _insert(self, table: str, values: Mapping[str, object]) -> int:
        columns, parameters = ", ".join(values), ", ".join("?" * len(values))
        text = f"INSERT INTO {table} ({columns}) VALUES ({parameters})"  # noqa: S608
        try:
            row = self.connection.execute(text, tuple(values.values())).lastrowid
            self.connection.commit()
        except sqlite3.Error as error:
            raise QuiverError(str(error)) from None
        assert row is not None
        return row

    def _read(self, collection: str, attribute: str) -> list[Any]:
        text = f"SELECT {attribute} FROM {collection} ORDER BY id"  # noqa: S608
        try:
            return [value for (value,) in self.connection.execute(text)]
        except sqlite3.Error as error:
            raise QuiverError(str(error)) from None

    def _scalar(self, collection: str, attribute: str, element: int) -> Any:
        return self._read(collection, attribute)[element - 1]

    def _group(self, _collection: str, attribute: str, element: int) -> list[Any]:
        text = f"SELECT {attribute} FROM {TABLES[attribute]} WHERE id = ?"  # noqa: S608
        return [value for (value,) in self.connection.execute(text, (element,))]

    def _groups(self, collection: str, attribute: str) -> list[list[Any]]:
        ids = self._read(collection, "id")
        return [self._group(collection, attribute, element) for element in ids]

    read_scalar_strings = read_scalar_integers = read_scalar_floats = _read
    read_scalar_string_by_id = read_scalar_integer_by_id = read_scalar_float_by_id = _scalar
    read_vector_strings = read_vector_integers = read_vector_floats = _groups
    read_set_strings = read_set_integers = read_set_floats = _groups
    read_vector_strings_by_id = read_vector_integers_by_id = read_vector_floats_by_id = _group
    read_set_strings_by_id = read_set_integers_by_id = read_set_floats_by_id = _group

    def read_time_series_group(self, _: str, group: str, element: int) -> Any:
        names = [name for name, table in TABLES.items() if table.endswith(f"_series_{group}")]
        columns = {name: self._group("Plant", name, element) for name in names}
        times = map(datetime.datetime.fromisoformat, columns["date_time"])
        return {**columns, "date_time": [time.replace(tzinfo=datetime.UTC) for time in times]}

    def close(self) -> None:
        self.connection.commit()
        self.connection.close()


def _create_from_element(self: Database, collection: str, *elements: Element, **_: object) -> int:
    """Create an element as the first releases did."""
    if not elements:
        raise TypeError("create_element() got an unexpected keyword argument")
    return Database.create_element(self, collection, **elements[0].values)


def _series_by_row(self: Database, collection: str, group: str, element: int) -> Any:
    """Return a time series as the first releases did."""
    columns = Database.read_time_series_group(self, collection, group, element)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [{**row, "date_time": _plain(row["date_time"])} for row in rows]


def old_database() -> type:
    """Return a fake `Database` of the first releases: it needs elements and has no ``open``."""
    names = {
        **Database.__dict__,
        "create_element": _create_from_element,
        "read_time_series_group": _series_by_row,
    }
    del names["open"]
    for name in list(names):
        if name.startswith("read_") and name.endswith("s"):
            del names[name]
    names["read_scalar_integers"] = Database.read_scalar_integers
    for kind in ("vector", "set"):
        for value in ("strings", "integers", "floats"):
            names[f"read_{kind}_{value}_by_id"] = getattr(Database, f"read_{kind}_{value}_by_id")
    return type("OldDatabase", (), names)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the fake package as an importable module; the current folder is empty."""
    module = ModuleType("quiverdb")
    module.__dict__.update(
        Database=Database, Element=Element, QuiverError=QuiverError, version=lambda: "1.2.0"
    )
    module.__dict__["_c_api"] = module.__dict__["_loader"] = ModuleType("part")
    monkeypatch.setitem(sys.modules, "quiverdb", module)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.fixture
def tables() -> Mapping[str, TableRows]:
    """Return the chosen values of the default subject: the rows of each table."""
    chosen = chosen_values.for_subject(load_subject(), 5)
    assert chosen is not None
    return chosen.tables


def round_trip(tables: Mapping[str, TableRows]) -> RoundTripValue:
    """Run the round trip of the smoke test with these tables in JSON form. Return its result."""
    plain: Any = {name: table.model_dump(mode="json") for name, table in tables.items()}
    return RoundTripValue.model_validate(smoke.round_trip(plain))


def _sorted(tables: Mapping[str, TableRows]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, table.rows)) for name, table in tables.items()}


@pytest.mark.usefixtures("package")
def test_the_written_values_are_returned_and_stored(tables: Mapping[str, TableRows]) -> None:
    value = round_trip(tables)
    assert _sorted(value.returned) == _sorted(tables)
    assert value.not_offered == ()
    connection = sqlite3.connect("data.db")
    for name, table in tables.items():
        text = f"SELECT {', '.join(table.columns)} FROM {name}"  # noqa: S608
        assert sorted(map(repr, connection.execute(text))) == sorted(map(repr, table.rows))
    assert connection.execute("SELECT label FROM Configuration").fetchall() == [("main",)]
    connection.close()


def test_an_old_release_does_not_offer_newer_functions(
    package: ModuleType, tables: Mapping[str, TableRows]
) -> None:
    package.__dict__["Database"] = old_database()
    package.__dict__["_helpers"] = ModuleType("_helpers")
    value = round_trip(tables)
    assert _sorted(value.returned) == _sorted(tables)
    assert value.not_offered == (
        *("Database.open", "NULL in a vector", "create_element(**attributes)", "datetime"),
    )


def test_null_in_a_vector_is_written_with_the_function_of_the_release(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch, tables: Mapping[str, TableRows]
) -> None:
    def update(self: Database, _: str, group: str, element: int, columns: Any) -> None:
        for number, row in enumerate(zip(*columns.values(), strict=True), 1):
            values = dict(zip(columns, row, strict=True))
            self._insert(f"Plant_vector_{group}", {"id": element, "vector_index": number, **values})

    monkeypatch.setattr(Database, "update_vector_group", update, raising=False)
    package.__dict__["_helpers"] = ModuleType("_helpers")
    package.__dict__["_helpers"].__dict__["format_datetime"] = None
    value = round_trip(tables)
    assert _sorted(value.returned) == _sorted(tables)
    assert value.not_offered == ()


@pytest.mark.parametrize(
    ("reader", "returned"),
    [
        ("read_scalar_integers", [1] * 9),
        ("read_scalar_floats", []),
        ("read_vector_strings", [[]] * 9),
        ("read_vector_integers", [[1]] * 9),
        ("read_set_floats", []),
        ("read_time_series_group", {}),
    ],
)
@pytest.mark.usefixtures("package")
def test_a_changed_or_lost_value_is_returned_without_correction(
    monkeypatch: pytest.MonkeyPatch,
    tables: Mapping[str, TableRows],
    reader: str,
    returned: object,
) -> None:
    monkeypatch.setattr(Database, reader, lambda *_: returned)
    expected, returned_tables = _sorted(tables), _sorted(round_trip(tables).returned)
    differing = [name for name, rows in returned_tables.items() if rows != expected[name]]
    assert len(differing) == (2 if "vector" in reader else 1)


@pytest.mark.usefixtures("package")
def test_closed_databases_stay_referenced(
    monkeypatch: pytest.MonkeyPatch, tables: Mapping[str, TableRows]
) -> None:
    closed: list[Any] = []
    monkeypatch.setattr(smoke, "_closed", closed)
    round_trip(tables)
    assert [type(database) for database in closed] == [Database, Database]


@pytest.mark.usefixtures("package")
def test_each_call_that_must_fail_raises_the_error_of_the_package() -> None:
    names = []
    for name, error, call in smoke.failing_calls():
        assert error is QuiverError
        with pytest.raises(QuiverError):
            call()
        names.append(name)
    assert len(names) == 3


class Library:
    """A fake native library. It does not have one of the functions that `dir` lists."""

    quiver_version = None

    def __dir__(self) -> list[str]:
        return ["quiver_version", "quiver_missing"]


def test_the_native_call_returns_version_source_and_lacking_functions(package: ModuleType) -> None:
    package.__dict__["_loader"].__dict__["_load_source"] = "bundled"
    package.__dict__["_c_api"].__dict__["api"] = lambda: (None, Library())
    assert smoke.native_call() == {
        "version": "1.2.0",
        "source": "bundled",
        "lacking": ["quiver_missing"],
    }


def test_an_older_release_returns_its_library_from_get_lib(package: ModuleType) -> None:
    package.__dict__["_c_api"].__dict__["get_lib"] = Library
    assert smoke.native_call() == {
        "version": "1.2.0",
        "source": None,
        "lacking": ["quiver_missing"],
    }


@pytest.mark.usefixtures("package")
def test_a_release_without_access_to_its_library_lacks_no_functions() -> None:
    assert smoke.native_call() == {"version": "1.2.0", "source": None, "lacking": []}
