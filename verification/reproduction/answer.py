"""Answer a bug report: does the release work on such a machine?"""

from __future__ import annotations

from typing import NamedTuple

from verification.models.cause import Cause, Severity
from verification.models.evidence import CellEvidence
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.report import AnswerKind, Conclusion
from verification.models.results import CellResult
from verification.models.verdict import Outcome, Verdict
from verification.reproduction.release_files import FilesAnswer
from verification.reproduction.similar_machine import BugReport, RankedMachine, observed_differences
from verification.rules.catalogue import catalogue
from verification.rules.reported_error import agrees

_WORDS = {
    Outcome.WORKS: "works",
    Outcome.WORKS_FLAWED: "works with a flaw",
    Outcome.REFUSED: "is refused",
    Outcome.FALLS_BACK: "is replaced by an older release",
    Outcome.FAILS: "fails",
    Outcome.UNVERIFIED: "was not judged",
    Outcome.TESTBED: "was not judged, because the testbed failed,",
}
_WORKS = (Outcome.WORKS, Outcome.WORKS_FLAWED)
_NOT_JUDGED = (Outcome.UNVERIFIED, Outcome.TESTBED)


class Answer(NamedTuple):
    """The answer to a bug report."""

    kind: AnswerKind
    verdict: Verdict
    text: str
    differences: tuple[str, ...] = ()
    """All differences between the machine that ran and the machine of the bug report."""


class MachineRun(NamedTuple):
    """The cell that ran for a bug report."""

    machine: RankedMachine
    evidence: CellEvidence
    result: CellResult
    inspection: ReleaseInspection
    """The inspection of the release's files."""


def answer(
    bug_report: BugReport,
    files: FilesAnswer,
    run: MachineRun | None,
    unavailable: tuple[str, ...] = (),
) -> Answer:
    """Return the answer to a bug report.

    `run` is None if no machine with this Python, this processor and this kind of C library ran.
    `unavailable` are the reasons why nearer machines did not run.

    - *Verified*: a machine without a decisive difference executed the release, and it works.
    - *Failed*: such a machine or the files show that it does not work. A release does not work if
      an installer refuses it, or installs an older one.
    - *Unverified*: no machine, or only one with a decisive difference, executed it.
    """
    if not bug_report.can_run:
        reasons = "; ".join(item.difference for item in bug_report.substitutes if not item.runs)
        text = f"not proven: {reasons}; for pip, {files.text}"
        return Answer(AnswerKind.FILES, Verdict.UNVERIFIED, text, unavailable)
    if run is None:
        return _from_files(files, (*unavailable, "no machine that matches the bug report ran"))
    texts, decisive_texts = _differences(bug_report, run)
    texts = (*texts, *unavailable)
    outcome = run.result.outcome
    ran = f"the release {_WORDS[outcome]} on {run.machine.spec.name}"
    ran += _names(run.result.causes)
    if outcome not in _NOT_JUDGED and not decisive_texts:
        verdict = Verdict.VERIFIED if outcome in _WORKS else Verdict.FAILED
        return Answer(AnswerKind.EXECUTED, verdict, ran, texts)
    if files.works is False:
        return _from_files(files, (*texts, ran))
    if outcome in _NOT_JUDGED:
        return Answer(AnswerKind.NOT_RUN, run.result.verdict, f"{ran}; {files.text}", texts)
    if _is_broken_in_files(run):
        text = f"{ran}, a similar machine, and its files show the same cause"
        return Answer(AnswerKind.FILES, Verdict.FAILED, text, texts)
    text = f"not proven: {ran}, a similar machine"
    return Answer(AnswerKind.SIMILAR_MACHINE, Verdict.UNVERIFIED, text, texts)


def conclusion(error: str, answered: Answer, run: MachineRun | None) -> Conclusion:
    """Return whether the failure of a pasted bug report happens again.

    `error` is the reported error; empty if the bug report has none. Then every failure counts.
    """
    if run is None:
        return Conclusion.ANSWERED_FROM_FILES
    outcome = run.result.outcome
    if outcome in (*_NOT_JUDGED, *_WORKS):
        if answered.kind is AnswerKind.FILES:
            return Conclusion.ANSWERED_FROM_FILES
        return Conclusion.NOT_JUDGED if outcome in _NOT_JUDGED else Conclusion.NOT_REPRODUCED
    if not error or agrees(error, run.result, run.evidence):
        return Conclusion.REPRODUCED
    return Conclusion.NOT_REPRODUCED


def workarounds(
    bug_report: BugReport,
    files: FilesAnswer | None,
    run: MachineRun | None,
    *,
    project: str,
    version: str,
) -> tuple[str, ...]:
    """Return what the user can do about the user environment, and about each cause.

    `files` is None if there is no release. `version` is that of the release.
    """
    causes = [(cause.name, cause.facts) for cause in run.result.causes] if run else []
    if files and files.cause and (run is None or run.result.outcome not in _WORKS):
        causes.append((files.cause, {}))
    templates = [
        catalogue()[name].workaround_for(bug_report.os, facts)
        for name, facts in causes
        if name in catalogue()
    ]
    return tuple(
        template.format(project=project, version=version)
        for template in dict.fromkeys((*bug_report.workarounds, *templates))
        if template
    )


def _from_files(files: FilesAnswer, differences: tuple[str, ...]) -> Answer:
    if files.works is False:
        text = f"the release does not work there: {files.text}"
        return Answer(AnswerKind.FILES, Verdict.FAILED, text, differences)
    return Answer(AnswerKind.FILES, Verdict.UNVERIFIED, f"not proven: {files.text}", differences)


def _differences(bug_report: BugReport, run: MachineRun) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts of all differences, and of the decisive ones."""
    spec: MachineSpec = run.machine.spec
    differences = (*run.machine.differences, *observed_differences(bug_report, spec, run.evidence))
    return (
        tuple(difference.text for difference in differences),
        tuple(difference.text for difference in differences if difference.decisive),
    )


def _is_broken_in_files(run: MachineRun) -> bool:
    """Return True if the inspection of the wheel reports a cause of the failed cell too."""
    inspection_causes = {
        name
        for wheel in run.inspection.wheels
        if wheel.file == run.result.wheel
        for name in wheel.cause_names(Severity.BROKEN)
    }
    return run.result.outcome is Outcome.FAILS and any(
        cause.name in inspection_causes for cause in run.result.causes
    )


def _names(causes: tuple[Cause, ...]) -> str:
    names = ", ".join(dict.fromkeys(cause.name for cause in causes))
    return f" ({names})" if names else ""
