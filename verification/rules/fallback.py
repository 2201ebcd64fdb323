"""Check whether an older release works that the installer selected."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause, Severity
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.models.expectation import Conditions, Expectation
from verification.rules import install_paths as paths
from verification.rules.finding import finding
from verification.rules.round_trip import wrong_answers
from verification.rules.use import end_faults, failed_import, failed_steps

UNUSABLE = "unusable-fallback"


def is_fallback(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installer installed another release than the published one."""
    version = paths.installed_version(evidence, expectation.project)
    return bool(version) and paths.is_other_version(version, expectation.version)


def unusable_fallback(
    evidence: CellEvidence, expectation: Expectation, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield that the other release does not work, and the causes that show it.

    Nothing is known of what that release promises. It must import, its native call and its round
    trip must succeed, and no process of it may die or hang.
    """
    if not is_fallback(evidence, expectation):
        return
    version = paths.installed_version(evidence, expectation.project)
    own = expectation.model_copy(update={"version": version, "conditions": Conditions()})
    causes = list(end_faults(evidence, own, import_run, exercise))
    if not causes:
        causes = [*failed_steps(evidence, own), *wrong_answers(evidence)]
        causes = causes or list(failed_import(evidence, own, import_run))
    broken = [cause for cause in causes if cause.severity is Severity.BROKEN]
    if broken:
        observed = f"{version} was installed, and it does not work: {broken[0].name}"
        yield finding(UNUSABLE, observed, installed=version).at(evidence, "installed")
    for cause in causes:
        counts = cause.severity is Severity.TESTBED
        yield cause if counts else cause.model_copy(update={"follows": UNUSABLE})
