"""Check whether the older release that the installer selected works."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause, Severity
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.models.expectation import Conditions, Expectation
from verification.rules import install_paths as paths
from verification.rules.finding import finding
from verification.rules.round_trip import wrong_answers
from verification.rules.use import end_causes, failed_import, failed_steps

UNUSABLE = "unusable-fallback"


def is_fallback(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installer installed another release than the published one."""
    version = paths.installed_version(evidence, expectation.project)
    return bool(version) and paths.is_other_version(version, expectation.version)


def unusable_fallback(
    evidence: CellEvidence, expectation: Expectation, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield a cause if the older release does not work, and the causes that show it.

    The declarations of that release are unknown. It must import, its native call and its round trip
    must succeed, and none of its processes may die or hang.
    """
    if not is_fallback(evidence, expectation):
        return
    version = paths.installed_version(evidence, expectation.project)
    older = expectation.model_copy(update={"version": version, "conditions": Conditions()})
    causes = list(end_causes(evidence, older, import_run, exercise))
    if not causes:
        causes = [*failed_steps(evidence, older), *wrong_answers(evidence)]
        causes = causes or list(failed_import(evidence, older, import_run))
    broken = [cause for cause in causes if cause.severity is Severity.BROKEN]
    if broken:
        fault = finding(UNUSABLE, "broken", installed=version, reason=broken[0].name)
        yield fault.at(evidence, "installed")
    for cause in causes:
        is_testbed = cause.severity is Severity.TESTBED
        yield cause if is_testbed else cause.model_copy(update={"follows": UNUSABLE})
