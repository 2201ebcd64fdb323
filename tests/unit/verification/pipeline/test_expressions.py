from __future__ import annotations

import pytest

from verification.pipeline.expressions import has_no_expression, replace_expressions

VALUES = {"matrix.os": "ubuntu-latest", "github.ref_name": "v1.0", "a-b": "x", "empty": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${{ matrix.os }}", "ubuntu-latest"),
        ("${{matrix.os}}/${{  github.ref_name  }}", "ubuntu-latest/v1.0"),
        ("dist-${{ a-b }}-${{ a-b }}", "dist-x-x"),
        ("[${{ empty }}]", "[]"),
        ("plain $matrix.os {{ matrix.os }}", "plain $matrix.os {{ matrix.os }}"),
    ],
)
def test_expression_with_a_known_name_is_replaced(text: str, result: str) -> None:
    assert replace_expressions(text, VALUES) == result
    assert has_no_expression(result)


@pytest.mark.parametrize(
    "text",
    [
        "${{ matrix.other }}",
        "${{ format('{0}', matrix.os) }}",
        "${{ matrix.os || 'x' }}",
        "${{ 1 }}",
    ],
)
def test_other_expression_does_not_change(text: str) -> None:
    assert replace_expressions(text, VALUES) == text
    assert not has_no_expression(text)


def test_text_with_an_unknown_name_is_not_filled() -> None:
    text = replace_expressions("${{ matrix.os }}-${{ matrix.cpu }}", VALUES)
    assert text == "ubuntu-latest-${{ matrix.cpu }}"
    assert not has_no_expression(text)


def test_expression_in_a_value_is_not_replaced() -> None:
    assert replace_expressions("${{ a }}", {"a": "${{ b }}", "b": "x"}) == "${{ b }}"
