from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CELL, Change, Fields, evidence, failed_step
from tests.helpers.sample_expectation import EXPECTATION, names, summary, with_conditions
from verification.models.cause import Cause
from verification.models.expectation import Conditions, Expectation
from verification.rules.fallback import UNUSABLE, is_fallback, unusable_fallback


def older(fields: Fields) -> None:
    """Change the evidence to that of an older release that works."""
    steps = fields["exercise"]["steps"]
    steps["distributions"]["value"]["quiverdb"]["version"] = "0.1.0"
    steps["native-call"]["value"]["version"] = "0.1.0"


def diagnosed(*changes: Change, expectation: Expectation = EXPECTATION) -> list[Cause]:
    observed = evidence(older, *changes)
    assert observed.import_run is not None
    assert observed.exercise is not None
    return list(unusable_fallback(observed, expectation, observed.import_run, observed.exercise))


def fails(name: str, message: str = "no", kind: str = "OSError") -> Change:
    return lambda fields: fields["exercise"]["steps"].update(
        {name: failed_step(name, message, kind)}
    )


def test_an_older_release_is_a_fallback() -> None:
    assert is_fallback(evidence(older), EXPECTATION)
    assert not is_fallback(evidence(), EXPECTATION)
    unknown = evidence(lambda fields: fields["exercise"]["steps"].pop("distributions"))
    assert not is_fallback(unknown, EXPECTATION)


def test_working_older_release_has_no_cause() -> None:
    assert diagnosed() == []


def test_failed_native_call_makes_the_older_release_unusable() -> None:
    message = "libquiver.so: cannot open shared object file: No such file"
    fallback, cause = diagnosed(fails("native-call", message))
    assert summary(fallback) == (
        "unusable-fallback",
        f"{CELL}: installed",
        {"installed": "0.1.0", "reason": "missing-bundled-library"},
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
def test_each_broken_cause_makes_the_older_release_unusable(change: Change, name: str) -> None:
    causes = diagnosed(change)
    assert causes[0].name == UNUSABLE
    assert {cause.name for cause in causes[1:]} == {name}
    assert {cause.follows for cause in causes[1:]} == {UNUSABLE}


def test_failed_step_and_wrong_value_are_both_reported() -> None:
    causes = diagnosed(
        fails("native-call"),
        lambda f: f["exercise"]["steps"]["round-trip"]["value"]["returned"].clear(),
        lambda fields: fields["import"].update(code=1),
    )
    assert names(causes) == [UNUSABLE, "unclassified", "round-trip-failed"]


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
def test_other_flaws_of_the_older_release_are_ignored(change: Change) -> None:
    assert diagnosed(change) == []


def test_uses_of_the_scenario_are_not_required() -> None:
    conditions = Conditions(title="t", cause="use-not-supported", uses=("in_forked_child",))
    assert diagnosed(expectation=with_conditions(conditions)) == []
    causes = diagnosed(fails("round-trip"), expectation=with_conditions(conditions))
    assert names(causes) == [UNUSABLE, "round-trip-failed"]


def test_testbed_failure_does_not_follow_from_the_fallback() -> None:
    changes = {"timed_out": True, "stalled": 72.0}
    (cause,) = diagnosed(lambda fields: fields["import"].update(changes))
    assert (cause.name, cause.severity, cause.follows) == ("machine-lost", "testbed", "")


def test_current_release_is_no_fallback() -> None:
    observed = evidence(fails("native-call"))
    assert observed.import_run is not None
    assert observed.exercise is not None
    assert (
        list(unusable_fallback(observed, EXPECTATION, observed.import_run, observed.exercise)) == []
    )
