"""JSON values with types, and a reader for JSON objects that nobody has checked yet."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]

_Value = TypeVar("_Value")

_KIND_NAMES: dict[type, str] = {str: "a string", int: "an integer", bool: "true or false"}


class ObjectReader:
    """Reads the keys of a JSON object, and collects all faults instead of raising the first.

    A key that is null counts as absent. A key that is wrong reads as the empty value of its kind.
    A kind is `str`, `int` or `bool`.
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
        """Return all faults, with those of nested objects; a key that was not read is one."""
        self._faults += [f"{self._name(key)} is not a known key" for key in self._unread]
        for nested in self._nested:
            nested.finish()
        return self._faults

    def add_fault(self, key: str, text: str) -> None:
        """Add a fault of a key: ``text`` follows the key's name."""
        self._faults.append(f"{self._name(key)} {text}")

    def optional(self, key: str, kind: type[_Value]) -> _Value | None:
        """Return a value of a kind, or None if it is absent or wrong."""
        value = self._unread.pop(key, None)
        return None if value is None else self._checked(key, value, kind)

    def required(self, key: str, kind: type[_Value]) -> _Value:
        """Return a value of a kind."""
        value = self.optional(key, kind) if self._present(key) else None
        return kind() if value is None else value

    def optional_text(self, key: str) -> str | None:
        """Return a string that is not empty, or None if it is absent or wrong."""
        value = self.optional(key, str)
        if value == "":
            self.add_fault(key, "must not be empty")
        return value or None

    def text(self, key: str) -> str:
        """Return a string that is not empty."""
        return (self.optional_text(key) if self._present(key) else None) or ""

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer in a range; that it is absent without a default is a fault."""
        if default is not None and not self._has(key):
            return default
        before = len(self._faults)
        value = self.required(key, int)
        if len(self._faults) == before and not low <= value <= high:
            self.add_fault(key, f"must be from {low} to {high}")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a number, or the default if it is absent or wrong."""
        value = self._unread.pop(key, None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if value is not None:
            self.add_fault(key, "must be a number")
        return default

    def optional_list(self, key: str, kind: type[_Value]) -> list[_Value] | None:
        """Return a list of values of one kind, or None if it is absent or wrong."""
        if not self._has(key):
            return None
        value = self._unread.pop(key)
        if not isinstance(value, list):
            self.add_fault(key, "must be a list")
            return None
        items = [self._checked(f"{key}[{n}]", item, kind) for n, item in enumerate(value)]
        return [item for item in items if item is not None]

    def required_list(self, key: str, kind: type[_Value]) -> list[_Value]:
        """Return a list of values of one kind."""
        return (self.optional_list(key, kind) if self._present(key) else None) or []

    def nested(self, key: str) -> ObjectReader:
        """Return a reader for the object under a key; that it is absent is a fault."""
        if self._present(key):
            return self._nest(key, self._unread.pop(key))
        return ObjectReader({})

    def nested_list(self, key: str) -> list[ObjectReader]:
        """Return a reader for each object of a list; an absent list is empty."""
        value = self._unread.pop(key, [])
        if not isinstance(value, list):
            self.add_fault(key, "must be a list")
            return []
        return [self._nest(f"{key}[{number}]", item) for number, item in enumerate(value)]

    def strings(self, key: str, default: dict[str, str] | None = None) -> dict[str, str]:
        """Return an object of strings; that it is absent without a default is a fault."""
        if default is not None and not self._has(key):
            return default
        reader = self.nested(key)
        return {name: reader.required(name, str) for name in list(reader._unread)}

    def values(self, key: str) -> JsonObject:
        """Return an object as it is; that it is absent is a fault."""
        reader = self.nested(key)
        values, reader._unread = reader._unread, {}
        return values

    def _has(self, key: str) -> bool:
        """Return whether a key has a value, and drop one that is null."""
        if self._unread.get(key) is not None:
            return True
        self._unread.pop(key, None)
        return False

    def _present(self, key: str) -> bool:
        """Return whether a key has a value; that it has none is a fault."""
        present = self._has(key)
        if not present and self._is_object:
            self.add_fault(key, "is missing")
        return present

    def _nest(self, key: str, value: Json) -> ObjectReader:
        reader = ObjectReader(value, self._name(key), self._faults)
        self._nested.append(reader)
        return reader

    def _checked(self, key: str, value: Json, kind: type[_Value]) -> _Value | None:
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        self.add_fault(key, f"must be {_KIND_NAMES[kind]}")
        return None

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
