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


def test_a_cause_that_follows_is_under_its_cause_and_is_not_counted() -> None:
    (found,) = cause_groups.occurrences([SECOND, FIRST])

    assert (found.cause, found.following) == (FIRST, (SECOND,))
    assert cause_groups.cause_names([SECOND, FIRST]) == ("first",)


def test_a_chain_of_causes_is_under_the_first() -> None:
    third = _cause("third", follows="second")

    (found,) = cause_groups.occurrences([third, SECOND, FIRST])
    assert (found.cause, set(found.following)) == (FIRST, {SECOND, third})


def test_a_cause_of_another_cell_is_not_followed() -> None:
    elsewhere = _cause("first", f"{WINDOWS}: import")

    assert cause_groups.cause_names([SECOND, elsewhere]) == ("first", "second")
    assert all(not one.following for one in cause_groups.occurrences([SECOND, elsewhere]))


def test_causes_that_follow_one_another_all_count() -> None:
    circle = [_cause("a", follows="b"), _cause("b", follows="a"), _cause("c", follows="c")]

    assert cause_groups.cause_names(circle) == ("a", "b", "c")


def test_one_remedy_is_one_group() -> None:
    elsewhere = crash(WINDOWS)

    (group,) = cause_groups.groups([crash(), elsewhere, crash()])
    assert (group.name, group.severity) == ("crash", Severity.BROKEN)
    assert {one.cause.where for one in group.occurrences} == {
        f"{LINUX}: import",
        f"{WINDOWS}: import",
    }
