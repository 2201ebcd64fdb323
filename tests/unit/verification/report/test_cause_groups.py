from __future__ import annotations

from tests.helpers.sample_run import LINUX, WINDOWS, crash
from verification.models.cause import Cause, Severity
from verification.report import cause_groups


def _cause(name: str, where: str = f"{LINUX}: import", follows: str = "") -> Cause:
    return Cause(
        name=name,
        severity=Severity.BROKEN,
        where=where,
        message="x",
        remedy=f"Fix {name}.",
        follows=follows,
    )


FIRST, SECOND = _cause("first"), _cause("second", f"{LINUX}: use", follows="first")


def test_a_consequence_is_under_its_cause_and_does_not_count() -> None:
    (occurrence,) = cause_groups.occurrences([SECOND, FIRST])

    assert (occurrence.cause, occurrence.following) == (FIRST, (SECOND,))
    assert cause_groups.cause_names([SECOND, FIRST]) == ("first",)


def test_a_chain_of_consequences_is_under_the_first_cause() -> None:
    third = _cause("third", follows="second")

    (occurrence,) = cause_groups.occurrences([third, SECOND, FIRST])
    assert (occurrence.cause, set(occurrence.following)) == (FIRST, {SECOND, third})


def test_a_cause_of_another_cell_has_no_consequence() -> None:
    other_cell = _cause("first", f"{WINDOWS}: import")

    assert cause_groups.cause_names([SECOND, other_cell]) == ("first", "second")
    occurrences = cause_groups.occurrences([SECOND, other_cell])
    assert [occurrence.following for occurrence in occurrences] == [(), ()]


def test_causes_that_follow_from_each_other_all_count() -> None:
    circle = [_cause("a", follows="b"), _cause("b", follows="a"), _cause("c", follows="c")]

    assert cause_groups.cause_names(circle) == ("a", "b", "c")


def test_causes_with_the_same_remedy_are_one_group() -> None:
    (group,) = cause_groups.groups([crash(), crash(WINDOWS), crash()])
    assert (group.name, group.severity) == ("crash", Severity.BROKEN)
    assert {occurrence.cause.where for occurrence in group.occurrences} == {
        f"{LINUX}: import",
        f"{WINDOWS}: import",
    }
