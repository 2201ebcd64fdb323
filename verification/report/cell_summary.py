"""Summarize the evidence of a cell, as data or as one line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue, TypeAdapter

from verification.models.evidence import (
    CellEvidence,
    CommandRun,
    Exercise,
    ExerciseStep,
    OwnTests,
    Steps,
)
from verification.models.results import (
    CellSummary,
    CommandSummary,
    NativeSummary,
    StepName,
    TestsSummary,
    UseEvidence,
)

MAX_ERROR_BYTES = 4 * 1024
MAX_ERRORS_BYTES = 64 * 1024
"""In JSON. The result of a cell must fit into a property of its test (`recorder.py`)."""
_TRACEBACK = "Traceback (most recent call last):"
_ERROR = re.compile(r"ERROR:|error:|\s*\N{MULTIPLICATION SIGN}")
"""The beginning of an error of pip and of uv."""
_NOTICE = re.compile(r"\s*$|\[notice\]|WARNING:|warning:")
_MAX_LINES = 10
_STEPS = TypeAdapter(dict[str, ExerciseStep[JsonValue]])


def recorded_commands(evidence: CellEvidence) -> Iterator[tuple[StepName, CommandRun | OwnTests]]:
    """Yield the commands that the cell reached, by name."""
    if evidence.install:
        yield "install", evidence.install
    if evidence.import_run:
        yield "import", evidence.import_run
    if evidence.exercise:
        yield "exercise", evidence.exercise
    if evidence.tests:
        yield "tests", evidence.tests
    if evidence.uninstall:
        yield "uninstall", evidence.uninstall


def recorded_steps(exercised: Steps) -> Mapping[str, ExerciseStep[JsonValue]]:
    """Return the steps of the exercise by name, with their values as JSON."""
    values = exercised.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _STEPS.validate_python({name: step for name, step in values.items() if step})


def summarize(evidence: CellEvidence) -> CellSummary:
    """Return a summary of the evidence, without the steps that the cell did not reach."""
    windows = evidence.os == "windows"
    native = evidence.steps.native_call
    return CellSummary(
        commands=tuple(
            CommandSummary(
                name=name,
                command=command_line(run.command, windows=windows),
                code=run.code if run.command else None,
                seconds=run.seconds if run.command else None,
                timed_out=run.timed_out,
            )
            for name, run in recorded_commands(evidence)
        ),
        steps={name: step.ok for name, step in recorded_steps(evidence.steps).items()},
        errors=errors(evidence),
        python=evidence.python,
        implementation=evidence.implementation,
        system=evidence.system,
        wine=evidence.wine,
        deviation=evidence.deviation,
        started=evidence.started,
        native=NativeSummary(
            version=None if native.value.version is None else str(native.value.version),
            source=native.value.source,
        )
        if native and native.value
        else None,
        use=_use(evidence),
        isolation=evidence.isolation,
        image=evidence.image.tag,
        served={
            request.file: request.sha256 or None
            for request in evidence.requests
            if request.file.endswith(".whl")
        },
        tests=_tests(evidence.tests) if evidence.tests else None,
        testbed=f"{evidence.testbed.cause}: {evidence.testbed.observed}"
        if evidence.testbed
        else "",
        limits=evidence.limits,
    )


def _use(evidence: CellEvidence) -> UseEvidence | None:
    if not evidence.exercise:
        return None
    is_read = evidence.chosen is not None and evidence.on_disk is not None
    return UseEvidence.OUTSIDE if is_read else UseEvidence.INSIDE


def errors(evidence: CellEvidence) -> Mapping[str, str]:
    """Return what the user sees of each failure, by the name of the step or of the command.

    A text has at most `MAX_ERROR_BYTES`, and all texts together `MAX_ERRORS_BYTES`.
    """
    texts: dict[str, str] = {
        name: _last_bytes(text)
        for name, run in recorded_commands(evidence)
        if (text := _command_error(run))
    }
    exceptions = {
        name: _first_bytes(": ".join(filter(None, (step.error.type, step.error.message))))
        for name, step in recorded_steps(evidence.steps).items()
        if step.error
    }
    if exceptions:
        texts.pop("exercise", None)  # its error output repeats the exceptions
    texts |= exceptions
    remaining = MAX_ERRORS_BYTES
    shown = {}
    for name, text in texts.items():
        remaining -= len(json.dumps(text, ensure_ascii=False).encode())
        if remaining >= 0:
            shown[name] = text
    return shown


def _command_error(run: CommandRun | OwnTests) -> str:
    """Return the end of a failed command's output, from the line with the error."""
    if isinstance(run, OwnTests):
        if run.tool.code:
            return _error_lines(run.tool.stderr or run.tool.stdout)
        failures = "\n".join(f"{failure.node}\n{failure.text}" for failure in run.failures)
        return failures or (_error_lines(run.stderr or run.stdout) if run.code else "")
    if not (run.code or run.timed_out):
        return ""
    if isinstance(run, Exercise) and run.trace and not run.stderr.strip():
        return "\n".join(run.trace.strip().splitlines()[:_MAX_LINES])  # the signal comes first
    return _error_lines(run.stderr.strip() or run.stdout)


