"""Find the side effects of a package: output, files, processes and changed process state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.rules.finding import finding

# The output of the interpreter for an unhandled exception (traceback.print_exc).
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\r?\n(.*)", re.MULTILINE | re.DOTALL)


def side_effects(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield a cause for each side effect that a user notices although every step succeeded."""
    yield from _processes(evidence)
    yield from _process_state(evidence)
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
    elif step and step.value:
        changes = "; ".join(
            f"{name} from {old} to {new}" for name, (old, new) in step.value.items()
        )
        facts: dict[str, FactValue] = {"changed": tuple(step.value), "changes": changes[:400]}
        yield finding("process-changed", "changed", **facts).at(evidence, "exercise")


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
