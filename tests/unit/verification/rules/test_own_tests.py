from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    FILES,
    Fields,
    evidence,
    own_tests,
    ran,
)
from tests.helpers.sample_expectation import EXPECTATION, Shown, shown
from verification.models.cause import Cause
from verification.models.expectation import Conditions
from verification.rules.own_tests import own_test_faults

TESTED = EXPECTATION.model_copy(update={"conditions": Conditions(own_tests=True)})
TRACE = 'Current thread:\n  File "/x/database.py", line 7 in open\n'
END = {"code": 1, "file": FILES[0], "imported": True}
NOT_RUN = "own-tests-not-run"


def causes(**changes: Any) -> list[Cause]:
    """Return the causes in a run of the tests with these changes."""
    observed = evidence(lambda fields: fields.update(tests=own_tests(**changes)))
    return list(own_test_faults(observed, TESTED))


def one(**changes: Any) -> Shown:
    (cause,) = causes(**changes)
    return shown(cause)


def counts(**changes: int) -> dict[str, int]:
    found: dict[str, int] = own_tests()["counts"]
    return found | {"passed": 0} | changes


def failure(node: str, outcome: str = "failed", text: str = "E   no") -> Fields:
    return {"node": node, "outcome": outcome, "text": text}


def test_a_good_run_has_no_cause() -> None:
    assert causes() == []


def test_a_cell_that_runs_no_tests_is_not_judged_by_them() -> None:
    observed = evidence(lambda fields: fields.update(tests=own_tests(end=None)))
    assert list(own_test_faults(observed, EXPECTATION)) == []


def test_tests_that_were_not_begun_are_not_run() -> None:
    (cause,) = own_test_faults(evidence(), TESTED)
    observed = "the exercise did not end well, and the tests were not begun"
    assert shown(cause) == (NOT_RUN, f"{CELL}: own tests", observed, {})


def test_tests_of_another_package_prove_nothing() -> None:
    found = causes(end=END | {"file": "/home/user/project/quiverdb/__init__.py"}, code=-11)
    assert [(cause.name, cause.where) for cause in found] == [
        ("shadowed-import", f"{CELL}: own tests")
    ]


def test_pytest_that_cannot_be_installed_is_the_testbeds_failure() -> None:
    tool = ran("pip", "install", "pytest", code=1, stderr="ERROR: No matching distribution\n")
    (cause,) = causes(tool=tool, end=None, begun=0)
    observed = "pytest could not be installed: ERROR: No matching distribution"
    assert shown(cause) == ("machine-lost", f"{CELL}: own tests", observed, {"code": 1})
    assert cause.severity == "testbed"


# ---- how the run ended ----


@pytest.mark.parametrize(
    "changes",
    [
        {"timed_out": True, "trace": TRACE},
        {"trace": f"Timeout (0:05:00)!\n{TRACE}"},
        {"code": -14, "trace": TRACE},
    ],
    ids=["probe", "faulthandler", "alarm"],
)
def test_a_run_without_end_is_a_hang_in_its_test(changes: Fields) -> None:
    assert one(end=None, within="t.py::b", seconds=300.4, **changes) == (
        "hang",
        f"{CELL}: t.py::b",
        "no end after 300 s; the stack's innermost frame: /x/database.py:7 in open",
        {"seconds": 300.4, "frame": "/x/database.py:7 in open"},
    )


def test_a_hang_while_the_machine_stood_still_is_the_testbeds() -> None:
    assert one(end=None, within="t.py::b", timed_out=True, stalled=30.0)[0] == "machine-lost"


def test_a_run_that_is_killed_crashed_in_its_test() -> None:
    assert one(end=None, within="t.py::b", code=-11, trace=TRACE) == (
        "crash",
        f"{CELL}: t.py::b",
        "killed by SIGSEGV; the last frame: /x/database.py:7 in open",
        {"code": -11, "frame": "/x/database.py:7 in open"},
    )


def test_a_run_that_dies_after_its_end_crashed_at_exit() -> None:
    assert one(code=-11)[:2] == ("crash", f"{CELL}: at exit")


def test_a_run_that_dies_before_any_test_crashed_in_the_tests() -> None:
    assert one(end=None, begun=0, code=-11)[:2] == ("crash", f"{CELL}: own tests")


def test_a_crash_that_wine_explains_is_the_testbeds() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"

    def change(fields: Fields) -> None:
        fields["tests"] = own_tests(end=None, within="t.py::b", code=-11)
        fields["loader"] = [line]

    (cause,) = own_test_faults(evidence(change), TESTED)
    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")


