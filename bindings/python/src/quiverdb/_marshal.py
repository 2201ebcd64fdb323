"""Between Python's values and the C API's."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quiverdb._c_api import api
from quiverdb.exceptions import QuiverError
from quiverdb.metadata import DataType, GroupMetadata, ScalarMetadata


def check(failed: int) -> None:
    """Raise the C API's last error as a QuiverError if a call failed."""
    if failed:
        ffi, lib = api()
        # An error may quote a path, which need not be valid UTF-8 outside Windows.
        raise QuiverError(ffi.string(lib.quiver_get_last_error()).decode("utf-8", "replace"))


def encode(text: str) -> bytes:
    """Return text as the C API takes it.

    Raises:
        ValueError: it holds a zero character, which the C API would take for its end.

    """
    if "\0" in text:
        raise ValueError(f"text with a zero character cannot be passed on: {text!r}")
    return text.encode("utf-8")


def encode_path(path: str | os.PathLike[str]) -> bytes:
    """Return a path as the C API takes it: UTF-8 on Windows, the file system's bytes elsewhere.

    Raises:
        ValueError: it holds a zero character.

    """
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError(f"a path cannot hold a zero character: {path!r}")
    return encoded


def decode(pointer: Any) -> str:
    """Return the text at a pointer that is not NULL."""
    ffi, _ = api()
    return str(ffi.string(pointer).decode("utf-8"))


def decode_or_none(pointer: Any) -> str | None:
    """Return the text at a pointer, None for NULL."""
    ffi, _ = api()
    return None if pointer == ffi.NULL else decode(pointer)


def to_datetime(text: str) -> datetime:
    """Return the time that a date column holds; it is in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise QuiverError(
            f"{text!r} is not a date: a date column holds YYYY-MM-DD[THH:MM:SS]"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def from_datetime(value: datetime) -> str:
    """Return a time as a date column holds it: in UTC, to the second; a naive one is in UTC."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat(timespec="seconds")


class Values:
    """C values made of Python's. They live as long as this object."""

    def __init__(self, values: Sequence[object], what: str) -> None:
        ffi, _ = api()
        self._texts: list[Any] = []
        self.count = len(values)
        self.pointer = ffi.new("quiver_value_t[]", self.count)
        for index, value in enumerate(values):
            self._fill(ffi, self.pointer[index], value, what)

    def _fill(self, ffi: Any, cell: Any, value: object, what: str) -> None:
        match value:
            case None:
                cell.data_type = DataType.NULL
            case int():  # a bool is an int
                cell.data_type = DataType.INTEGER
                cell.integer = int(value)
            case float():
                cell.data_type = DataType.FLOAT
                cell.real = value
            case str() | datetime():
                text = value if isinstance(value, str) else from_datetime(value)
                cell.data_type = DataType.STRING
                owner = ffi.new("char[]", encode(text))
                self._texts.append(owner)  # the struct's field alone does not keep it alive
                cell.text = owner
            case _:
                raise TypeError(
                    f"{what} cannot be a {type(value).__name__}:"
                    " use int, float, str, bool, datetime or None"
                )


class Attributes:
    """C attributes made of keyword arguments. They live as long as this object."""

    def __init__(self, attributes: Mapping[str, object]) -> None:
        ffi, _ = api()
        self.count = len(attributes)
        self.pointer = ffi.new("quiver_attribute_t[]", self.count)
        self._alive: list[Any] = []
        for index, (name, value) in enumerate(attributes.items()):
            is_array = isinstance(value, list | tuple)
            values = Values(value if is_array else [value], f"attribute {name!r}")  # type: ignore[arg-type]
            c_name = ffi.new("char[]", encode(name))
            self._alive += [values, c_name]
            attribute = self.pointer[index]
            attribute.name = c_name
            attribute.values = values.pointer
            attribute.count = values.count
            attribute.is_array = is_array


def numbers(values: Any, mask: Any, start: int, stop: int) -> list[Any]:
    """Return the numbers from start up to stop, with None where the mask says NULL."""
    ffi, _ = api()
    if start == stop:
        return []
    found = ffi.unpack(values + start, stop - start)
    present = ffi.buffer(mask + start, stop - start)[:]
    if b"\0" not in present:
        return list(found)
    return [value if there else None for value, there in zip(found, present, strict=True)]


def strings(values: Any, start: int, stop: int) -> list[str | None]:
    """Return the strings from start up to stop, with None for NULL."""
    return [decode_or_none(values[index]) for index in range(start, stop)]


def scalar_metadata(column: Any) -> ScalarMetadata:
    """Copy a C struct."""
    return ScalarMetadata(
        name=decode(column.name),
        data_type=DataType(column.data_type),
        not_null=bool(column.not_null),
        primary_key=bool(column.primary_key),
        default_value=decode_or_none(column.default_value),
        is_foreign_key=bool(column.is_foreign_key),
        references_collection=decode_or_none(column.references_collection),
        references_column=decode_or_none(column.references_column),
    )


def group_metadata(group: Any) -> GroupMetadata:
    """Copy a C struct."""
    return GroupMetadata(
        group_name=decode(group.group_name),
        dimension_column=decode(group.dimension_column),
        value_columns=[
            scalar_metadata(group.value_columns[index]) for index in range(group.value_column_count)
        ],
    )
