from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    FILES,
    Fields,
    command_run,
    evidence,
    own_tests,
)
from tests.helpers.sample_expectation import EXPECTATION, Summary, summary
from verification.models.cause import Cause
from verification.models.expectation import Conditions
from verification.rules.own_tests import own_test_causes

TESTED = EXPECTATION.model_copy(update={"conditions": Conditions(own_tests=True)})
TRACE = 'Current thread:\n  File "/x/database.py", line 7 in open\n'
END = {"code": 1, "file": FILES[0], "imported": True}
NOT_RUN = "own-tests-not-run"


def causes(**changes: Any) -> list[Cause]:
    """Return the causes of evidence whose record of the own tests has these changes."""
    observed = evidence(lambda fields: fields.update(tests=own_tests(**changes)))
    return list(own_test_causes(observed, TESTED))


def fault(**changes: Any) -> Summary:
    (cause,) = causes(**changes)
    return summary(cause)


def counts(**changes: int) -> dict[str, int]:
    passed: dict[str, int] = own_tests()["counts"]
    return passed | {"passed": 0} | changes


def failure(node: str, outcome: str = "failed", text: str = "E   no") -> Fields:
    return {"node": node, "outcome": outcome, "text": text}


def test_passing_run_has_no_cause() -> None:
    assert causes() == []


def test_tests_count_only_if_the_cell_runs_them() -> None:
    observed = evidence(lambda fields: fields.update(tests=own_tests(end=None)))
    assert list(own_test_causes(observed, EXPECTATION)) == []


def test_tests_that_did_not_start_have_a_cause() -> None:
    (cause,) = own_test_causes(evidence(), TESTED)
    assert summary(cause) == (NOT_RUN, f"{CELL}: own tests", {})


def test_tests_of_another_copy_are_a_shadowed_import() -> None:
    shadowed = fault(end=END | {"file": "/home/user/project/quiverdb/__init__.py"}, code=-11)
    assert shadowed[:2] == ("shadowed-import", f"{CELL}: own tests")


def test_failed_installation_of_pytest_is_a_testbed_failure() -> None:
    tool = command_run(
        "pip", "install", "pytest", code=1, stderr="ERROR: No matching distribution\n"
    )
    (cause,) = causes(tool=tool, end=None, begun=0)
    facts = {"code": 1, "error": "ERROR: No matching distribution"}
    assert summary(cause) == ("machine-lost", f"{CELL}: own tests", facts)
    assert cause.severity == "testbed"


# ---- the end of the run ----


@pytest.mark.parametrize(
    "changes",
    [
        {"timed_out": True, "trace": TRACE},
        {"trace": f"Timeout (0:05:00)!\n{TRACE}"},
        {"code": -14, "trace": TRACE},
    ],
    ids=["probe", "faulthandler", "alarm"],
)
def test_run_that_continues_after_its_time_limit_is_a_hang_in_its_test(changes: Fields) -> None:
    assert fault(end=None, within="t.py::b", seconds=300.4, **changes) == (
        "hang",
        f"{CELL}: t.py::b",
        {"seconds": 300.4, "frame": "/x/database.py:7 in open"},
    )


def test_hang_of_a_stalled_machine_is_a_testbed_failure() -> None:
    assert fault(end=None, within="t.py::b", timed_out=True, stalled=30.0)[0] == "machine-lost"


def test_killed_run_is_a_crash_in_its_test() -> None:
    assert fault(end=None, within="t.py::b", code=-11, trace=TRACE) == (
        "crash",
        f"{CELL}: t.py::b",
        {"code": -11, "signal": "SIGSEGV", "frame": "/x/database.py:7 in open"},
    )


def test_run_that_dies_after_its_end_is_a_crash_at_exit() -> None:
    assert fault(code=-11)[:2] == ("crash", f"{CELL}: at exit")


def test_run_that_dies_before_the_first_test_is_a_crash_of_the_tests() -> None:
    assert fault(end=None, begun=0, code=-11)[:2] == ("crash", f"{CELL}: own tests")


def test_crash_that_wine_explains_is_a_testbed_failure() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"

    def change(fields: Fields) -> None:
        fields["tests"] = own_tests(end=None, within="t.py::b", code=-11)
        fields["loader"] = [line]

    (cause,) = own_test_causes(evidence(change), TESTED)
    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")


