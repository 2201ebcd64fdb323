from __future__ import annotations

import pytest

from verification.pipeline.expressions import fill, is_filled

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
def test_the_value_of_a_known_name_is_filled_in(text: str, result: str) -> None:
    assert fill(text, VALUES) == result
    assert is_filled(result)


@pytest.mark.parametrize(
    "text",
    [
        "${{ matrix.other }}",
        "${{ format('{0}', matrix.os) }}",
        "${{ matrix.os || 'x' }}",
        "${{ 1 }}",
    ],
)
def test_every_other_expression_stays_as_it_is(text: str) -> None:
    assert fill(text, VALUES) == text
    assert not is_filled(text)


def test_a_text_with_one_unknown_name_is_not_filled() -> None:
    text = fill("${{ matrix.os }}-${{ matrix.cpu }}", VALUES)
    assert text == "ubuntu-latest-${{ matrix.cpu }}"
    assert not is_filled(text)


def test_a_value_is_not_filled_in_again() -> None:
    assert fill("${{ a }}", {"a": "${{ b }}", "b": "x"}) == "${{ b }}"
