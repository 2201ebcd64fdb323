"""Tests of the expressions of a workflow file: their syntax, and the contexts that they can use."""

from __future__ import annotations

import pytest
import yaml

from verification.models.workflow_expressions import wrong_expressions


def faults(text: str) -> list[tuple[int, str]]:
    """Return the line and the fault of each wrong expression in a file."""
    document = yaml.compose(text, yaml.SafeLoader)
    assert document
    return [(node.start_mark.line + 1, fault) for node, fault in wrong_expressions(document)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("run-name: ${{ github.ref\n", "github.ref"),
        ("jobs: {a: {if: 'secrets.A'}}\n", "secrets"),
        ("jobs: {a: {runs-on: '${{ env.A }}'}}\n", "env"),
        ("jobs: {a: {steps: [{uses: 'a@${{ github.sha }}'}]}}\n", "github"),
        ("jobs: {a: {steps: [{run: '${{ unknown.a }}'}]}}\n", "unknown"),
    ],
)
def test_wrong_expression_has_its_line(text: str, part: str) -> None:
    ((line, fault),) = faults(f"name: a\n{text}")
    assert line == 2
    assert part in fault


def test_right_expressions_and_other_texts_have_no_fault() -> None:
    text = (
        "on: {push: {branches: ['${{']}}\n"
        "jobs: {a: {if: github.ref == 'x', steps: [{run: 'echo ${{ secrets.A }} {{ x }}'}]}}\n"
    )
    assert faults(text) == []
