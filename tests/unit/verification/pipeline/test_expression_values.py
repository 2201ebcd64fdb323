"""Tests of the values of expressions, with the rules in the documentation of GitHub."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from verification.pipeline.expression_values import (
    UnknownValue,
    equal,
    from_json,
    json_text,
    known,
    less,
    select,
    text_of,
    to_json,
    truthy,
)


@pytest.mark.parametrize(
    ("value", "text", "is_true"),
    [(None, "", False), (True, "true", True), (0.0, "0", False), ("", "", False), ("0", "0", True)],
)
def test_value_has_a_text_and_a_truth(value: JsonValue, text: str, *, is_true: bool) -> None:
    assert text_of(from_json(value)) == text
    assert truthy(from_json(value)) is is_true


def test_comparison_ignores_the_case_and_converts_to_numbers() -> None:
    assert equal("ABC", "abc")
    assert equal("1", 1.0)
    assert equal(None, 0.0)
    assert not equal(known(from_json([])), known(from_json([])))
    assert less("a", "B")
    assert not less("x", 1.0)


def test_json_data_is_the_same_after_both_conversions() -> None:
    data: JsonValue = {"a": [1, 2.5, None, True], "B": {"c": "x"}}
    assert to_json(from_json(data)) == data
    assert json_text(from_json([1])) == "[\n  1\n]"


def test_missing_key_is_null_or_unknown() -> None:
    assert select(from_json({"a": 1}), "b") is None
    partly_known = from_json({"a": 1}, "github", frozenset({"github"}))
    assert select(partly_known, "A") == 1
    with pytest.raises(UnknownValue) as error:
        known(select(partly_known, "b"))
    assert error.value.name == "github.b"
