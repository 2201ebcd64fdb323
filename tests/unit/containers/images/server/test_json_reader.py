"""The reader of JSON objects: what it returns, and that it names every fault."""

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
def test_a_value_that_is_right_is_returned(value: Json, read: Read, expected: object) -> None:
    reader = ObjectReader({"key": value})
    assert read(reader) == expected
    assert reader.finish() == []


@pytest.mark.parametrize(
    ("value", "read", "fault"),
    [
        (None, lambda reader: reader.required("key", str), "key is missing"),
        (5, lambda reader: reader.required("key", str), "key must be a string"),
        ("", lambda reader: reader.required("key", str), "key must not be empty"),
        (True, lambda reader: reader.required("key", int), "key must be an integer"),
        (1.5, lambda reader: reader.required("key", int), "key must be an integer"),
        (1, lambda reader: reader.required("key", bool), "key must be true or false"),
        ([], lambda reader: reader.optional("key", str), "key must be a string"),
        ("1", lambda reader: reader.get("key", 5), "key must be an integer"),
        (True, lambda reader: reader.get("key", 1.5), "key must be a number"),
        ({}, lambda reader: reader.optional_list("key", str), "key must be a list"),
        (["a", 1], lambda reader: reader.optional_list("key", str), "key[1] must be a string"),
        (None, lambda reader: reader.nested("key"), "key is missing"),
        ([], lambda reader: reader.nested("key"), "key must be a JSON object"),
        ({"a": 1}, lambda reader: reader.nested("key"), "key.a is not a known key"),
        ({"a": 1}, lambda reader: reader.strings("key"), "key.a must be a string"),
        (None, lambda reader: reader.strings("key"), "key is missing"),
        (None, lambda reader: reader.values("key"), "key is missing"),
        ({}, lambda reader: reader.nested_list("key"), "key must be a list"),
        ([None], lambda reader: reader.nested_list("key"), "key[0] must be a JSON object"),
        ("x", lambda _reader: None, "key is not a known key"),
    ],
)
def test_a_value_that_is_wrong_is_one_fault(value: Json, read: Read, fault: str) -> None:
    reader = ObjectReader({"key": value})
    read(reader)
    assert reader.finish() == [fault]


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_a_document_that_is_no_object_is_one_fault(value: Json) -> None:
    reader = ObjectReader(value)
    reader.required("key", str)
    reader.nested("other")
    assert reader.finish() == ["the document must be a JSON object"]
