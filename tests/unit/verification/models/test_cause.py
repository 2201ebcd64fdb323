from __future__ import annotations

import pytest

from verification.models.cause import Cause, Severity, sorted_causes


def cause(name: str, severity: str = "broken", where: str = "cell", **changes: str) -> Cause:
    original = Cause(
        name=name,
        severity=Severity(severity),
        where=where,
        message="message",
        remedy="Repair it.",
    )
    return original.model_copy(update=changes)


def test_unclassified_comes_first_and_the_others_by_severity() -> None:
    names = [("stray-file", "note"), ("crash", "broken"), ("disk-full", "testbed")]
    names += [("stray-top-level", "flawed"), ("unclassified", "broken"), ("hang", "broken")]
    ordered = sorted_causes(cause(name, severity) for name, severity in names)
    assert [listed.name for listed in ordered] == [
        "unclassified",
        "disk-full",
        "crash",
        "hang",
        "stray-top-level",
        "stray-file",
    ]


def test_a_cause_that_follows_from_another_comes_last() -> None:
    names = [("crash", "unusable-fallback"), ("unusable-fallback", ""), ("stray-file", "")]
    ordered = sorted_causes(cause(name, follows=follows) for name, follows in names)
    assert [listed.name for listed in ordered] == ["stray-file", "unusable-fallback", "crash"]


def test_causes_with_the_same_name_are_ordered_by_place_and_message() -> None:
    causes = [cause("crash", where="b"), cause("crash", message="z"), cause("crash", message="y")]
    causes += [cause("crash", where="a")]
    ordered = [(listed.where, listed.message) for listed in sorted_causes(causes)]
    assert ordered == [("a", "message"), ("b", "message"), ("cell", "y"), ("cell", "z")]


def test_a_repeated_cause_is_listed_once() -> None:
    assert len(sorted_causes([cause("crash"), cause("crash"), cause("crash", where="b")])) == 2


def test_a_cause_is_one_line_of_text() -> None:
    assert str(cause("crash")) == "crash: cell: message. Repair it."


def test_a_name_is_lower_case_words_joined_by_hyphens() -> None:
    with pytest.raises(ValueError, match="name"):
        Cause(name="Crash", severity=Severity.BROKEN, where="", message="", remedy="")