def test_failed_test_is_not_explained_by_wine() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"

    def change(fields: Fields) -> None:
        fields["tests"] = own_tests(end=END, failures=[failure("t.py::a")], code=1)
        fields["loader"] = [line]

    (cause,) = own_test_causes(evidence(change), TESTED)
    assert cause.name == "own-tests-failed"


def test_interpreter_that_ends_in_a_test_is_a_crash() -> None:
    expected = ("crash", f"{CELL}: t.py::b", {"code": 0})
    assert fault(end=None, within="t.py::b", code=0) == expected


def test_end_of_pytest_before_the_first_test_has_a_cause() -> None:
    stderr = "ImportError while loading conftest\nE   No module named 'nowhere'\n"
    facts = {"code": 4, "error": "No module named 'nowhere'"}
    expected = (NOT_RUN, f"{CELL}: own tests", facts)
    assert fault(end=None, begun=0, code=4, stderr=stderr) == expected
    assert fault(end=None, begun=0, code=4)[0] == NOT_RUN


# ---- finished runs ----


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"internal": "INTERNALERROR> x\nE   OSError: x"}, {"error": "OSError: x"}),
        ({"begun": 2, "collected": 3}, {"begun": 2, "collected": 3}),
        ({"counts": counts(), "begun": 0, "collected": 0}, {"counts": "0 collected"}),
        ({"counts": counts(skipped=2, deselected=1)}, {"counts": "2 skipped, 1 deselected"}),
        ({"end": END | {"imported": False}}, {"module": "quiverdb"}),
        ({"code": 9, "stdout": "3 passed\n"}, {"error": "3 passed"}),
    ],
    ids=["internal", "partial", "empty", "skipped", "not imported", "exit code"],
)
def test_run_that_verifies_nothing_has_a_cause(
    changes: Fields, facts: dict[str, str | int]
) -> None:
    expected = (NOT_RUN, f"{CELL}: own tests", {"code": 1, **facts})
    assert fault(**{"end": END, **changes}) == expected


@pytest.mark.parametrize("outcome", ["failed", "error", "passed", "xpassed", "xfailed"])
def test_each_of_these_outcomes_counts_as_executed(outcome: str) -> None:
    assert causes(counts=counts(**{outcome: 1})) == []


def test_unknown_number_of_collected_tests_is_no_fault() -> None:
    assert causes(collected=None) == []


def test_failed_test_explains_the_exit_code() -> None:
    assert [cause.name for cause in causes(code=1, failures=[failure("a")])] == ["own-tests-failed"]


# ---- the failures ----


@pytest.mark.parametrize(
    ("outcome", "name"),
    [("failed", "own-tests-failed"), ("error", "own-tests-failed"), ("uncollected", NOT_RUN)],
)
def test_each_failure_has_a_cause_at_its_test(outcome: str, name: str) -> None:
    text = "def test_a():\n>   x\nE   assert 1 == 2\nE    +  where\n\nt.py:3: AssertionError"
    changes = {"failures": [failure("t.py::a", outcome, text)], "code": 1}
    facts = {"test": "t.py::a", "error": "assert 1 == 2 + where"}
    expected = (name, f"{CELL}: t.py::a", facts)
    assert fault(counts=counts(**{outcome: 1}), **changes) == expected


@pytest.mark.parametrize(("text", "error"), [("one\n\ntwo\n", "two"), ("", "failed")])
def test_failure_without_a_marked_line_shows_the_last_line(text: str, error: str) -> None:
    assert fault(failures=[failure("a", text=text)])[2] == {"test": "a", "error": error}


@pytest.mark.parametrize(
    ("outcome", "name"), [("failed", "own-tests-failed"), ("uncollected", NOT_RUN)]
)
def test_more_than_five_failures_are_summarised(outcome: str, name: str) -> None:
    failures = [failure(f"t.py::{n}", outcome) for n in range(9)]
    first, *_, last = failed = causes(failures=failures)
    assert [cause.name for cause in failed] == [name] * 6
    assert [cause.where for cause in failed[:5]] == [f"{CELL}: t.py::{n}" for n in range(5)]
    assert first.facts["test"] == "t.py::0"
    facts = {"count": 4, "tests": ("t.py::5", "t.py::6", "t.py::7")}
    assert summary(last) == (name, f"{CELL}: own tests", facts)
    assert len(causes(failures=[failure(str(number)) for number in range(5)])) == 5
