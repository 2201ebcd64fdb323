"""Choose the values that a smoke test writes: at the limits of each type, and new in each run.

The host compares them with the values that the package returns and with those in its file. A
package that returns constants, or returns its input without storing it, therefore fails.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from verification.models.base import DataError, read_tables
from verification.models.chosen_values import ChosenValues, TableForm, TableRows, ValueKind
from verification.models.subject import Subject

_SEED_BYTES = 6
"""The size of a seed. JSON readers keep at most 53 bits of a number."""
_Choice = Callable[[random.Random], JsonValue]
_CHILDREN = (3, 0, 1, 4, 2)
"""The numbers of child rows for successive parent rows; the numbers repeat."""
_MAXIMUM, _MINIMUM = 2**63 - 1, -(2**63)  # SQLite's integers (sqlite.org, "Datatypes In SQLite")
# A narrower type changes each of these values. Most of them stay distinct in it, so that a set can
# still contain them. These values are left out:
# - -0.0 and NaN, which SQLite stores as 0.0 and NULL
# - infinity, which JSON does not have
# - the zero character, which ends a text in C
# - white space at the ends of a text, which some packages remove on purpose
_INTEGERS: tuple[_Choice, ...] = (
    lambda _: _MINIMUM,
    lambda _: _MAXIMUM,
    lambda rng: _MINIMUM + rng.randrange(1, 10**9),
    lambda rng: _MAXIMUM - rng.randrange(1, 10**9),
    lambda rng: 2**53 + 1 + 2 * rng.randrange(10**6),  # a double cannot represent these
    lambda rng: 2**32 + rng.randrange(1, 2**31),
    lambda rng: -(2**31) - rng.randrange(1, 10**9),
    lambda rng: rng.randrange(2, 100),
)
_FLOATS: tuple[_Choice, ...] = (
    lambda rng: 5e-324 * rng.randrange(1, 2**40),  # subnormal
    lambda rng: -rng.uniform(1, 1.79) * 1e308,
    lambda rng: rng.uniform(3, 9) * 1e-30,
    lambda rng: math.nextafter(rng.randrange(1, 10**6), math.inf),
    lambda rng: -(rng.randrange(1, 10**6) + 0.1),
    lambda rng: float(2**53 + 2 * rng.randrange(1, 10**6)),
    lambda rng: rng.uniform(-1, 1) / 3,
    lambda rng: float(rng.randrange(-100, 100)),  # a float without a fraction
)
_TEXTS: tuple[_Choice, ...] = (
    lambda _: "",
    lambda rng: f"Itaip\u00fa na\u00efve {rng.randrange(10**6)}",
    lambda rng: f"\u0141\u00f3d\u017a \u20ac {_characters(rng, 0x0400, 0x04FF)}",
    lambda rng: f"a{_characters(rng, 0x4E00, 0x9FA5)}",
    lambda rng: f"b{_characters(rng, 0x1F300, 0x1F5FF)}",  # not in the Basic Multilingual Plane
    lambda rng: f"e\u0301 \u00e9 {_characters(rng, 0x0300, 0x036F)} \u202b\ufeff",  # combining
    lambda rng: f"'a' \"b\" \\c\t%s\r\n{{}}; -- {rng.randrange(10**6)}",
    lambda rng: 200 * f"\u65e5{_characters(rng, 0x20, 0x7E)}\u672c\U0001f30a",  # long
)
_CHOICES: Mapping[str, tuple[_Choice, ...]] = {
    "integer": _INTEGERS,
    "float": _FLOATS,
    "text": _TEXTS,
    "flag": (lambda _: 1, lambda _: 0),
    "time": (
        lambda _: "9999-12-31T23:59:59",
        lambda rng: _time(rng, 1000, 1600),
        lambda rng: _time(rng, 1900, 1970),  # before the epoch
        lambda rng: _time(rng, 2039, 9998),  # too late for 32 bits of seconds
        lambda rng: _time(rng, 1970, 2038),
    ),
}


def load(path: Path) -> Mapping[str, TableForm]:
    """Return the tables of a values file, by name.

    Raises:
        DataError: the file cannot be read or does not fit the model, or a parent is not defined
            before its children.
    """
    forms = read_tables(TableForm, path)
    known: set[str] = set()
    for form in forms.values():
        if form.parent and form.parent not in known:
            raise DataError(
                f"{path.name}: {form.name}: its parent {form.parent} is not defined before it"
            )
        known.add(form.name)
    return forms


def for_subject(subject: Subject, seed: int) -> ChosenValues | None:
    """Return the values for the smoke test of a subject; None if the subject has no values file.

    Raises:
        DataError: the values file of the subject does not fit the model.
    """
    return choose(load(subject.values), seed) if subject.values else None


def new_seed() -> int:
    """Return an unpredictable seed."""
    return secrets.randbits(_SEED_BYTES * 8)


def shared_seed(digests: Mapping[str, str]) -> int:
    """Return the seed of all shards of a run, from the sha256 of each wheel by file name.

    A wheel does not know its own hash.
    """
    text = json.dumps(sorted(digests.items()))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:_SEED_BYTES])


def choose(forms: Mapping[str, TableForm], seed: int) -> ChosenValues:
    """Return the rows of all tables; the same seed gives the same rows."""
    rng = random.Random(seed)  # noqa: S311  (the seed is not a secret after the run)
    tables: dict[str, TableRows] = {}
    for name, form in forms.items():
        numbers = _row_numbers(form, tables)
        columns = [_column(kind, numbers, rng) for kind in form.columns.values()]
        tables[name] = TableRows(
            columns=tuple(form.columns), rows=tuple(zip(*columns, strict=True))
        )
    return ChosenValues(seed=seed, tables=tables)


def _row_numbers(form: TableForm, tables: Mapping[str, TableRows]) -> list[tuple[int, int]]:
    """Return for each row the number of its parent, 0 without a parent, and its position from 1."""
    if not form.parent:
        return [(0, number + 1) for number in range(form.rows)]
    return [
        (number + 1, position + 1)
        for number in range(len(tables[form.parent].rows))
        for position in range(_CHILDREN[number % len(_CHILDREN)])
    ]


def _column(
    kind: ValueKind, numbers: Sequence[tuple[int, int]], rng: random.Random
) -> list[JsonValue]:
    """Return the values of a column. With enough rows, it has each kind of value of its type."""
    if kind == "parent":
        return [parent for parent, _ in numbers]
    if kind == "position":
        return [position for _, position in numbers]
    if kind == "label":
        values = _column("text", numbers, rng)
        return [f"{value}{number}" for number, value in enumerate(values, 1)]
    choices = list(_CHOICES[kind.removesuffix("?")])
    if kind.endswith("?"):
        choices.append(lambda _: None)
    rng.shuffle(choices)
    return [choices[number % len(choices)](rng) for number in range(len(numbers))]


def _characters(rng: random.Random, first: int, last: int) -> str:
    """Return some characters of a range of code points."""
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randrange(5, 20)))


def _time(rng: random.Random, first: int, last: int) -> str:
    """Return a time to the second in one of these years (ISO 8601)."""
    begin, end = datetime.datetime(first, 1, 1), datetime.datetime(last, 12, 31)
    seconds = rng.randrange(int((end - begin).total_seconds()))
    return (begin + datetime.timedelta(seconds=seconds)).isoformat()
