"""Find side effects of a package: output, files, processes, network use, process state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.rules.finding import finding

# What the interpreter prints of an exception that nobody handles (traceback.print_exc).
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\r?\n(.*)", re.MULTILINE | re.DOTALL)


def side_effects(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield what a user notices though every step succeeded."""
    yield from _processes(evidence)
    yield from _process_state(evidence)
    yield from _output_at_import(evidence, import_run)
    yield from _files_at_import(evidence, import_run)
    yield from _unhandled_exception(evidence, import_run, exercise)


def _processes(evidence: CellEvidence) -> Iterator[Cause]:
    if left := evidence.processes:
        observed = f"{len(left)} processes still run after the interpreter ended: {left[0][:100]}"
        fault = finding("process-left", observed, count=len(left), command=left[0])
        yield fault.at(evidence, "at exit")


def _process_state(evidence: CellEvidence) -> Iterator[Cause]:
    step = evidence.steps.process_state
    changed = step.value if step and step.value else {}
    observed = "; ".join(f"{name}: {old} became {new}" for name, (old, new) in changed.items())
    if step and step.error:  # such as a current folder that is gone
        observed = f"it cannot be looked at any more: {step.error.message}"
    if observed:
        fault = finding("process-changed", observed[:400], changed=tuple(changed))
        yield fault.at(evidence, "exercise")


def _output_at_import(evidence: CellEvidence, run: ImportRun) -> Iterator[Cause]:
    lines = run.stdout.strip().splitlines()
    if run.code == 0 and lines:
        observed = f"`{run.command[-1]}` prints {lines[0][:200]!r}"
        yield finding("output-at-import", observed, line=lines[0][:200]).at(evidence, "import")


def _files_at_import(evidence: CellEvidence, run: ImportRun) -> Iterator[Cause]:
    if run.made:
        observed = f"`{run.command[-1]}` makes {', '.join(run.made[:3])} in the current folder"
        yield finding("files-at-import", observed, files=run.made).at(evidence, "import")


def _unhandled_exception(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    # What a step raised is reported by that step.
    if any(not step.ok for step in exercise.steps.by_name().values()):
        return
    for place, run in (("import", import_run), ("exercise", exercise)):
        match = _TRACEBACK.search(run.stderr)
        if match and run.code == 0:
            last = next((line for line in match[1].splitlines() if line[:1].strip()), "")[:200]
            observed = f"it ends well, and a traceback is printed: {last}"
            yield finding("unhandled-exception", observed, error=last).at(evidence, place)
            return
