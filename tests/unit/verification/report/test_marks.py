from __future__ import annotations

import re

import pytest

from tests.helpers.sample_run import cell, crash
from verification.models.results import Coverage, PlatformResult
from verification.models.verdict import SIGNS, Outcome, Verdict
from verification.report import marks


def test_each_outcome_has_a_distinct_sign_title_and_colour() -> None:
    assert marks.OUTCOMES.keys() == set(Outcome)
    for values in zip(*marks.OUTCOMES.values(), strict=True):
        assert len(set(values)) == len(Outcome)
    assert {outcome: mark.sign for outcome, mark in marks.OUTCOMES.items()} == SIGNS


def test_each_verdict_has_a_distinct_sign_title_and_colour() -> None:
    assert marks.VERDICTS.keys() == set(Verdict)
    for values in zip(*marks.VERDICTS.values(), strict=True):
        assert len(set(values)) == len(Verdict)


def test_machines_are_counted_by_outcome() -> None:
    cells = [
        cell("a-pip-venv"),
        cell("b-pip-venv"),
        cell("c-pip-venv", outcome=Outcome.REFUSED),
        cell("d-pip-venv", outcome=Outcome.FALLS_BACK),
    ]

    assert marks.machine_counts(cells) == {
        Outcome.WORKS: 2,
        Outcome.REFUSED: 1,
        Outcome.FALLS_BACK: 1,
    }
    assert re.findall(r"\d+", marks.machine_sentence(cells)) == ["2", "1", "1"]
    assert marks.machine_sentence([]) == ""


def test_each_outcome_has_a_distinct_sentence() -> None:
    sentences = {marks.machine_sentence([cell("a-pip-venv", outcome=one)]) for one in Outcome}
    assert len(sentences) == len(Outcome)


@pytest.mark.parametrize("worst", [outcome for outcome in Outcome if outcome != Outcome.WORKS])
def test_a_machine_counts_once_with_its_worst_cell(worst: Outcome) -> None:
    cells = [cell("a-pip-venv"), cell("a-uv-venv", outcome=worst), cell("a-uv-user")]

    assert marks.machine_counts(cells) == {worst: 1}


def test_a_platform_without_a_machine_has_a_line_with_its_causes() -> None:
    def lines(coverage: Coverage, *wheels: str) -> list[str]:
        result = PlatformResult(tag="win32", coverage=coverage, wheels=wheels, causes=(crash("x"),))
        return list(marks.platform_sentences([result]))

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
    assert "a.dylib: why" in next(marks.platform_sentences([result]))


def test_a_platform_without_a_wheel_and_without_a_cause_has_no_line() -> None:
    result = PlatformResult(tag="win32", coverage=Coverage.INSPECTED_ONLY)
    assert list(marks.platform_sentences([result])) == []
