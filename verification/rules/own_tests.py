"""Check the results of the package's own tests on a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from verification.models.cause import Cause
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

_RAN = (
    TestOutcome.FAILED,
    TestOutcome.ERROR,
    TestOutcome.PASSED,
    TestOutcome.XPASSED,
    TestOutcome.XFAILED,
)
_SHOWN = 5  # failures that become causes of their own; the evidence has all
_OWN_TESTS = "own tests"


def own_test_faults(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield what the package's own tests showed, if the cell runs them."""
    if not expectation.conditions.own_tests:
        return
    tests = evidence.tests
    if tests is None:
        observed = "the exercise did not end well, and the tests were not begun"
        yield finding("own-tests-not-run", observed).at(evidence, _OWN_TESTS)
        return
    file = tests.end.file if tests.end else None
    if file and (shadow := list(shadowed_by(file, _OWN_TESTS, evidence, expectation))):
        yield from shadow
        return
    causes = [*_run_faults(evidence, expectation, tests), *_failures(evidence, tests)]
    died = has_crashed(tests.code, tests.trace)
    yield from reclassify_wine_fault(evidence, causes) if died else causes


def _run_faults(
    evidence: CellEvidence, expectation: Expectation, tests: OwnTests
) -> Iterator[Cause]:
    """Yield why the run of the tests did not come to its end, or is worth nothing."""
    code, trace = tests.code, tests.trace
    place = tests.within or ("at exit" if tests.end else _OWN_TESTS)
    if tests.tool.code:
        observed = f"pytest could not be installed: {_errors(tests.tool)}"
        yield finding("machine-lost", observed, code=tests.tool.code).at(evidence, _OWN_TESTS)
    elif tests.timed_out or "Timeout (" in trace or code == ALARM:
        yield hang_after(tests.seconds, tests.stalled, trace).at(evidence, place)
    elif has_crashed(code, trace):
        yield crash(code, trace, evidence).at(evidence, place)
    elif tests.end:
        yield from _worthless_run(evidence, expectation, tests, tests.end)
    elif tests.begun:
        observed = f"the interpreter ended with {code} in the midst of the tests"
        yield finding("crash", observed, code=code).at(evidence, place)
    else:
        observed = f"pytest ended with {code} before any test: {_errors(tests)}"
        yield finding("own-tests-not-run", observed, code=code).at(evidence, _OWN_TESTS)


def _worthless_run(
    evidence: CellEvidence, expectation: Expectation, tests: OwnTests, end: OwnTestsEnd
) -> Iterator[Cause]:
    """Yield why a run that came to its end verifies nothing."""
    counts, code = tests.counts, tests.code
    observed = ""
    if tests.internal:
        observed = f"pytest failed: {_reported(tests.internal)}"
    elif counts[TestOutcome.UNCOLLECTED]:
        return  # each is reported by its name
    elif tests.begun < (tests.collected or 0):
        observed = (
            f"{tests.begun} of {tests.collected} tests ran, then pytest ended with {end.code}"
        )
    elif not sum(counts[outcome] for outcome in _RAN):
        observed = f"no test ran ({_sentence(counts) or 'none found'})"
    elif not end.imported:
        observed = f"none of the tests imported {expectation.module}"
    elif code and not tests.failures:
        observed = f"no test failed, and pytest ended with {code}: {_errors(tests)}"
    if observed:
        yield finding("own-tests-not-run", observed, code=end.code).at(evidence, _OWN_TESTS)


def _failures(evidence: CellEvidence, tests: OwnTests) -> Iterator[Cause]:
    for name, outcomes in (
        ("own-tests-failed", (TestOutcome.FAILED, TestOutcome.ERROR)),
        ("own-tests-not-run", (TestOutcome.UNCOLLECTED,)),
    ):
        failures = [one for one in tests.failures if one.outcome in outcomes]
        for one in failures[:_SHOWN]:
            observed = _reported(one.text) or one.outcome
            yield finding(name, observed, test=one.node).at(evidence, one.node)
        if others := [one.node for one in failures[_SHOWN:]]:
            observed = f"{len(others)} more ({', '.join(others)[:200]})"
            yield finding(name, observed, count=len(others)).at(evidence, _OWN_TESTS)


def _sentence(counts: Mapping[TestOutcome, int]) -> str:
    """Return the counts in words: ``120 passed, 4 skipped``."""
    others = (outcome for outcome in TestOutcome if outcome is not TestOutcome.PASSED)
    ordered = (TestOutcome.PASSED, *others)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in ordered if counts[outcome])


def _reported(text: str) -> str:
    """Return in one line what pytest reports: its lines with an E, or else the last."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return " ".join(marked or lines[-1:])[:300]


def _errors(run: CommandRun | OwnTests) -> str:
    return _reported(f"{run.stdout}\n{run.stderr}") or "it said nothing"
