"""One test for each cell: a machine, an installer and a scenario."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verification.models.cell import Cell
from verification.models.results import CellResult
from verification.models.verdict import Verdict
from verification.session.recorder import RESULT, as_property


def test_cell(
    run_cell: Callable[[Cell], CellResult],
    cell: Cell,
    record_property: Callable[[str, object], None],
) -> None:
    result = run_cell(cell)
    record_property(RESULT, as_property(result))
    judge(result)


def judge(result: CellResult) -> None:
    """Pass, fail or skip the test by the verdict of its cell. The causes are the message."""
    match result.verdict:
        case Verdict.UNVERIFIED:
            pytest.skip(f"unverified: {result.reason}")
        case Verdict.FAILED | Verdict.TESTBED:
            lines = [f"{result.outcome}: {cause}" for cause in result.causes]
            pytest.fail("\n".join(lines or [str(result.outcome)]), pytrace=False)
        case Verdict.VERIFIED:
            assert not [c for c in result.causes if c.severity == "testbed" and not c.follows]
