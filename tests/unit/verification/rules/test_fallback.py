from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CELL, Change, Fields, evidence, failed_step
from tests.helpers.sample_expectation import EXPECTATION, names, shown, under
from verification.models.cause import Cause
from verification.models.expectation import Conditions, Expectation
from verification.rules.fallback import UNUSABLE, is_fallback, unusable_fallback


def older(fields: Fields) -> None:
    """Change the evidence to that of an older release that works."""
    steps = fields["exercise"]["steps"]
    steps["distributions"]["value"]["quiverdb"]["version"] = "0.1.0"
    steps["native-call"]["value"]["version"] = "0.1.0"


def judged(*changes: Change, expectation: Expectation = EXPECTATION) -> list[Cause]:
    observed = evidence(older, *changes)
    assert observed.import_run is not None
    assert observed.exercise is not None
    return list(unusable_fallback(observed, expectation, observed.import_run, observed.exercise))


def fails(name: str, message: str = "no", kind: str = "OSError") -> Change:
    return lambda fields: fields["exercise"]["steps"].update(
        {name: failed_step(name, message, kind)}
    )


def test_a_fallback_is_another_release() -> None:
    assert is_fallback(evidence(older), EXPECTATION)
    assert not is_fallback(evidence(), EXPECTATION)
    unknown = evidence(lambda fields: fields["exercise"]["steps"].pop("distributions"))
    assert not is_fallback(unknown, EXPECTATION)


def test_an_older_release_that_works_is_usable() -> None:
    assert judged() == []


def test_a_native_call_that_fails_makes_it_unusable() -> None:
    lost = "libquiver.so: cannot open shared object file: No such file"
    fallback, cause = judged(fails("native-call", lost))
    assert shown(fallback) == (
        "unusable-fallback",
        f"{CELL}: installed",
        "0.1.0 was installed, and it does not work: missing-bundled-library",
        {"installed": "0.1.0"},
    )
    assert (fallback.severity, fallback.follows) == ("broken", "")
    assert (cause.name, cause.where) == ("missing-bundled-library", f"{CELL}: native-call")
    assert cause.follows == UNUSABLE


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (fails("import"), "unclassified"),
        (fails("round-trip"), "round-trip-failed"),
        (lambda fields: fields["exercise"].update(code=-11), "crash"),
        (lambda fields: fields["import"].update(timed_out=True), "hang"),
        (lambda fields: fields["import"].update(code=1), "unclassified"),
        (
            lambda f: f["exercise"]["steps"]["round-trip"]["value"]["returned"].clear(),
            "round-trip-failed",
        ),
        (lambda fields: fields["installed"].update(added=[]), "shadowed-import"),
    ],
)
def test_whatever_keeps_it_from_working_makes_it_unusable(change: Change, name: str) -> None:
    found = judged(change)
    assert found[0].name == UNUSABLE
    assert {cause.name for cause in found[1:]} == {name}
    assert {cause.follows for cause in found[1:]} == {UNUSABLE}


def test_a_step_and_a_value_can_both_be_wrong() -> None:
    found = judged(
        fails("native-call"),
        lambda f: f["exercise"]["steps"]["round-trip"]["value"]["returned"].clear(),
        lambda fields: fields["import"].update(code=1),
    )
    assert names(found) == [UNUSABLE, "unclassified", "round-trip-failed"]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(processes=["x"]),
        lambda fields: fields["exercise"]["steps"]["record"]["value"].update(checked=0),
        lambda fields: fields["exercise"]["steps"]["native-call"]["value"].update(version="9"),
        lambda fields: fields["exercise"]["steps"]["mapped"].update(value=[]),
    ],
    ids=["process", "record", "version", "libraries"],
)
def test_another_flaw_of_the_older_release_is_not_judged(change: Change) -> None:
    assert judged(change) == []


def test_the_uses_of_the_scenario_are_not_asked_of_it() -> None:
    conditions = Conditions(title="t", cause="use-not-supported", uses=("in_forked_child",))
    assert judged(expectation=under(conditions)) == []
    found = judged(fails("round-trip"), expectation=under(conditions))
    assert names(found) == [UNUSABLE, "round-trip-failed"]


def test_a_testbeds_failure_says_nothing_about_it() -> None:
    changes = {"timed_out": True, "stalled": 72.0}
    (cause,) = judged(lambda fields: fields["import"].update(changes))
    assert (cause.name, cause.severity, cause.follows) == ("machine-lost", "testbed", "")


def test_the_release_itself_is_no_fallback() -> None:
    observed = evidence(fails("native-call"))
    assert observed.import_run is not None
    assert observed.exercise is not None
    assert (
        list(unusable_fallback(observed, EXPECTATION, observed.import_run, observed.exercise)) == []
    )
