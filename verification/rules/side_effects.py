"""Find the side effects of a package: output, files, processes and changed process state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.rules import install_paths as paths
from verification.rules.finding import finding
from verification.wheel.tags import parse_tags

_GIL = "GIL"
"""The name of the GIL in the state of a process."""
# The warning of CPython (Python/import.c).
_GIL_WARNING = re.compile(r"\(GIL\) has been enabled to load module '([\w.]+)'")
# The output of the interpreter for an unhandled exception (traceback.print_exc).
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\r?\n(.*)", re.MULTILINE | re.DOTALL)


def side_effects(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield a cause for each side effect that a user notices although every step succeeded."""
    yield from _processes(evidence)
    yield from _process_state(evidence)
    yield from _enabled_gil(evidence, import_run, exercise)
    yield from _output_at_import(evidence, import_run)
    yield from _files_at_import(evidence, import_run)
    yield from _unhandled_exception(evidence, import_run, exercise)


def _processes(evidence: CellEvidence) -> Iterator[Cause]:
    if remaining := evidence.processes:
        fault = finding("process-left", "command", count=len(remaining), command=remaining[0])
        yield fault.at(evidence, "at exit")


def _process_state(evidence: CellEvidence) -> Iterator[Cause]:
    step = evidence.steps.process_state
    if step and step.error:  # for example, the current folder does not exist any more
        fault = finding("process-changed", "unreadable", error=step.error.message[:300])
        yield fault.at(evidence, "exercise")
    elif step and (values := {k: v for k, v in (step.value or {}).items() if k != _GIL}):
        changes = "; ".join(f"{name} from {old} to {new}" for name, (old, new) in values.items())
        facts: dict[str, FactValue] = {"changed": tuple(values), "changes": changes[:400]}
        yield finding("process-changed", "changed", **facts).at(evidence, "exercise")


def _enabled_gil(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    step = evidence.steps.process_state
    if not step or (step.value or {}).get(_GIL, ("", ""))[1] != "enabled":
        return
    match = _GIL_WARNING.search(f"{exercise.stderr}\n{import_run.stderr}")
    module = match[1] if match else "a module"
    fault = finding("gil-enabled", "module", module=module)
    promised = match is not None and _promises_free_threading(evidence, module)
    yield (fault if promised else fault.as_risk()).at(evidence, module)


def _promises_free_threading(evidence: CellEvidence, module: str) -> bool:
    """Return whether the module belongs to a wheel whose ABI tag is free-threaded (PEP 703)."""
    step = evidence.steps.record
    if not step or not step.value:
        return False
    name = module.rpartition(".")[2]
    files = map(paths.path_type(evidence), step.value.files)
    return any(path.name.partition(".")[0] == name for path in files) and any(
        tag.abi.endswith("t") for tag in parse_tags(step.value.tags)
    )


def _output_at_import(evidence: CellEvidence, run: ImportRun) -> Iterator[Cause]:
    lines = run.stdout.strip().splitlines()
    if run.code == 0 and lines:
        facts = {"command": run.command[-1], "line": lines[0][:200]}
        yield finding("output-at-import", "line", **facts).at(evidence, "import")


def _files_at_import(evidence: CellEvidence, run: ImportRun) -> Iterator[Cause]:
    if run.made:
        fault = finding("files-at-import", "files", command=run.command[-1], files=run.made)
        yield fault.at(evidence, "import")


def _unhandled_exception(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    # A failed step has a separate cause.
    if any(not step.ok for step in exercise.steps.by_name().values()):
        return
    for location, run in (("import", import_run), ("exercise", exercise)):
        match = _TRACEBACK.search(run.stderr)
        if match and run.code == 0:
            last = next((line for line in match[1].splitlines() if line[:1].strip()), "")[:200]
            fault = finding("unhandled-exception", "traceback", error=last)
            yield fault.at(evidence, location)
            return
