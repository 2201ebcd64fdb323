"""Check the results of the package's own tests on a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from verification.models.cause import Cause, FactValue
from verification.models.evidence import (
    CellEvidence,
    CommandRun,
    OwnTests,
    OwnTestsEnd,
    TestOutcome,
)
from verification.models.expectation import Expectation
from verification.rules.finding import finding
from verification.rules.process_exit import (
    ALARM,
    crash,
    hang_after,
    has_crashed,
    reclassify_wine_fault,
)
from verification.rules.process_libraries import shadowed_by

_EXECUTED = (
    TestOutcome.FAILED,
    TestOutcome.ERROR,
    TestOutcome.PASSED,
    TestOutcome.XPASSED,
    TestOutcome.XFAILED,
)
_MAX_CAUSES = 5  # failures with a separate cause; the evidence has all failures
_MAX_NAMES = 3  # names of further failures in one message
_OWN_TESTS = "own tests"


def own_test_causes(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the causes that the package's own tests show, if the cell runs them."""
    if not expectation.conditions.own_tests:
        return
    tests = evidence.tests
    if tests is None:
        yield finding("own-tests-not-run", "not-started").at(evidence, _OWN_TESTS)
        return
    file = tests.end.file if tests.end else None
    if file and (shadowed := list(shadowed_by(file, _OWN_TESTS, evidence, expectation))):
        yield from shadowed
        return
    causes = [*_run_causes(evidence, expectation, tests), *_failures(evidence, tests)]
    is_crash = has_crashed(tests.code, tests.trace)
    yield from reclassify_wine_fault(evidence, causes) if is_crash else causes


def _run_causes(
    evidence: CellEvidence, expectation: Expectation, tests: OwnTests
) -> Iterator[Cause]:
    """Yield why the run of the tests did not finish, or why it verifies nothing."""
    code, trace = tests.code, tests.trace
    location = tests.within or ("at exit" if tests.end else _OWN_TESTS)
    if tests.tool.code:
        facts: dict[str, FactValue] = {"code": tests.tool.code, "error": _errors(tests.tool)}
        yield finding("machine-lost", "pytest", **facts).at(evidence, _OWN_TESTS)
    elif tests.timed_out or "Timeout (" in trace or code == ALARM:
        yield hang_after(tests.seconds, tests.stalled, trace).at(evidence, location)
    elif has_crashed(code, trace):
        yield crash(code, trace, evidence).at(evidence, location)
    elif tests.end:
        yield from _unusable_run(evidence, expectation, tests, tests.end)
    elif tests.begun:
        yield finding("crash", "tests", code=code).at(evidence, location)
    else:
        fault = finding("own-tests-not-run", "before-tests", code=code, error=_errors(tests))
        yield fault.at(evidence, _OWN_TESTS)


def _unusable_run(
    evidence: CellEvidence, expectation: Expectation, tests: OwnTests, end: OwnTestsEnd
) -> Iterator[Cause]:
    """Yield why a finished run verifies nothing."""
    counts = tests.counts
    form, facts = "", dict[str, FactValue]()
    if tests.internal:
        form, facts = "internal", {"error": _reported(tests.internal)}
    elif counts[TestOutcome.UNCOLLECTED]:
        return  # each has its own cause
    elif tests.begun < (tests.collected or 0):
        form, facts = "partial", {"begun": tests.begun, "collected": tests.collected or 0}
    elif not sum(counts[outcome] for outcome in _EXECUTED):
        form, facts = "none", {"counts": _count_list(counts) or "0 collected"}
    elif not end.imported:
        form, facts = "not-imported", {"module": expectation.module}
    elif tests.code and not tests.failures:
        form, facts = "exit-code", {"error": _errors(tests)}
    if form:
        fault = finding("own-tests-not-run", form, code=end.code, **facts)
        yield fault.at(evidence, _OWN_TESTS)


def _failures(evidence: CellEvidence, tests: OwnTests) -> Iterator[Cause]:
    for name, outcomes in (
        ("own-tests-failed", (TestOutcome.FAILED, TestOutcome.ERROR)),
        ("own-tests-not-run", (TestOutcome.UNCOLLECTED,)),
    ):
        failures = [failure for failure in tests.failures if failure.outcome in outcomes]
        for failure in failures[:_MAX_CAUSES]:
            error = _reported(failure.text) or failure.outcome
            fault = finding(name, "test", test=failure.node, error=error)
            yield fault.at(evidence, failure.node)
        if others := tuple(failure.node for failure in failures[_MAX_CAUSES:]):
            fault = finding(name, "more", count=len(others), tests=others[:_MAX_NAMES])
            yield fault.at(evidence, _OWN_TESTS)


def _count_list(counts: Mapping[TestOutcome, int]) -> str:
    """Return the counts as text: ``120 passed, 4 skipped``."""
    others = (outcome for outcome in TestOutcome if outcome is not TestOutcome.PASSED)
    ordered = (TestOutcome.PASSED, *others)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in ordered if counts[outcome])


def _reported(text: str) -> str:
    """Return the error that pytest reports, in one line: its lines with an E, or the last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return " ".join(" ".join(marked or lines[-1:]).split())[:300]


def _errors(run: CommandRun | OwnTests) -> str:
    return _reported(f"{run.stdout}\n{run.stderr}") or "no output"
