"""The values of GitHub's expressions: how they are compared, converted and read.

The rules are from GitHub's documentation ("Expressions", "Operators") and the published source of
GitHub's runner (actions/runner, `src/Sdk/DTExpressions2`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from verification.models.expression_syntax import Scalar, number, number_text


class UnknownValue(Exception):
    """An expression needs a value that is not known before the run."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not known before the run")
        self.name = name
        """The value as an expression names it, such as `secrets.TOKEN`."""


@dataclass(frozen=True, eq=False)
class Object:
    """An object. GitHub ignores the case of its keys."""

    values: Mapping[str, Value]
    name: str = ""
    """Its name, if some of its values are not known. A key that it does not have is then not known
    either. If the name is empty, such a key is null."""

    def get(self, key: str) -> Value:
        """Return a value; null or `Unknown` if the object does not have it."""
        if key in self.values:
            return self.values[key]
        for name, value in self.values.items():
            if folded(name) == folded(key):
                return value
        return Unknown(f"{self.name}.{key}") if self.name else None

    def items(self) -> Mapping[str, Value]:
        """Return all values.

        Raises:
            UnknownValue: some are not known.
        """
        if self.name:
            raise UnknownValue(self.name)
        return self.values


@dataclass(frozen=True, eq=False)
class Array:
    """An array."""

    values: tuple[Value, ...]
    filtered: bool = False
    """Whether `*` made it. The next property is then read from each of its elements."""


@dataclass(frozen=True)
class Unknown:
    """A value that is not known before the run."""

    name: str


Value: TypeAlias = Scalar | Object | Array | Unknown
Known: TypeAlias = Scalar | Object | Array


def known(value: Value) -> Known:
    """Return a value.

    Raises:
        UnknownValue: it is not known.
    """
    if isinstance(value, Unknown):
        raise UnknownValue(value.name)
    return value


def from_json(value: JsonValue, name: str = "", unknown: frozenset[str] = frozenset()) -> Value:
    """Return the value of JSON data.

    ``name`` is the name of the value in an expression, and ``unknown`` has the names of the objects
    of which not all values are known, in lower case.
    """
    match value:
        case dict():
            values = {key: from_json(item, f"{name}.{key}", unknown) for key, item in value.items()}
            return Object(values, name if name.lower() in unknown else "")
        case list():
            return Array(tuple(from_json(item, f"{name}.*", unknown) for item in value))
        case bool() | None | str():
            return value
        case float():
            return value
        case int():
            return number(str(value))  # `float` refuses an integer of more than 308 digits


def to_json(value: Value) -> JsonValue:
    """Return a value as JSON data. A whole number is an integer.

    Raises:
        UnknownValue: a part of it is not known.
    """
    match known(value):
        case Object() as table:
            return {key: to_json(item) for key, item in table.items().items()}
        case Array(values):
            return [to_json(item) for item in values]
        case float() as quantity if quantity.is_integer():
            return int(quantity)
        case scalar:
            return scalar


def truthy(value: Value) -> bool:
    """Return whether a value counts as true.

    Raises:
        UnknownValue: it is not known.
    """
    match known(value):
        case None | False | "":
            return False
        case float() as quantity:
            return quantity != 0 and not math.isnan(quantity)
        case _:
            return True


def text_of(value: Value) -> str:
    """Return a value as a text.

    Raises:
        UnknownValue: it is not known.
    """
    match known(value):
        case None:
            return ""
        case bool() as switch:
            return str(switch).lower()
        case float() as quantity:
            return number_text(quantity)
        case str() as text:
            return text
        case Array():
            return "Array"
        case Object():
            return "Object"


def json_text(value: Value) -> str:
    """Return a value as the text of its JSON, as `toJSON` writes it.

    Raises:
        UnknownValue: a part of it is not known.
    """
    return json.dumps(to_json(value), indent=2, ensure_ascii=False)


def select(value: Value, key: Known) -> Value:
    """Return the property or the element of a value; null if it has none."""
    if isinstance(value, Array) and value.filtered:
        picked = (_own(item, key) for item in value.values)
        return Array(tuple(item for item in picked if item is not _MISSING), filtered=True)
    item = _own(value, key)
    return None if item is _MISSING else item


def select_all(value: Value) -> Value:
    """Return all properties or elements of a value (`*`), as an array."""
    if isinstance(value, Unknown):
        return Unknown(f"{value.name}.*")
    if isinstance(value, Object) and value.name:
        return Unknown(f"{value.name}.*")
    if isinstance(value, Array) and value.filtered:
        return Array(tuple(item for part in value.values for item in _members(part)), filtered=True)
    return Array(_members(value), filtered=True)


_MISSING = Object({})


def _own(value: Value, key: Known) -> Value:
    """Return the property or the element of one value; `_MISSING` if it has none."""
    match value:
        case Unknown(name):
            return Unknown(f"{name}.{text_of(key)}")
        case Object() as table if not isinstance(key, Array | Object):
            text = text_of(key)
            if table.name or any(folded(name) == folded(text) for name in table.values):
                return table.get(text)
        case Array(values):
            index = _number(key)
            if 0 <= index < len(values):
                return values[int(index)]
    return _MISSING


def _members(value: Value) -> tuple[Value, ...]:
    match value:
        case Unknown(name):
            return (Unknown(f"{name}.*"),)
        case Object(values, name):
            return (Unknown(f"{name}.*"),) if name else tuple(values.values())
        case Array(values):
            return values
        case _:
            return ()


def folded(text: str) -> str:
    """Return a text in the form in which GitHub compares it, without the case of its letters."""
    return "".join(map(_capital, text))


def _capital(letter: str) -> str:
    capital = letter.upper()
    return capital if len(capital) == 1 and capital.isascii() == letter.isascii() else letter


def equal(left: Known, right: Known) -> bool:
    """Return whether GitHub's `==` holds. Objects and arrays equal only themselves."""
    if isinstance(left, Object | Array) or isinstance(right, Object | Array):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        return folded(left) == folded(right)
    if left is None or right is None:
        return left is right or _number(left) == _number(right)
    return _number(left) == _number(right)


def less(left: Known, right: Known) -> bool:
    """Return whether GitHub's `<` holds."""
    if isinstance(left, str) and isinstance(right, str):
        return folded(left) < folded(right)
    if isinstance(left, Object | Array) or isinstance(right, Object | Array):
        return False
    if left is None and right is None:
        return False
    return _number(left) < _number(right)


def _number(value: Known) -> float:
    match value:
        case None:
            return 0.0
        case bool() | float():
            return float(value)
        case str():
            return number(value)
        case _:
            return math.nan
