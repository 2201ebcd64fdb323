from __future__ import annotations

import datetime
import json
import sqlite3
import struct
from pathlib import Path

import pytest
from pydantic import JsonValue

from verification.models.base import DataError
from verification.models.chosen_values import ChosenValues
from verification.subjects import chosen_values
from verification.subjects.subject import load as load_subject

FORMS = """
[Plant]
rows = 9
columns.id = "position"
columns.label = "label"
columns.units = "integer?"
columns.capacity = "float?"
columns.note = "text?"
columns.online = "flag"
columns.begun = "time"

[Plant_costs]
parent = "Plant"
columns.id = "parent"
columns.number = "position"
columns.cost = "float"
"""
SEEDS = range(5)


def chosen(folder: Path, seed: int, text: str = FORMS) -> ChosenValues:
    path = folder / "values.toml"
    path.write_text(text, "utf-8")
    return chosen_values.choose(chosen_values.load(path), seed)


@pytest.fixture(params=SEEDS)
def plants(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, list[JsonValue]]:
    """Return the chosen values of the table Plant for a seed, by column."""
    table = chosen(tmp_path, request.param).tables["Plant"]
    return {name: [row[n] for row in table.rows] for n, name in enumerate(table.columns)}


def test_the_seed_determines_the_values(tmp_path: Path) -> None:
    assert chosen(tmp_path, 1) == chosen(tmp_path, 1)
    assert chosen(tmp_path, 1).tables != chosen(tmp_path, 2).tables
    assert len({chosen_values.new_seed() for _ in range(20)}) == 20
    assert chosen_values.new_seed() < 2**53


def test_integers_include_the_limits_and_do_not_fit_narrower_types(
    plants: dict[str, list[JsonValue]],
) -> None:
    units = [value for value in plants["units"] if isinstance(value, int)]
    assert {-(2**63), 2**63 - 1} <= set(units)
    assert None in plants["units"]
    assert sum(not -(2**31) <= value < 2**31 for value in units) >= 5
    assert any(int(float(value)) != value for value in units), "no double represents it"


def test_floats_do_not_fit_into_32_bits(plants: dict[str, list[JsonValue]]) -> None:
    capacities = [value for value in plants["capacity"] if isinstance(value, float)]
    assert len(capacities) == 8
    assert any(0 < abs(value) < 2.2e-308 for value in capacities), "subnormal"
    assert any(abs(value) > 1e308 for value in capacities)
    small = [value for value in capacities if abs(value) < 1e38]
    assert sum(struct.unpack("f", struct.pack("f", value))[0] != value for value in small) >= 4
    assert any(value.is_integer() for value in capacities)


def test_text_has_characters_of_each_length_in_utf_8(plants: dict[str, list[JsonValue]]) -> None:
    notes = [value for value in plants["note"] if isinstance(value, str)]
    assert "" in notes
    for first, last in ((0x80, 0xFF), (0x100, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
        assert any(first <= ord(letter) <= last for note in notes for letter in note)
    assert any("e\u0301" in note for note in notes), "a combining character"
    assert max(map(len, notes)) > 1000
    assert not any("\0" in note or note != note.strip() for note in notes)
    assert len(set(plants["label"])) == 9
    assert "" not in plants["label"]


def test_flags_are_0_or_1_and_times_are_iso_8601(plants: dict[str, list[JsonValue]]) -> None:
    assert set(plants["online"]) == {0, 1}
    times = [datetime.datetime.fromisoformat(str(value)) for value in plants["begun"]]
    assert max(times).year == 9999
    assert min(times).year < 1601


def test_a_parent_has_any_number_of_numbered_rows(tmp_path: Path) -> None:
    rows = chosen(tmp_path, 3).tables["Plant_costs"].rows
    numbers: dict[JsonValue, list[JsonValue]] = {}
    for parent, number, _ in rows:
        numbers.setdefault(parent, []).append(number)
    assert set(numbers) < set(range(1, 10))
    assert max(map(len, numbers.values())) >= 3
    assert all(rows == list(range(1, len(rows) + 1)) for rows in numbers.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_sqlite_and_json_store_each_value_unchanged(seed: int) -> None:
    values = chosen_values.for_subject(load_subject(), seed)
    assert values is not None
    assert ChosenValues.model_validate_json(values.model_dump_json()) == values
    connection = sqlite3.connect(":memory:")
    for name, table in values.tables.items():
        connection.execute(f"CREATE TABLE {name} ({', '.join(table.columns)})")
        parameters = ", ".join("?" * len(table.columns))
        connection.executemany(f"INSERT INTO {name} VALUES ({parameters})", table.rows)  # noqa: S608
        rows = connection.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall()  # noqa: S608
        assert list(map(json.dumps, rows)) == list(map(json.dumps, table.rows))
    connection.close()


def test_all_rows_of_a_table_differ() -> None:
    for seed in SEEDS:
        values = chosen_values.for_subject(load_subject(), seed)
        assert values is not None
        for table in values.tables.values():
            rows = list(map(json.dumps, table.rows))
            assert len(set(rows)) == len(rows)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("[A]\nparent = 'B'\ncolumns.id = 'parent'", r"A: .*\bB\b"),
        ("[A]\nrows = 1\ncolumns.id = 'number'", r"A: columns\.id"),
        ("[A]\ncolumns.id = 'position'", "A: .*rows"),
        ("[A]\nrows = 1\nparent = 'A'\ncolumns.id = 'parent'", "A: .*rows"),
        ("[A]\nrows = 1", "A: columns"),
        ("[A]\nrows = 1000\ncolumns.id = 'position'", "A: rows"),
    ],
)
def test_a_wrong_value_is_reported_with_its_location(
    tmp_path: Path, text: str, location: str
) -> None:
    with pytest.raises(DataError, match=rf"^values\.toml: {location}"):
        chosen(tmp_path, 1, text)


def test_a_subject_without_a_values_file_has_no_chosen_values() -> None:
    subject = load_subject().model_copy(update={"values": None})
    assert chosen_values.for_subject(subject, 1) is None
