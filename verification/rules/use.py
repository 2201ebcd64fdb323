"""Find the causes of the import and the use of the package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from packaging.utils import canonicalize_name

from verification.models.cause import Cause
from verification.models.evidence import (
    CellEvidence,
    CompilerWarning,
    EntryPointFault,
    Exercise,
    ImportRun,
)
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules.catalogue import catalogue
from verification.rules.finding import Finding, finding
from verification.rules.index_requests import network_used
from verification.rules.process_changes import process_changes
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
from verification.rules.pure_python import pure_python_fallback, without_unmapped_modules
from verification.rules.round_trip import (
    forged_use,
    missing_errors,
    open_files,
    wrong_answers,
)
from verification.rules.side_effects import side_effects
from verification.rules.step_error import INTERPOSED, Failure, step_error
from verification.rules.uninstall import registry_changes

STEPS = (
    *("import", "native-call", "round-trip", "closed-file", "failing-calls"),
    *("mapped", "distributions", "record"),
)
"""The steps that must succeed, in order."""
# The causes that say nothing except that a step failed, or that the scenario explains better: it
# sets the path or the locale that an encoding cannot express.
_VAGUE = ("unclassified", "round-trip-failed", "encoding-assumed")
_MISSING = ("missing-bundled-library", "missing-runtime-library", "wrong-load-path")


def use_causes(
    evidence: CellEvidence, expectation: Expectation, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield the causes of the import and the use of the package."""
    if ended := list(end_causes(evidence, expectation, import_run, exercise)):
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
    yield from process_changes(evidence, expectation)
    yield from network_used(evidence)
    yield from unknown_to_wine(evidence, expectation)
    libraries = list(loaded_libraries(evidence, expectation))
    if fallback := list(pure_python_fallback(evidence, expectation)):
        yield from fallback
        libraries = list(without_unmapped_modules(libraries))
    yield from libraries
    yield from wrong_dependencies(evidence, expectation)
    yield from record_causes(evidence)
    for cause in entry_point_causes(evidence):
        same_reason = failures and _is_error_of_use(str(cause.facts["error"]), evidence)
        yield cause.model_copy(update={"follows": failures[0].name if same_reason else ""})
    yield from registry_changes(evidence)


