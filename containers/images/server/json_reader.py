"""Types of JSON values, and a reader for unchecked JSON objects."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]

_Value = TypeVar("_Value")

_KIND_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
}


class ObjectReader:
    """Reads the keys of a JSON object. Collects all faults instead of raising the first one.

    A kind is one of `str`, `int`, `float` and `bool`. A null value counts as absent. For a wrong
    value, a method returns the empty value of the kind.
    """

    def __init__(self, value: Json, path: str = "", faults: list[str] | None = None) -> None:
        self._path = path
        self._faults = [] if faults is None else faults
        self._nested: list[ObjectReader] = []
        self._is_object = isinstance(value, dict)
        self._unread = dict(value) if isinstance(value, dict) else {}
        if not self._is_object:
            self._faults.append(f"{path or 'the document'} must be a JSON object")

    def finish(self) -> list[str]:
        """Return all faults, including those of nested objects. An unread key is a fault."""
        self._faults += [f"{self._name(key)} is not a known key" for key in self._unread]
        for nested in self._nested:
            nested.finish()
        return self._faults

    def add_fault(self, key: str, text: str) -> None:
        """Add a fault: the name of the key, then ``text``."""
        self._faults.append(f"{self._name(key)} {text}")

    def required(self, key: str, kind: type[_Value]) -> _Value:
        """Return a value of a kind. An empty string is a fault."""
        value = self._pop_required(key)
        if value == "" and kind is str:
            self.add_fault(key, "must not be empty")
        checked = None if value is None else self._check(key, value, kind)
        return kind() if checked is None else checked

    def optional(self, key: str, kind: type[_Value]) -> _Value | None:
        """Return a value of a kind, or None if it is absent."""
        value = self._unread.pop(key, None)
        return None if value is None else self._check(key, value, kind)

    def get(self, key: str, default: _Value) -> _Value:
        """Return a value of the same kind as ``default``, or ``default`` if it is absent."""
        value = self.optional(key, type(default))
        return default if value is None else value

    def optional_list(self, key: str, kind: type[_Value]) -> list[_Value] | None:
        """Return a list of values of one kind, or None if it is absent."""
        if self._unread.get(key) is None:
            self._unread.pop(key, None)
            return None
        checked = [self._check(name, item, kind) for name, item in self._items(key)]
        return [item for item in checked if item is not None]

    def nested(self, key: str) -> ObjectReader:
        """Return a reader for the object under a required key."""
        value = self._pop_required(key)
        return ObjectReader({}) if value is None else self._nest(key, value)

    def nested_list(self, key: str) -> list[ObjectReader]:
        """Return a reader for each object of a list. An absent list is empty."""
        return [self._nest(name, item) for name, item in self._items(key)]

    def names(self) -> list[str]:
        """Return the names of the keys that were not read."""
        return list(self._unread)

    def strings(self, key: str) -> dict[str, str]:
        """Return an object of strings under a required key."""
        reader = self.nested(key)
        return {name: reader.required(name, str) for name in reader.names()}

    def values(self, key: str) -> JsonObject:
        """Return the unchecked object under a required key."""
        reader = self.nested(key)
        values, reader._unread = reader._unread, {}
        return values

    def _pop_required(self, key: str) -> Json:
        value = self._unread.pop(key, None)
        if value is None and self._is_object:
            self.add_fault(key, "is missing")
        return value

    def _items(self, key: str) -> list[tuple[str, Json]]:
        value = self._unread.pop(key, None)
        if isinstance(value, list):
            return [(f"{key}[{number}]", item) for number, item in enumerate(value)]
        if value is not None:
            self.add_fault(key, "must be a list")
        return []

    def _nest(self, key: str, value: Json) -> ObjectReader:
        reader = ObjectReader(value, self._name(key), self._faults)
        self._nested.append(reader)
        return reader

    def _check(self, key: str, value: Json, kind: type[_Value]) -> _Value | None:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        self.add_fault(key, f"must be {_KIND_NAMES[kind]}")
        return None

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
