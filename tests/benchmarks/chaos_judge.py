"""Judge a disturbed run: is everything that it says true, and is nothing of it left?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from verification.models.cause import Cause, Severity
from verification.models.errors import ExitCode
from verification.models.report import Report
from verification.models.verdict import EXIT_CODES, Verdict

LIMIT_SECONDS = 600
"""The time limit of a disturbed run. An undisturbed one takes about a minute."""
_ABOUT_THE_PACKAGE = (Severity.BROKEN, Severity.FLAWED)


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is true of a wheel or a workflow."""

    subject: str
    """Its description in the table."""
    works: bool
    causes: frozenset[str] = frozenset()
    """The names of the true causes. Each is about the package."""


@dataclasses.dataclass(frozen=True)
class Observed:
    """What is known about a run after its end and after the sweep of the next one."""

    code: int | None
    """The exit code; None if the fault killed the launcher."""
    report: Report | None
    """Its report; None if there is none, or if it is not readable."""
    recorded: tuple[Report, ...] = ()
    """The reports that it added to the history."""
    leftovers: tuple[str, ...] = ()
    seconds: float = 0.0


def faults_of(truth: Truth, observed: Observed) -> list[str]:
    """Return what is wrong with a run, one line for each. A good run has none."""
    return list(dict.fromkeys(_faults(truth, observed)))


def _faults(truth: Truth, observed: Observed) -> Iterator[str]:
    for report in (*filter(None, [observed.report]), *observed.recorded):
        yield from _untrue_verdict(truth, report)
        for cause in causes_of(report):
            if cause.severity in _ABOUT_THE_PACKAGE and cause.name not in truth.causes:
                yield f"blames the package: {cause.name}"
    for report in observed.recorded:
        if report.interrupted or not report.finished:
            yield "a run that did not finish is in the history"
    yield from _wrong_code(observed)
    for leftover in observed.leftovers:
        yield f"left: {leftover}"
    if observed.seconds > LIMIT_SECONDS:
        yield f"no end within {LIMIT_SECONDS} s"


def _untrue_verdict(truth: Truth, report: Report) -> Iterator[str]:
    severities = {cause.severity for cause in causes_of(report)}
    match report.verdict:
        case Verdict.VERIFIED if not truth.works:
            yield "says that a broken wheel is verified"
        case Verdict.VERIFIED if not report.finished or report.interrupted:
            yield "says verified without its end"
        case Verdict.FAILED if truth.works:
            yield "says that a good wheel failed"
        case Verdict.FAILED if Severity.BROKEN not in severities:
            yield "says failed without a cause"
        case Verdict.TESTBED if Severity.TESTBED not in severities:
            yield "says testbed-failure without a cause"


def _wrong_code(observed: Observed) -> Iterator[str]:
    code, report = observed.code, observed.report
    if code is None:
        return
    if code not in set(ExitCode):
        yield f"ends with {code}"
    elif code in (ExitCode.VERIFIED, ExitCode.PACKAGE_FAILED):
        if report is None or not report.finished or EXIT_CODES[report.verdict] != code:
            yield f"ends with {code} without such a report"
    elif report and report.interrupted and code != ExitCode.UNVERIFIED:
        yield f"ends with {code} after an interrupt"


def causes_of(report: Report) -> list[Cause]:
    """Return the causes of all items and cells of a report."""
    parts = [*(item.causes for item in report.items), *(cell.causes for cell in report.cells)]
    return [cause for causes in parts for cause in causes]
