"""Compute the outcome of a cell and its causes from its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.diagnosis import Diagnosis
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.models.machine import Refusal
from verification.models.verdict import ExpectationKind, Outcome
from verification.rules import index_requests, install
from verification.rules.fallback import is_fallback, unusable_fallback
from verification.rules.finding import Finding, finding
from verification.rules.install_error import install_error
from verification.rules.install_paths import chose_release
from verification.rules.limits import limit_causes
from verification.rules.own_tests import own_test_causes
from verification.rules.process_exit import reclassify_emulated_fault
from verification.rules.refusal import refusal_causes
from verification.rules.uninstall import registry_changes, removal_causes
from verification.rules.use import use_causes


def diagnose(evidence: CellEvidence, expectation: Expectation) -> Diagnosis:
    """Return the outcome of a cell and its causes, sorted by severity."""
    causes = sorted_causes(
        reclassify_emulated_fault(cause, evidence) for cause in _causes(evidence, expectation)
    )
    outcome = _outcome(evidence, expectation, causes)
    reason = ""
    if outcome is Outcome.UNVERIFIED:
        reason = f"its evidence has no {', '.join(_missing(evidence, expectation))}"
    return Diagnosis(outcome=outcome, causes=causes, reason=reason)


def is_unexpected_support(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installer chose the release, although no declared wheel fits the machine.

    The installer decides which wheel fits. A wheel for another Python, a newer glibc or musl can
    support more machines than the subject declares. The release must then work there.
    """
    return expectation.refusal in get_args(Refusal) and chose_release(evidence, expectation)


def _outcome(evidence: CellEvidence, expectation: Expectation, causes: Sequence[Cause]) -> Outcome:
    severities = {cause.severity for cause in causes if not cause.follows}
    refused = evidence.install is not None and evidence.install.code != 0
    for is_outcome, outcome in (
        (Severity.TESTBED in severities, Outcome.TESTBED),
        (Severity.BROKEN in severities, Outcome.FAILS),
        (bool(_missing(evidence, expectation)), Outcome.UNVERIFIED),
        (refused, Outcome.REFUSED),
        (is_fallback(evidence, expectation), Outcome.FALLS_BACK),
        (Severity.FLAWED in severities, Outcome.WORKS_FLAWED),
    ):
        if is_outcome:
            return outcome
    return Outcome.WORKS


def _missing(evidence: CellEvidence, expectation: Expectation) -> list[str]:
    """Return the names of the parts that are missing in the evidence and required for a verdict."""
    if install.no_earlier_release(evidence, expectation):
        return ["installation of the earlier release"]
    parts: dict[str, object] = {"python": evidence.python or None, "install": evidence.install}
    if evidence.install is None or evidence.install.code == 0:
        parts |= {"import": evidence.import_run, "exercise": evidence.exercise}
        parts |= {"uninstall": evidence.uninstall}
        if evidence.chosen is not None:
            parts |= {"on_disk": evidence.on_disk}
    return [name for name, part in parts.items() if part is None]


def _causes(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    other_failure = evidence.testbed is not None and evidence.testbed.cause != "machine-lost"
    if not other_failure and (met := list(limit_causes(evidence, expectation))):
        yield from met  # after this, a machine can be lost and a request can fail
    elif testbed_failures := list(_testbed_failures(evidence)):
        yield from testbed_failures
    elif evidence.install is None or _missing(evidence, expectation):
        return
    elif expectation.kind is ExpectationKind.WORKS:
        yield from _release_causes(evidence, expectation, evidence.install)
    elif is_unexpected_support(evidence, expectation):
        yield finding("unexpected-support", "chosen", refusal=expectation.refusal).at(evidence)
        yield from _release_causes(evidence, expectation, evidence.install)
    else:
        yield from _refusal_causes(evidence, expectation, evidence.install)


def _testbed_failures(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the causes of failures of the testbed. They explain all other failures of the cell."""
    if failure := evidence.testbed:
        yield Finding(failure.cause, failure.observed).at(evidence, failure.where)
    elif failed := list(index_requests.failed_requests(evidence)):
        yield from failed
    else:
        yield from install.failed_setup(evidence)


def _refusal_causes(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun
) -> Iterator[Cause]:
    """Yield the causes of a cell in which the installer must refuse, or install an older release.

    ``run`` is the installation.
    """
    if expectation.refused_upload and not run.code:
        # The index might have had a wheel for this machine.
        yield from install.other_release(evidence, expectation)
        return
    yield from refusal_causes(evidence, expectation, run)
    yield from registry_changes(evidence)
    yield from _fallback_causes(evidence, expectation)


def _release_causes(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun
) -> Iterator[Cause]:
    """Yield the causes of a cell in which the release must work; ``run`` is the installation."""
    altered_files = list(index_requests.other_content(evidence, expectation))
    yield from altered_files
    if failed := list(install.failed_commands(evidence, expectation)):
        yield from failed
        return
    if run.code:
        error = install_error(evidence, expectation, run)
        follows = altered_files[0].name if altered_files else ""
        yield error.model_copy(update={"follows": follows})
        return
    yield from install.index_asked_offline(evidence, expectation)
    yield from install.second_install_causes(evidence)
    if other := list(install.other_release(evidence, expectation)):
        yield from other  # every other observation is about the other release
        yield from _fallback_causes(evidence, expectation)
        return
    yield from index_requests.not_served(evidence, expectation)
    yield from _use_causes(evidence, expectation)


def _fallback_causes(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    if evidence.import_run and evidence.exercise:
        yield from unusable_fallback(evidence, expectation, evidence.import_run, evidence.exercise)


def _use_causes(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the causes of the installed release: in use, in its own tests and at its removal."""
    if not evidence.import_run or not evidence.exercise or not evidence.uninstall:
        return
    causes = list(use_causes(evidence, expectation, evidence.import_run, evidence.exercise))
    yield from causes
    if not {cause.severity for cause in causes} & {Severity.BROKEN, Severity.TESTBED}:
        # If the use failed, the failures of the tests follow from it.
        yield from own_test_causes(evidence, expectation)
    yield from removal_causes(evidence, expectation, evidence.uninstall)
