"""Find the side effects of a package: output, files, processes, and a slow import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, Exercise, ImportRun, StepResult
from verification.rules import install_paths as paths
from verification.rules.finding import finding
from verification.rules.process_changes import GIL
from verification.wheel.tags import parse_tags

# The warning of CPython (Python/import.c).
_GIL_WARNING = re.compile(r"\(GIL\) has been enabled to load module '([\w.]+)'")
# The output of the interpreter for an unhandled exception (traceback.print_exc).
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\r?\n(.*)", re.MULTILINE | re.DOTALL)
# What Wine, QEMU and the loader of Linux write to the error output of a program.
_SYSTEM_OUTPUT = re.compile(r"(?:[0-9a-f]{4}:(?:err|fixme|warn|trace):|wine: |qemu|ERROR: ld\.so)")
_PART_END = "\x1e"
_PARTS = 4
"""The parts of the output of the observation: its start, the import, the call and the end."""
_SLOW_SECONDS = 5.0
"""An import that takes less is not reported. On the host of the tests, scikit-learn, the slowest of
20 well-known packages, takes 2.4 to 2.9 s, and up to 8 s if it waits for a busy processor."""
_SLOW_STARTS = 80
"""An import that takes less than this number of starts of the interpreter is not reported: a slow
or emulated processor slows both. On the host of the tests, a start takes 0.06 s, and the import of
scikit-learn takes 45 starts."""


class _Output(NamedTuple):
    """The lines on one stream of the observation."""

    others: Sequence[str] = ()
    """Those of the other packages, which the observation imports before."""
    at_import: Sequence[str] = ()
    """Those of the import, without Python's."""
    at_call: Sequence[str] = ()
    """Those of the first call and the end, without Python's."""


def side_effects(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield a cause for each side effect that a user notices although every step succeeded."""
    yield from _processes(evidence)
    yield from _enabled_gil(evidence, import_run, exercise)
    yield from _output_at_import(evidence, import_run)
    yield from _output_at_call(evidence, import_run)
    yield from _files_at_import(evidence, import_run)
    yield from _slow_import(evidence, import_run, exercise)
    yield from _unhandled_exception(evidence, import_run, exercise)


def _processes(evidence: CellEvidence) -> Iterator[Cause]:
    if (state := evidence.other_process) in ("stopped", "ended"):
        yield finding("process-killed", "state", state=state).at(evidence, "use")
    if remaining := evidence.processes:
        fault = finding("process-left", "command", count=len(remaining), command=remaining[0])
        yield fault.at(evidence, "at exit")


def _enabled_gil(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    step = evidence.steps.process_state
    if not step or (step.value or {}).get(GIL, ("", ""))[1] != "enabled":
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
    if run.code:
        return
    outputs = _outputs(evidence)
    lines = run.stdout.strip().splitlines()
    # Python prints warnings to the standard error.
    for stream, printed in (("standard output", lines), ("standard error", ())):
        output = outputs.get(stream, _Output())
        own = (line for line in printed if line.strip() not in output.others)
        if line := next(iter((*own, *output.at_import)), ""):
            is_native = line in output.at_import
            writer = ("native code" if is_native else "Python code") if outputs else "unknown"
            facts = {"command": run.command[-1], "line": line[:200], "stream": stream}
            fault = finding("output-at-import", "line", **facts, writer=writer)
            yield fault.at(evidence, "import")
            return


def _output_at_call(evidence: CellEvidence, import_run: ImportRun) -> Iterator[Cause]:
    for stream, output in _outputs(evidence).items():
        new = [line for line in output.at_call if line not in import_run.output]
        if new:
            fault = finding("output-at-call", "line", line=new[0][:200], stream=stream)
            yield fault.at(evidence, "native-call")
            return


def _outputs(evidence: CellEvidence) -> dict[str, _Output]:
    """Return what the observation prints, by stream.

    Native code and child processes print them. A library with its own C run-time can write its
    output when the process ends, so the end counts as output of the call. The result is empty if
    the output is not recorded.
    """
    run = evidence.observation
    if run is None:
        return {}
    output, errors = run.stdout.split(_PART_END), run.stderr.split(_PART_END)
    if len(output) != _PARTS or len(errors) != _PARTS:
        return {}
    return {
        "standard output": _Output(*map(_lines, (*output[:2], output[2] + output[3]))),
        "standard error": _Output(*map(_lines, errors[:3])),
    }


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not _SYSTEM_OUTPUT.match(line)]


def _files_at_import(evidence: CellEvidence, run: ImportRun) -> Iterator[Cause]:
    if run.made:
        fault = finding("files-at-import", "files", command=run.command[-1], files=run.made)
        yield fault.at(evidence, "import")


def _slow_import(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield a cause if both imports are slow. The second one finds its files in memory."""
    step, end = evidence.steps.import_package, evidence.steps.end
    own = _own_seconds(step, evidence) if step and step.ok else None
    start = end.value.start_seconds if end and end.value else None
    if import_run.code or own is None or start is None:
        return
    seconds = min(import_run.seconds - import_run.stalled, own - exercise.stalled)
    if seconds >= max(_SLOW_SECONDS, _SLOW_STARTS * start):
        facts = {"seconds": round(seconds, 1), "start": round(start, 3)}
        yield finding("slow-import", "seconds", **facts).at(evidence, "import")


def _own_seconds(step: StepResult, evidence: CellEvidence) -> float | None:
    """Return how many seconds the import takes on an idle machine; None if not recorded.

    The time in which the process waits for a processor does not count. If the system does not
    record this time, only the processor time counts. The same holds if the import waits for hosts,
    because they do not answer on the closed network of the machine.
    """
    contacts = evidence.steps.contacts
    waits_for_hosts = (evidence.import_run and evidence.import_run.sent) or any(
        contact.step == step.step for contact in (contacts and contacts.value) or ()
    )
    if step.waited is None or waits_for_hosts:
        return step.cpu_seconds
    return step.seconds - step.waited


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