def test_a_failure_is_not_explained_by_wine() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"

    def change(fields: Fields) -> None:
        fields["tests"] = own_tests(end=END, failures=[failure("t.py::a")], code=1)
        fields["loader"] = [line]

    (cause,) = own_test_faults(evidence(change), TESTED)
    assert cause.name == "own-tests-failed"


def test_an_interpreter_that_ends_in_a_test_crashed_there() -> None:
    observed = "the interpreter ended with 0 in the midst of the tests"
    expected = ("crash", f"{CELL}: t.py::b", observed, {"code": 0})
    assert one(end=None, within="t.py::b", code=0) == expected


def test_pytest_can_end_before_any_test() -> None:
    stderr = "ImportError while loading conftest\nE   No module named 'nowhere'\n"
    observed = "pytest ended with 4 before any test: No module named 'nowhere'"
    expected = (NOT_RUN, f"{CELL}: own tests", observed, {"code": 4})
    assert one(end=None, begun=0, code=4, stderr=stderr) == expected
    assert one(end=None, begun=0, code=4)[2] == (
        "pytest ended with 4 before any test: it said nothing"
    )


# ---- what a whole run proves ----


@pytest.mark.parametrize(
    ("changes", "observed"),
    [
        ({"internal": "INTERNALERROR> x\nE   OSError: x"}, "pytest failed: OSError: x"),
        ({"begun": 2, "collected": 3}, "2 of 3 tests ran, then pytest ended with 1"),
        ({"counts": counts(), "begun": 0, "collected": 0}, "no test ran (none found)"),
        ({"counts": counts(skipped=2, deselected=1)}, "no test ran (2 skipped, 1 deselected)"),
        ({"end": END | {"imported": False}}, "none of the tests imported quiverdb"),
        (
            {"code": 9, "stdout": "3 passed\n"},
            "no test failed, and pytest ended with 9: 3 passed",
        ),
    ],
    ids=["internal", "exit", "empty", "skipped", "other", "code"],
)
def test_a_run_that_runs_nothing_or_not_all_is_no_pass(changes: Fields, observed: str) -> None:
    expected = (NOT_RUN, f"{CELL}: own tests", observed, {"code": 1})
    assert one(**{"end": END, **changes}) == expected


@pytest.mark.parametrize("outcome", ["failed", "error", "passed", "xpassed", "xfailed"])
def test_a_test_with_any_of_these_outcomes_ran(outcome: str) -> None:
    assert causes(counts=counts(**{outcome: 1})) == []


def test_a_run_that_collects_nothing_of_an_unknown_number_is_whole() -> None:
    assert causes(collected=None) == []


def test_a_failing_code_is_explained_by_a_failing_test() -> None:
    assert [cause.name for cause in causes(code=1, failures=[failure("a")])] == ["own-tests-failed"]


# ---- the failures ----


@pytest.mark.parametrize(
    ("outcome", "name"),
    [("failed", "own-tests-failed"), ("error", "own-tests-failed"), ("uncollected", NOT_RUN)],
)
def test_each_failure_is_reported_by_its_test(outcome: str, name: str) -> None:
    text = "def test_a():\n>   x\nE   assert 1 == 2\nE    +  where\n\nt.py:3: AssertionError"
    changes = {"failures": [failure("t.py::a", outcome, text)], "code": 1}
    expected = (name, f"{CELL}: t.py::a", "assert 1 == 2 + where", {"test": "t.py::a"})
    assert one(counts=counts(**{outcome: 1}), **changes) == expected


@pytest.mark.parametrize(("text", "observed"), [("one\n\ntwo\n", "two"), ("", "failed")])
def test_a_failure_without_a_marked_line_shows_its_last(text: str, observed: str) -> None:
    assert one(failures=[failure("a", text=text)])[2] == observed


def test_many_failures_are_reported_by_five_and_a_number() -> None:
    found = causes(failures=[failure(f"t.py::test_{number}") for number in range(8)])
    assert [cause.name for cause in found] == ["own-tests-failed"] * 6
    assert [cause.where for cause in found[:5]] == [f"{CELL}: t.py::test_{n}" for n in range(5)]
    observed = "3 more (t.py::test_5, t.py::test_6, t.py::test_7)"
    expected = ("own-tests-failed", f"{CELL}: own tests", observed, {"count": 3})
    assert shown(found[5]) == expected
    assert len(causes(failures=[failure(str(number)) for number in range(5)])) == 5
