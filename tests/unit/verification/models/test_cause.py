from __future__ import annotations

import pytest

from verification.models.cause import Cause, Severity, sorted_causes


def cause(name: str, severity: str = "broken", where: str = "here", **changes: str) -> Cause:
    made = Cause(
        name=name,
        severity=Severity(severity),
        where=where,
        message="seen; expected",
        remedy="Repair it.",
    )
    return made.model_copy(update=changes)


def test_unclassified_comes_first_and_the_rest_by_severity() -> None:
    names = [("stray-file", "note"), ("crash", "broken"), ("disk-full", "testbed")]
    names += [("stray-top-level", "flawed"), ("unclassified", "broken"), ("hang", "broken")]
    ordered = sorted_causes(cause(name, severity) for name, severity in names)
    assert [one.name for one in ordered] == [
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
    assert [one.name for one in ordered] == ["stray-file", "unusable-fallback", "crash"]


def test_causes_of_one_name_are_ordered_by_place_and_message() -> None:
    causes = [cause("crash", where="b"), cause("crash", message="z"), cause("crash", message="y")]
    causes += [cause("crash", where="a")]
    ordered = [(one.where, one.message) for one in sorted_causes(causes)]
    assert ordered == [
        ("a", "seen; expected"),
        ("b", "seen; expected"),
        ("here", "y"),
        ("here", "z"),
    ]


def test_a_repeated_cause_is_told_once() -> None:
    assert len(sorted_causes([cause("crash"), cause("crash"), cause("crash", where="there")])) == 2


def test_a_cause_is_written_in_one_line() -> None:
    assert str(cause("crash")) == "crash: here: seen; expected. Repair it."


def test_a_name_is_lower_case_words_joined_by_hyphens() -> None:
    with pytest.raises(ValueError, match="name"):
        Cause(name="Crash", severity=Severity.BROKEN, where="", message="", remedy="")