def end_causes(
    evidence: CellEvidence, expectation: Expectation, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield the causes that make all results of the steps meaningless."""
    if unresolved := list(unresolved_symbols(evidence, expectation)):
        yield from unresolved  # a crash is a consequence of it
    elif exits := list(abnormal_exits(evidence, import_run, exercise)):
        yield from list(old_runtimes(evidence)) or reclassify_wine_fault(evidence, exits)
    elif shadowed := list(shadowed_import(evidence, expectation)):
        yield from shadowed  # every other observation is about the other package
    elif forged := list(forged_use(evidence)):
        yield from forged
    elif (code := evidence.steps.prelude) and code.error:
        fault = finding("testbed-defect", "prelude", message=code.error.message)
        yield fault.at(evidence, "prelude")


def failed_steps(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield causes for the first failed step, and for steps that run code of another library."""
    steps = evidence.steps.by_name()
    conditions = expectation.conditions
    failed = False
    for name in (*STEPS, *conditions.uses):
        step = steps.get(name)
        if step and step.ok:
            continue
        failure = Failure.of(name, step.error) if step and step.error else None
        failure = failure or Failure.not_reached(name)
        # A later failure is a consequence of the first.
        if not failed or failure.type == INTERPOSED:
            fault = step_error(failure, evidence, expectation)
            is_use = name in conditions.uses
            yield _for_scenario(fault, evidence, expectation, is_use).at(evidence, name)
        failed = True


def _for_scenario(
    fault: Finding, evidence: CellEvidence, expectation: Expectation, is_use: bool
) -> Finding:
    """Return the fault. A fault without an exact name gets the cause of the scenario.

    If the severities of the two causes differ, the name is `use-not-supported`.
    """
    conditions = expectation.conditions
    native = evidence.steps.native_call
    # A library that was loaded before is not missing, even if the loader reports it here.
    is_loaded = is_use and fault.name in _MISSING and native is not None and native.ok
    if not conditions.cause or not (fault.name in _VAGUE or is_loaded):
        return fault
    name, entries = conditions.cause, catalogue()
    if entries[name].severity != entries[fault.name].severity:
        name = "use-not-supported"
    return replace(fault, name=name, message=f"{conditions.title}: {fault.message}")


def failed_import(
    evidence: CellEvidence, expectation: Expectation, run: ImportRun
) -> Iterator[Cause]:
    """Yield why the separate import failed, although the import of the exercise passed."""
    if run.code:
        error = last_error(run.output)
        kind, separator, _ = error.partition(": ")
        message = error if separator else f"{error} (exit code {run.code})"
        failure = Failure("import", kind, message, run.output)
        yield step_error(failure, evidence, expectation).at(evidence, "import")


def wrong_versions(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause if the native library or the module has another version than the release."""
    steps, version = evidence.steps, expectation.version
    if canonicalize_name(expectation.project) not in paths.distributions(evidence):
        return
    if (native := steps.native_call) and native.ok:
        reported = native.value.version if native.value else None
        if reported != version:
            facts = {"version": str(reported), "release": version}
            fault = finding("version-mismatch", "native", **facts)
            yield fault.at(evidence, "version()")
    module = steps.import_package.value if steps.import_package else None
    if module and module.version and paths.is_other_version(module.version, version):
        facts = {"module": expectation.module, "version": module.version, "release": version}
        fault = finding("version-mismatch", "module", **facts)
        yield fault.as_risk().at(evidence, "__version__")


def wrong_dependencies(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for each installed dependency that does not have its locked version.

    A distribution that was in the environment before and that the lock does not have is none. A
    virtual environment of Debian 11 has setuptools, for example.
    """
    if expectation.conditions.keeps_dependencies:
        return
    installed = paths.distributions(evidence)
    project = canonicalize_name(expectation.project)
    folder = installed[project].folder if project in installed else None
    added = {
        canonicalize_name(path.name.partition("-")[0])
        for path in paths.added_paths(evidence)
        if path.suffix in (".dist-info", ".egg-info")
    }
    for name, dependency in installed.items():
        # Distributions in other folders belong to the system, and pip and uv to the machine.
        if dependency.folder != folder or name in (project, *paths.INSTALLERS):
            continue
        locked = expectation.locked.get(name, "none")
        if locked == "none" and name not in added:
            continue
        if locked != dependency.version:
            facts = {"dependency": dependency.name, "version": dependency.version}
            fault = finding("version-mismatch", "dependency", **facts, locked=locked)
            yield fault.at(evidence, "dependencies")


def _is_error_of_use(error: str, evidence: CellEvidence) -> bool:
    """Return whether an entry point fails for the reason for which the import or the use fails.

    Loading an entry point imports the package. If this fails, every entry point fails.
    """
    imported, called = evidence.steps.import_package, evidence.steps.native_call
    if imported and imported.error:
        return True
    if not called or not called.error:
        return False
    return f"{called.error.type}: {called.error.message}".startswith(error)


def record_causes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the causes of the installed files."""
    step = evidence.steps.record
    if step is None or step.value is None:
        return
    record = step.value
    for wrong in record.wrong:
        fault = finding("record-mismatch", "content", file=wrong.file, difference=wrong.observed)
        yield fault.at(evidence, wrong.file)
    if not record.checked:
        yield finding("record-mismatch", "unhashed").at(evidence, "RECORD")
    for script in record.scripts:
        facts = {"file": script.file, "interpreter": script.observed}
        yield finding("script-interpreter", "absent", **facts).at(evidence, script.file)
    for code in record.startup:
        fault = finding("startup-code", "ran", file=code.file, code=code.observed[:200])
        yield fault.at(evidence, code.file)
    yield from _syntax_warnings(evidence, record.warned)
    for module in record.unreadable:
        fault = finding("syntax-error", "module", file=module.file, error=module.observed)
        yield fault.at(evidence, module.file)


def _syntax_warnings(
    evidence: CellEvidence, warnings: tuple[CompilerWarning, ...]
) -> Iterator[Cause]:
    """Yield one cause for all warnings about modules of the package.

    A warning is *flawed* if the module was imported, because the user sees it. Others are a note.
    """
    if not warnings:
        return
    first = next((warning for warning in warnings if warning.imported), warnings[0])
    form = "modules" if len(warnings) == 1 else "more"
    facts = {"file": first.file, "message": first.message}
    fault = finding("syntax-warning", form, line=first.line, count=len(warnings), **facts)
    yield (fault if first.imported else fault.as_risk()).at(evidence, first.file)


def _is_plugin_of_absent_package(entry: EntryPointFault) -> bool:
    """Return whether an entry point only lacks the package that loads such plug-ins.

    The name of a group begins with that of the package (PyPA, entry points specification).
    """
    if entry.group in ("", "console_scripts", "gui_scripts"):
        return False
    missing = re.match(r"ModuleNotFoundError: No module named '([\w]+)", entry.observed)
    return missing is not None and re.split(r"[.\-]", entry.group)[0] == missing[1]


def entry_point_causes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the causes of the entry points."""
    entries = evidence.steps.entry_points
    for entry in entries.value if entries and entries.value else ():
        if _is_plugin_of_absent_package(entry):
            continue
        facts = {"value": entry.value, "error": entry.observed[:400]}
        # The entry point is installed and the package works: the lesser severity.
        fault = finding("entry-point-broken", "entry", entry_point=entry.name, **facts)
        yield fault.as_risk().at(evidence, "entry points")
