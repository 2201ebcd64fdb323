"""The reader of JSON objects: its values and its faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from server.json_reader import Json, ObjectReader

Read = Callable[[ObjectReader], object]


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        ("x", lambda reader: reader.required("key", str), "x"),
        (0, lambda reader: reader.required("key", int), 0),
        (False, lambda reader: reader.required("key", bool), False),
        (2, lambda reader: reader.required("key", float), 2.0),
        (None, lambda reader: reader.optional("key", str), None),
        ("", lambda reader: reader.optional("key", str), ""),
        (None, lambda reader: reader.get("key", 5), 5),
        (0, lambda reader: reader.get("key", 5), 0),
        (2, lambda reader: reader.get("key", 1.5), 2.0),
        (False, lambda reader: reader.get("key", True), False),
        (None, lambda reader: reader.optional_list("key", str), None),
        ([], lambda reader: reader.optional_list("key", str), []),
        ([1, 2], lambda reader: reader.optional_list("key", int), [1, 2]),
        ({"a": "b"}, lambda reader: reader.strings("key"), {"a": "b"}),
        ({"a": None, "b": [1]}, lambda reader: reader.values("key"), {"a": None, "b": [1]}),
        (None, lambda reader: reader.nested_list("key"), []),
        ([], lambda reader: reader.nested_list("key"), []),
    ],
)
def test_valid_value_is_returned(value: Json, read: Read, expected: object) -> None:
    reader = ObjectReader({"key": value})
    assert read(reader) == expected
    assert reader.finish() == []


@pytest.mark.parametrize(
    ("value", "read", "key"),
    [
        (None, lambda reader: reader.required("key", str), "key"),
        (5, lambda reader: reader.required("key", str), "key"),
        ("", lambda reader: reader.required("key", str), "key"),
        (True, lambda reader: reader.required("key", int), "key"),
        (1.5, lambda reader: reader.required("key", int), "key"),
        (1, lambda reader: reader.required("key", bool), "key"),
        ([], lambda reader: reader.optional("key", str), "key"),
        ("1", lambda reader: reader.get("key", 5), "key"),
        (True, lambda reader: reader.get("key", 1.5), "key"),
        ({}, lambda reader: reader.optional_list("key", str), "key"),
        (["a", 1], lambda reader: reader.optional_list("key", str), "key[1]"),
        (None, lambda reader: reader.nested("key"), "key"),
        ([], lambda reader: reader.nested("key"), "key"),
        ({"a": 1}, lambda reader: reader.nested("key"), "key.a"),
        ({"a": 1}, lambda reader: reader.strings("key"), "key.a"),
        (None, lambda reader: reader.strings("key"), "key"),
        (None, lambda reader: reader.values("key"), "key"),
        ({}, lambda reader: reader.nested_list("key"), "key"),
        ([None], lambda reader: reader.nested_list("key"), "key[0]"),
        ("x", lambda _reader: None, "key"),
    ],
)
def test_wrong_value_is_one_fault_with_its_key(value: Json, read: Read, key: str) -> None:
    reader = ObjectReader({"key": value})
    read(reader)
    (fault,) = reader.finish()
    assert fault.split()[0] == key


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_document_that_is_not_an_object_is_one_fault(value: Json) -> None:
    reader = ObjectReader(value)
    reader.required("key", str)
    reader.nested("other")
    assert len(reader.finish()) == 1
