"""The smoke test with a fake package that stores its data with the standard library."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from verification.models.evidence import RoundTripValue
from verification.subjects.quiverdb import smoke

COLUMNS = ("label", "units", "capacity", "note")


class Element:
    """What older releases take instead of keywords."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, key: str, value: object) -> None:
        self.values[key] = value


class Database:
    """The newest interface."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path)

    @classmethod
    def from_schema(cls, path: str, schema: str) -> Database:
        made = cls(path)
        made.connection.executescript(Path(schema).read_text("utf-8"))
        return made

    @classmethod
    def open(cls, path: str) -> Database:
        return cls(path)

    def create_element(self, collection: str, **values: object) -> int:
        columns, places = ", ".join(values), ", ".join("?" * len(values))
        text = f"INSERT INTO {collection} ({columns}) VALUES ({places})"  # noqa: S608
        made = self.connection.execute(text, tuple(values.values())).lastrowid
        assert made is not None
        return made

    def _read(self, collection: str, attribute: str) -> list[Any]:
        text = f"SELECT {attribute} FROM {collection} ORDER BY id"  # noqa: S608
        return [value for (value,) in self.connection.execute(text)]

    read_scalar_strings = read_scalar_integers = read_scalar_floats = _read

    def close(self) -> None:
        self.connection.commit()
        self.connection.close()


def _create_from_element(self: Database, collection: str, *elements: Element, **_: object) -> int:
    """Create an element as the first releases did."""
    if not elements:
        raise TypeError("create_element() got an unexpected keyword argument")
    return Database.create_element(self, collection, **elements[0].values)


def old_database() -> type:
    """Return the interface of the first releases: it takes elements, and cannot open a file."""
    names = {**Database.__dict__, "create_element": _create_from_element}
    del names["open"]
    return type("OldDatabase", (), names)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the stand-in, as it is imported; the current folder is an empty one."""
    made = ModuleType("quiverdb")
    made.__dict__.update(Database=Database, Element=Element, version=lambda: "1.2.0")
    made.__dict__["_c_api"] = made.__dict__["_loader"] = ModuleType("part")
    monkeypatch.setitem(sys.modules, "quiverdb", made)
    monkeypatch.chdir(tmp_path)
    return made


EXPECTED = {
    "id": 1,
    "label": ["Itaipú", "empty"],
    "units": [20, None],
    "capacity": [14000.5, None],
    "note": [None, None],
}


@pytest.mark.usefixtures("package")
def test_what_is_written_is_read_again_and_stored() -> None:
    value = RoundTripValue.model_validate(smoke.round_trip())
    assert value.written == EXPECTED
    assert value.returned == EXPECTED
    assert value.stored["Plant"].columns == ("id", *COLUMNS)
    rows = ((1, "Itaipú", 20, 14000.5, None), (2, "empty", None, None, None))
    assert value.stored["Plant"].rows == rows
    assert value.not_offered == ()
    with sqlite3.connect("data.db") as connection:
        assert tuple(connection.execute("SELECT * FROM Plant ORDER BY id")) == rows
        assert connection.execute("SELECT label FROM Configuration").fetchall() == [("main",)]
    connection.close()


def test_an_old_release_is_read_with_the_standard_library(package: ModuleType) -> None:
    package.__dict__["Database"] = old_database()
    value = RoundTripValue.model_validate(smoke.round_trip())
    assert value.returned == value.written == EXPECTED
    assert value.not_offered == ("Database.open", "create_element(**attributes)")


def test_a_value_that_changes_is_returned_as_it_came(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "read_scalar_integers", lambda *_: [21, None])
    value = RoundTripValue.model_validate(smoke.round_trip())
    assert value.returned["units"] == [21, None]
    assert value.written["units"] == [20, None]
    assert package.version() == "1.2.0"


class Library:
    """The functions that the package declares, of which one is in no library."""

    quiver_version = None

    def __dir__(self) -> list[str]:
        return ["quiver_version", "quiver_missing"]


def test_the_native_call_returns_version_source_and_what_is_lacking(package: ModuleType) -> None:
    package.__dict__["_loader"].__dict__["_load_source"] = "bundled"
    package.__dict__["_c_api"].__dict__["api"] = lambda: (None, Library())
    assert smoke.native_call() == {
        "version": "1.2.0",
        "source": "bundled",
        "lacking": ["quiver_missing"],
    }


def test_an_older_release_hands_out_its_library_otherwise(package: ModuleType) -> None:
    package.__dict__["_c_api"].__dict__["get_lib"] = Library
    assert smoke.native_call() == {
        "version": "1.2.0",
        "source": None,
        "lacking": ["quiver_missing"],
    }


@pytest.mark.usefixtures("package")
def test_a_release_without_such_a_library_lacks_nothing() -> None:
    assert smoke.native_call() == {"version": "1.2.0", "source": None, "lacking": []}
