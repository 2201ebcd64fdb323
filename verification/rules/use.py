"""Find what fails when the package is imported and used."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules.catalogue import catalogue
from verification.rules.finding import Finding, finding
from verification.rules.index_requests import network_used
from verification.rules.process_exit import (
    abnormal_exits,
    last_error,
    old_runtimes,
    reclassify_wine_fault,
)
from verification.rules.process_libraries import (
    loaded_libraries,
    shadowed_import,
    undefined_functions,
    unknown_to_wine,
    unresolved_symbols,
)
from verification.rules.round_trip import missing_errors, open_files, wrong_answers
from verification.rules.side_effects import side_effects
from verification.rules.step_error import INTERPOSED, Failure, step_error
from verification.rules.uninstall import registry_changes

STEPS = (
    *("import", "native-call", "round-trip", "closed-file", "failing-calls"),
    *("mapped", "distributions", "record"),
)
"""The steps that must succeed, in their order."""
# Causes that report no more than that something failed.
_VAGUE = ("unclassified", "round-trip-failed")
_MISSING = ("missing-bundled-library", "missing-runtime-library", "wrong-load-path")


def use_faults(
    evidence: CellEvidence, expectation: Expectation, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield what went wrong when the package was imported and used."""
    if ended := list(end_faults(evidence, expectation, import_run, exercise)):
        yield from ended
        return
    failures = list(failed_steps(evidence, expectation))
    yield from failures
    if not failures:
        yield from failed_import(evidence, expectation, import_run)
    yield from wrong_versions(evidence, expectation)
    yield from undefined_functions(evidence, expectation)
    yield from wrong_answers(evidence)
    yield from open_files(evidence)
    yield from missing_errors(evidence)
    yield from side_effects(evidence, import_run, exercise)
    yield from network_used(evidence)
    yield from unknown_to_wine(evidence, expectation)
    yield from loaded_libraries(evidence, expectation)
    yield from wrong_dependencies(evidence, expectation)
    yield from record_faults(evidence)
    yield from registry_changes(evidence)


def end_faults(
    evidence: CellEvidence, expectation: Expectation, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield what explains everything that follows: it keeps the steps from meaning anything."""
    if unresolved := list(unresolved_symbols(evidence, expectation)):
        yield from unresolved  # a crash follows from it
    elif ended := list(abnormal_exits(evidence, import_run, exercise)):
        yield from list(old_runtimes(evidence)) or reclassify_wine_fault(evidence, ended)
    elif shadow := list(shadowed_import(evidence, expectation)):
        yield from shadow  # whatever else was observed is the other package's
    elif (prelude := evidence.steps.prelude) and prelude.error:
        observed = prelude.error.message
        yield finding("testbed-defect", observed).at(evidence, "prelude")


def failed_steps(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the first step that failed, and those in which another library's code answered."""
    steps = evidence.steps.by_name()
    conditions = expectation.conditions
    failed = False
    for name in (*STEPS, *conditions.uses):
        step = steps.get(name)
        if step and step.ok:
            continue
        failure = Failure(name, "", "it was never reached")
        if step and step.error:
            failure = Failure.of(name, step.error)
        # A step that fails later only follows.
        if not failed or failure.type == INTERPOSED:
            fault = step_error(failure, evidence, expectation)
            is_use = name in conditions.uses
            yield _named_by_scenario(fault, evidence, expectation, is_use).at(evidence, name)
        failed = True


def _named_by_scenario(
    fault: Finding, evidence: CellEvidence, expectation: Expectation, is_use: bool
) -> Finding:
    """Return the fault; if it has no exact name, by the scenario's name for it.

    A scenario's name that weighs less stands for what was proven to be no more than that.
    """
    conditions = expectation.conditions
    native = evidence.steps.native_call
    # What was loaded before is there, whatever the loader reports of this way to it.
    is_loaded = is_use and fault.name in _MISSING and native is not None and native.ok
    if not conditions.cause or not (fault.name in _VAGUE or is_loaded):
        return fault
    name, entries = conditions.cause, catalogue()
    if entries[name].severity != entries[fault.name].severity:
        name = "use-not-supported"
    return finding(name, f"{conditions.title}: {fault.observed}", **fault.facts)


def failed_import(
    evidence: CellEvidence, expectation: Expectation, run: ImportRun
) -> Iterator[Cause]:
    """Yield how the import alone failed, where the same import succeeded in the exercise."""
    if run.code:
        kind, _, message = last_error(run.output).partition(": ")
        message = message or f"it ended with {run.code}"
        failure = Failure("import", kind, f"{kind}: {message}", run.output)
        yield step_error(failure, evidence, expectation).at(evidence, "import")


def wrong_versions(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield where the native library or the module has another version than the release."""
    steps, version = evidence.steps, expectation.version
    if canonicalize_name(expectation.project) not in paths.distributions(evidence):
        return
    if (native := steps.native_call) and native.ok:
        reported = native.value.version if native.value else None
        if reported != version:
            observed = f"the native library says {reported}, the release is {version}"
            fault = finding("version-mismatch", observed, version=str(reported), release=version)
            yield fault.at(evidence, "version()")
    module = steps.import_package.value if steps.import_package else None
    if module and module.version and paths.is_other_version(module.version, version):
        observed = f"{expectation.module}.__version__ is {module.version}, the release is {version}"
        facts = {"version": module.version, "release": version}
        yield finding("version-mismatch", observed, **facts).as_risk().at(evidence, "__version__")


def wrong_dependencies(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the distributions beside the package that are not in their locked version."""
    if expectation.conditions.keeps_dependencies:
        return
    every = paths.distributions(evidence)
    project = canonicalize_name(expectation.project)
    home = every[project].folder if project in every else None
    for name, one in every.items():
        # Elsewhere is the system's own, and pip came with the machine.
        if one.folder != home or name in (project, "pip"):
            continue
        locked = expectation.locked.get(name, "none")
        if locked != one.version:
            observed = f"{one.name} {one.version} is installed, locked is {locked}"
            facts = {"dependency": one.name, "version": one.version, "locked": locked}
            yield finding("version-mismatch", observed, **facts).at(evidence, "dependencies")


def record_faults(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield what is wrong with the installed files and with the entry points."""
    step, entries = evidence.steps.record, evidence.steps.entry_points
    if step is None or step.value is None:
        return
    record = step.value
    for wrong in record.wrong:
        observed = f"the installed file has {wrong.observed} than RECORD tells"
        yield finding("record-mismatch", observed, file=wrong.file).at(evidence, wrong.file)
    if not record.checked:
        yield finding("record-mismatch", "it lists no hash at all").at(evidence, "RECORD")
    for module in record.unreadable:
        fault = finding("syntax-error", module.observed, file=module.file)
        yield fault.at(evidence, module.file)
    for entry in entries.value if entries and entries.value else ():
        observed = f"{entry.name} = {entry.value}: {entry.observed}"[:400]
        # It is installed and the package works: the lesser severity.
        fault = finding("entry-point-broken", observed, entry_point=entry.name)
        yield fault.as_risk().at(evidence, "entry points")
