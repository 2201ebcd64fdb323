from __future__ import annotations

from verification.models.errors import ExitCode
from verification.models.verdict import EXIT_CODES, SIGNS, ExpectationKind, Outcome, Verdict


def test_each_outcome_has_a_distinct_sign() -> None:
    assert SIGNS.keys() == set(Outcome)
    assert len(set(SIGNS.values())) == len(Outcome)
    assert all(len(sign) == 1 for sign in SIGNS.values())


def test_each_verdict_has_a_distinct_exit_code() -> None:
    assert EXIT_CODES.keys() == set(Verdict)
    assert len(set(EXIT_CODES.values())) == len(Verdict)
    assert ExitCode.WRONG_USE not in EXIT_CODES.values()


def test_only_a_verified_run_ends_with_0() -> None:
    assert [verdict for verdict, code in EXIT_CODES.items() if code == 0] == [Verdict.VERIFIED]


def test_the_values_are_the_words_of_the_report() -> None:
    assert Outcome("falls-back") is Outcome.FALLS_BACK
    assert f"{Verdict.TESTBED}" == "testbed-failure"
    assert {str(kind) for kind in ExpectationKind} == {"works", "refuses"}
