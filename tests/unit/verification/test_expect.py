from __future__ import annotations

from typing import Any

import pytest

from tests.gate.expect import reached, succeeded
from verification.rules.catalogue import catalogue

NOTE = catalogue().cause("works-with-more", where="cell", seen="it is there")
FAILED = catalogue().cause("crash", where="cell: import", seen="killed by SIGSEGV")
EVIDENCE = {"uninstall": {"code": 0}, "exercise": {"steps": {"native-call": {"value": None}}}}


def test_what_is_there_is_returned_whatever_it_is() -> None:
    assert reached(EVIDENCE, [FAILED], "uninstall", "code") == 0


@pytest.mark.parametrize(
    "path",
    [("import",), ("uninstall", "code", "more"), ("exercise", "steps", "native-call", "value")],
)
def test_what_is_not_there_fails_in_one_line_by_the_first_cause(path: tuple[str, ...]) -> None:
    with pytest.raises(pytest.fail.Exception) as failure:
        reached(EVIDENCE, [NOTE, FAILED], *path)
    told = str(failure.value)
    assert told.startswith(f"there is no {' '.join(path)}: ")
    assert "killed by SIGSEGV" in told
    assert "\n" not in told


def test_where_no_cause_explains_it_that_is_said() -> None:
    with pytest.raises(pytest.fail.Exception, match="there is no import: no cause"):
        reached({}, [NOTE], "import")


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({}, "there is no exercise steps round-trip: "),
        ({"round-trip": {"begun": True}}, "round-trip did not succeed: "),
        ({"round-trip": {"ok": False}}, "round-trip did not succeed: "),
    ],
)
def test_a_step_that_failed_or_never_ended_fails_in_one_line(
    steps: dict[str, Any], told: str
) -> None:
    with pytest.raises(pytest.fail.Exception) as failure:
        succeeded({"exercise": {"steps": steps}}, [NOTE, FAILED], "round-trip")
    assert str(failure.value).startswith(told)
    assert "killed by SIGSEGV" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_step_that_succeeded_fails_nothing() -> None:
    succeeded({"exercise": {"steps": {"round-trip": {"ok": True}}}}, [FAILED], "round-trip")
