from __future__ import annotations

import re

import pytest

from tests.helpers.sample_run import cell, crash
from verification.models.results import Coverage, PlatformResult
from verification.models.verdict import SIGNS, Outcome, Verdict
from verification.report import signs


def test_each_outcome_has_a_distinct_sign_title_and_colour() -> None:
    assert signs.OUTCOMES.keys() == set(Outcome)
    for values in zip(*signs.OUTCOMES.values(), strict=True):
        assert len(set(values)) == len(Outcome)
    assert {outcome: outcome_sign.sign for outcome, outcome_sign in signs.OUTCOMES.items()} == SIGNS


def test_each_verdict_has_a_distinct_sign_title_and_colour() -> None:
    assert signs.VERDICTS.keys() == set(Verdict)
    for values in zip(*signs.VERDICTS.values(), strict=True):
        assert len(set(values)) == len(Verdict)


def test_machines_are_counted_by_outcome() -> None:
    cells = [
        cell("a-pip-venv"),
        cell("b-pip-venv"),
        cell("c-pip-venv", outcome=Outcome.REFUSED),
        cell("d-pip-venv", outcome=Outcome.FALLS_BACK),
    ]

    assert signs.machine_counts(cells) == {
        Outcome.WORKS: 2,
        Outcome.REFUSED: 1,
        Outcome.FALLS_BACK: 1,
    }
    assert re.findall(r"\d+", signs.machine_sentence(cells)) == ["2", "1", "1"]
    assert signs.machine_sentence([]) == ""


def test_each_outcome_has_a_distinct_sentence() -> None:
    sentences = {signs.machine_sentence([cell("a-pip-venv", outcome=one)]) for one in Outcome}
    assert len(sentences) == len(Outcome)


@pytest.mark.parametrize("worst", [outcome for outcome in Outcome if outcome != Outcome.WORKS])
def test_a_machine_counts_once_with_its_worst_cell(worst: Outcome) -> None:
    cells = [cell("a-pip-venv"), cell("a-uv-venv", outcome=worst), cell("a-uv-user")]

    assert signs.machine_counts(cells) == {worst: 1}


def test_a_platform_without_a_machine_has_a_line_with_its_causes() -> None:
    def lines(coverage: Coverage, *wheels: str) -> list[str]:
        result = PlatformResult(tag="win32", coverage=coverage, wheels=wheels, causes=(crash("x"),))
        return list(signs.platform_sentences([result]))

    assert lines(Coverage.MACHINES, "x.whl") == []
    for coverage in set(Coverage) - {Coverage.MACHINES}:
        (line,) = lines(coverage, "x.whl")
        assert "x.whl" in line
        assert "crash" in line
        assert "win32" in lines(coverage)[0]


def test_unread_native_code_is_in_the_line() -> None:
    result = PlatformResult(
        tag="win32", coverage=Coverage.INSPECTED_ONLY, wheels=("x.whl",), unread=("a.dylib: why",)
    )
    assert "a.dylib: why" in next(signs.platform_sentences([result]))


def test_a_platform_without_a_wheel_and_without_a_cause_has_no_line() -> None:
    result = PlatformResult(tag="win32", coverage=Coverage.INSPECTED_ONLY)
    assert list(signs.platform_sentences([result])) == []
