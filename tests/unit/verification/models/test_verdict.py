from __future__ import annotations

from verification.models.errors import ExitCode
from verification.models.verdict import EXIT_CODES, SIGNS, ExpectationKind, Outcome, Verdict


def test_each_outcome_has_a_sign_of_its_own() -> None:
    assert SIGNS.keys() == set(Outcome)
    assert len(set(SIGNS.values())) == len(Outcome)
    assert all(len(sign) == 1 for sign in SIGNS.values())


def test_each_verdict_has_an_exit_code_of_its_own() -> None:
    assert EXIT_CODES.keys() == set(Verdict)
    assert len(set(EXIT_CODES.values())) == len(Verdict)
    assert ExitCode.WRONG_USE not in EXIT_CODES.values()


def test_only_a_verified_run_ends_with_0() -> None:
    assert [verdict for verdict, code in EXIT_CODES.items() if code == 0] == [Verdict.VERIFIED]


def test_a_word_is_its_own_value() -> None:
    assert Outcome("falls-back") is Outcome.FALLS_BACK
    assert f"{Verdict.TESTBED}" == "testbed-failure"
    assert {str(kind) for kind in ExpectationKind} == {"works", "refuses"}
