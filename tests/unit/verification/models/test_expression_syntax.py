from __future__ import annotations

import math

import pytest

from verification.models.expression_syntax import (
    Access,
    BadExpression,
    Call,
    Literal,
    Name,
    Not,
    Operation,
    nodes,
    number,
    number_text,
    parse,
    pieces,
    tree_of,
)


def test_operators_bind_as_on_github() -> None:
    one = Literal(1.0)

    assert parse("1 || 1 && 1 == 1 < !1") == Operation(
        "||", one, Operation("&&", one, Operation("==", one, Operation("<", one, Not(one))))
    )


def test_properties_indices_and_filters_are_accesses() -> None:
    access = Access(Access(Name("github"), Literal("a-b")), None)

    assert parse("GitHub.a-b.*") == parse("github['a-b'][*]") == access


def test_all_nodes_of_a_tree_are_found() -> None:
    found = [
        node.name
        for node in nodes(parse("!format(env.a, vars[inputs.b]) && needs.*.x || matrix"))
        if isinstance(node, Name)
    ]

    assert found == ["env", "vars", "inputs", "needs", "matrix"]


def test_text_is_split_into_plain_parts_and_expressions() -> None:
    assert pieces("a ${{ '}}' }}b${{1}}") == ("a ", Literal("}}"), "b", Literal(1.0))
    assert pieces("") == ()


def test_text_with_an_expression_inside_is_a_format() -> None:
    assert tree_of("${{ 1 }}") == tree_of("1") == Literal(1.0)
    assert tree_of("x${{ 1 }}") == Call("format", (Literal("{0}{1}"), Literal("x"), Literal(1.0)))
    assert tree_of(" ") == Literal("")


def test_fault_of_a_long_expression_is_one_short_line() -> None:
    with pytest.raises(BadExpression) as error:
        parse("github.ref ==\n" + "'x' && " * 50)

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("", 0),
        (" 1.5 ", 1.5),
        ("1e3", 1000),
        ("0xFF", 255),
        ("0o10", 8),
        ("-Infinity", -math.inf),
        ("1_000", math.nan),
        ("x", math.nan),
        ("1.", 1),
    ],
)
def test_text_is_a_number_or_nan(text: str, quantity: float) -> None:
    assert number(text) == pytest.approx(quantity, nan_ok=True)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (3.10, "3.1"),
        (1e21, "1E+21"),
        (123456789012345678, "1.23456789012346E+17"),
        (-0.0, "0"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_number_has_at_most_15_digits_as_text(quantity: float, text: str) -> None:
    assert number_text(quantity) == text