def _error_lines(output: str) -> str:
    """Return the lines of an output from its error on, without the installer's notices."""
    lines = [line.rstrip() for line in output.strip().splitlines() if not _NOTICE.match(line)]
    if _TRACEBACK in lines:
        last = len(lines) - 1 - lines[::-1].index(_TRACEBACK)
        starts = [n for n in range(last + 1, len(lines)) if not lines[n].startswith(" ")]
    else:
        starts = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    start = starts[0] if starts else -_MAX_LINES
    return "\n".join(lines[start:]).strip()


def _first_bytes(text: str) -> str:
    return text.encode()[:MAX_ERROR_BYTES].decode("utf-8", "ignore")


def _last_bytes(text: str) -> str:
    return text.encode()[-MAX_ERROR_BYTES:].decode("utf-8", "ignore")


def _tests(tests: OwnTests) -> TestsSummary:
    left_out = Counter((test.outcome, test.reason) for test in tests.left_out)
    return TestsSummary(
        counts={str(outcome): number for outcome, number in tests.counts.items()},
        failures=tuple(test.node for test in tests.failures),
        left_out=tuple(
            f"{number} {outcome}" + (f": {reason}" if reason else "")
            for (outcome, reason), number in sorted(left_out.items())
        ),
        sha256=tests.sha256,
    )


def command_line(command: Sequence[str], *, windows: bool = False) -> str:
    """Return a command with the quoting of the machine's shell."""
    return subprocess.list2cmdline(command) if windows else shlex.join(command)


def counts(tests: TestsSummary) -> str:
    """Return the number of own tests by outcome, such as ``120 passed, 4 skipped``."""
    numbers = {"passed": tests.counts.get("passed", 0)} | dict(tests.counts)
    return ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number)


def sentence(cell: CellSummary) -> str:
    """Return one line with the commands of a cell and their results."""
    parts = [part for command in cell.commands for part in _command(command, cell)]
    parts += [f"testbed: {cell.testbed}"] if cell.testbed else []
    parts += [f"deviation: {cell.deviation}"] if cell.deviation else []
    return "; ".join(parts)


def _command(command: CommandSummary, cell: CellSummary) -> Iterator[str]:
    match command.name:
        case "install" | "uninstall":
            result = "exceeded its time limit" if command.timed_out else f"-> {command.code}"
            yield f"`{_literal(command.command)}` {result}"
        case "import":
            yield f"import -> {command.code}"
        case "tests":
            yield f"own tests: {(cell.tests and counts(cell.tests)) or 'none ran'}"
        case "exercise":
            if cell.native:
                yield f"native version {cell.native.version} ({cell.native.source})"
            for word, passed in (("passed", True), ("failed", False)):
                if names := [name for name, ok in cell.steps.items() if ok is passed]:
                    yield f"{word}: {', '.join(names)}"


def _literal(command: str) -> str:
    """Return the command as the user types it, with the program's name instead of its path."""
    end = '"' if command.startswith('"') else " "
    program, _, arguments = command.removeprefix('"').partition(end)
    name = program.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
    return f"{name} {arguments.lstrip()}".rstrip()
