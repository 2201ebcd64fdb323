"""Tests of the evaluation of a tree. `test_expressions` has the documented values of GitHub."""

from __future__ import annotations

import pytest

from verification.models.expression_syntax import BadExpression, parse
from verification.pipeline.expression_evaluation import Evaluation, Status
from verification.pipeline.expression_values import Unknown, UnknownValue, Value, from_json, known


def contexts(name: str) -> Value:
    """Return the only known context."""
    return from_json({"os": "Linux"}) if name == "matrix" else Unknown(name)


@pytest.mark.parametrize(
    ("status", "functions"),
    [
        ("success", {"success", "always"}),
        ("failure", {"failure", "always"}),
        ("cancelled", {"cancelled", "always"}),
        ("skipped", {"always"}),
    ],
)
def test_status_functions_follow_the_status(status: Status, functions: set[str]) -> None:
    evaluation = Evaluation(contexts, status)
    names = ("success", "failure", "cancelled", "always")
    assert {name for name in names if evaluation.truth(parse(f"{name}()"))} == functions


def test_one_operand_decides_without_an_unknown_one() -> None:
    evaluation = Evaluation(contexts, "success")
    assert evaluation.truth(parse("secrets.A || matrix.os == 'linux'"))
    with pytest.raises(UnknownValue):
        evaluation.truth(parse("secrets.A && matrix.os == 'linux'"))


def test_wrong_argument_is_a_bad_expression() -> None:
    with pytest.raises(BadExpression):
        known(Evaluation(contexts, "success").value(parse("format('{1}', 'x')")))
