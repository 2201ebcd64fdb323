"""Check how a process ended: normally, by a hang or by a crash."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause, FactValue, Severity
from verification.models.evidence import CellEvidence, CommandRun, Exercise, ImportRun, Steps
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding

ALARM = -14
"""The exit code after SIGALRM, with which own_tests_plugin.py limits the time of the tests."""
_ILLEGAL = (-4, 132, 0xC000001D)
"""The exit codes after SIGILL (of Python and of a shell) and STATUS_ILLEGAL_INSTRUCTION."""
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
_BUS_ERROR = (-7, 135)
"""The exit codes after SIGBUS: the process read beyond the end of a mapped file."""
# The innermost frame of a process that loads a library by cffi, ctypes or the import system.
_LOADING = re.compile(
    r'cffi[\\/]api\.py", line \d+ in (_load_backend_lib|dlopen)|'
    r'ctypes[\\/]__init__\.py", line \d+ in (__init__|_load_library)|'
    r'_bootstrap>", line \d+ in _call_with_frames_removed\n.*_external>", line \d+ in create_module'
)
_NTSTATUS_ERROR = 0xC0000000  # the first NTSTATUS of severity error ([MS-ERREF] 2.3)
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')
_ILLEGAL_TRACE = "Fatal Python error: Illegal instruction"
# Messages of QEMU about its failures. An "uncaught target signal" comes from the program.
_QEMU_FAILED = re.compile(
    r"^(?:qemu(?:-x86_64)?: (?!uncaught target signal).+"
    r"|(?:Bail out! )?ERROR:\S*/(?:accel|tcg|linux-user|target/i386)/.+"
    r"|\S+/tcg/\S+ tcg fatal error)",
    re.MULTILINE,
)
_NO_SYSTEM_CALL = "Function not implemented"  # strerror(3) of ENOSYS
_MICROSOFT_14 = 14


def last_error(output: str) -> str:
    """Return the last line that reports an error, else the last line. Reasons of uv are added."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    # The reasons of uv follow the error, the innermost last.
    reason = "".join(f" ({line})" for line in lines if errors and line.startswith("cause: "))
    return ((errors or lines or ["no output"])[-1] + reason)[:400]


# ---- the end of a process ----


def abnormal_exits(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield a cause if the import or the exercise did not end normally."""
    if import_run.timed_out:
        yield hang(import_run).at(evidence, "import")
    elif has_crashed(import_run.code, ""):
        yield crash(import_run.code, None, evidence).at(evidence, "import")
    elif not _is_finished(exercise):
        unfinished = _unfinished_step(exercise.steps)
        location = "at exit" if exercise.steps.end else unfinished or "start"
        yield _end_of_exercise(evidence, exercise, location != "start").at(evidence, location)


def _is_finished(exercise: Exercise) -> bool:
    return bool(exercise.steps.end) and exercise.code == 0 and not exercise.timed_out


def _unfinished_step(steps: Steps) -> str:
    """Return the name of the step that began and did not end; empty if there is none."""
    return next((step.step for step in steps.by_name().values() if step.begun), "")


def _end_of_exercise(evidence: CellEvidence, exercise: Exercise, in_step: bool) -> Finding:
    code, trace = exercise.code, exercise.trace
    if exercise.timed_out or "Timeout (" in trace:
        return hang(exercise, trace)
    if has_crashed(code, trace):
        return crash(code, trace, evidence)
    name, message = "crash" if in_step else "unclassified", last_error(exercise.stderr)
    return finding(name, "interpreter", code=code, message=message)


def hang(run: CommandRun, trace: str | None = None) -> Finding:
    """Return the hang of a process, or a testbed failure if the machine did not always run."""
    return hang_after(run.seconds, run.stalled, trace)


def hang_after(seconds: float, stalled: float, trace: str | None = None) -> Finding:
    """Return the hang of a process, or a testbed failure if the machine did not always run.

    ``seconds`` is the time that the process had. The machine did not run for ``stalled`` seconds
    of it. ``trace`` is the text of faulthandler; None if it was not enabled.
    """
    facts: dict[str, FactValue] = {"seconds": seconds}
    suffix = ""
    if trace is not None:
        suffix, facts["frame"] = "-at", frame(trace)
    if stalled:
        return finding("machine-lost", f"stalled{suffix}", **facts, stalled=stalled)
    return finding("hang", f"seconds{suffix}", **facts)


def has_crashed(code: int, trace: str) -> bool:
    """Return whether a process died, by its exit code and the text of faulthandler."""
    # Windows has no signals. The code is an NTSTATUS, which some programs read as signed.
    status = code & 0xFFFFFFFF >= _NTSTATUS_ERROR
    return code < 0 or status or is_illegal_instruction(code) or "Fatal Python" in trace


def crash(code: int, trace: str | None, evidence: CellEvidence) -> Finding:
    """Return why a process died. ``trace`` is None if faulthandler was not enabled."""
    facts: dict[str, FactValue] = {"code": code, "signal": _signal(code)}
    form = "signal"
    if trace is not None:
        form, facts["frame"] = "signal-at", frame(trace)
    if code in _BUS_ERROR and _is_loading(trace or _exercise_trace(evidence)):
        return finding("damaged-library", "loading", **facts)
    if not is_illegal_instruction(code) and _ILLEGAL_TRACE not in (trace or ""):
        return finding("crash", form, **facts)
    facts["processor"] = evidence.cell.processor or evidence.processor or evidence.machine
    if library := _last_library(evidence):
        facts["library"] = library
        facts["loading"] = _is_loading(trace or _exercise_trace(evidence))
        after = "signal-after" if trace is None else "signal-at-after"
        form = "while-loading" if facts["loading"] else after
    return finding("illegal-instruction", form, **facts)


def is_illegal_instruction(code: int) -> bool:
    """Return whether a process died because its processor does not have an instruction."""
    return code in _ILLEGAL or code & 0xFFFFFFFF in _ILLEGAL


def _signal(code: int) -> str:
    """Return the name of the signal, or the NTSTATUS as a hexadecimal number."""
    if code == 132:
        code = -4
    if -65 < code < 0:  # a lower number is an NTSTATUS, read as signed
        return _SIGNALS.get(-code, f"signal {-code}")
    return f"0x{code & 0xFFFFFFFF:08x}"


def _exercise_trace(evidence: CellEvidence) -> str:
    """Return the stacks of the exercise. It also imports the package."""
    return evidence.exercise.trace if evidence.exercise else ""


def _last_library(evidence: CellEvidence) -> str:
    """Return the name of the last installed library that the exercise began to load.

    It is empty if there is none, or if the exercise did not die by an illegal instruction.
    """
    run = evidence.exercise
    if not run or not (is_illegal_instruction(run.code) or _ILLEGAL_TRACE in run.trace):
        return ""
    kind, installed = paths.path_type(evidence), paths.added_paths(evidence)
    loaded = map(kind, reversed(run.loaded))
    return next((path.name for path in loaded if path in installed), "")


def _is_loading(trace: str) -> bool:
    """Return whether the innermost frame of faulthandler's text loads a library."""
    innermost, loading = _FRAME.search(trace), _LOADING.search(trace)
    return bool(innermost and loading and loading.start() <= innermost.end())


def frame(trace: str) -> str:
    """Return the innermost frame of faulthandler's text. It lists the most recent call first."""
    match = _FRAME.search(trace)
    return f"{match[1]}:{match[2]} in {match[3]}" if match else "unknown"


# ---- failures of the emulators, and old run-time libraries ----


def reclassify_emulated_fault(cause: Cause, evidence: CellEvidence) -> Cause:
    """Return the cause, or a testbed failure if the emulated processor explains it."""
    if not evidence.cell.processor:
        return cause
    facts = {"message": cause.message[:500]}
    if cause.name == "hang":
        fault = finding("emulator-gap", "slow", **facts)
    elif _NO_SYSTEM_CALL in cause.message:
        fault = finding("emulator-gap", "system-call", **facts)
    elif cause.severity is Severity.BROKEN and (reason := _qemu_failure(evidence)):
        fault = finding("emulator-gap", "emulator", **facts, reason=reason)
    else:
        return cause
    _, _, location = cause.where.partition(": ")
    return fault.at(evidence, location)


def _qemu_failure(evidence: CellEvidence) -> str:
    runs = (evidence.install, evidence.import_run, evidence.exercise, evidence.tests)
    matches = (_QEMU_FAILED.search(run.stderr) for run in runs if run)
    return next((match[0].strip()[:200] for match in matches if match), "")


def reclassify_wine_fault(evidence: CellEvidence, causes: list[Cause]) -> list[Cause]:
    """Return the causes of a crash, or a testbed failure if Wine lacks a function.

    A crash proves nothing if a library imports a symbol that Wine does not have, or calls a
    function that Wine does not implement.
    """
    message = causes[0].message
    for library, symbol in loader_messages.called_stubs(evidence.loader):
        facts = {"library": library, "symbol": symbol, "message": message}
        return [finding("emulator-gap", "called", **facts).at(evidence, library)]
    for stub in loader_messages.stub_symbols(evidence.loader):
        if stub.needed_by in paths.added_paths(evidence):
            name = stub.needed_by.name
            facts = {"library": stub.library, "symbol": stub.symbol, "message": message}
            fault = finding("emulator-gap", "imported", **facts, needed_by=name)
            return [fault.at(evidence, name)]
    return causes


def old_runtimes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each run-time library of the machine that is too old for the package.

    Code of Microsoft's compiler 14.x needs a run-time library of 14.x or later (Microsoft, C++
    binary compatibility between Visual Studio versions).
    """
    step = evidence.steps.run_times
    value = step.value if step else None
    if value is None:
        return
    linkers = [
        (version, name) for name, version in value.linked_by.items() if version[0] == _MICROSOFT_14
    ]
    newest, library = max(linkers, default=((), ""))
    for name, run_time in value.loaded.items():
        if run_time.version and run_time.version[:2] < newest:
            facts = {
                "library": library,
                "runtime": name,
                "version": ".".join(map(str, run_time.version)),
                "required": ".".join(map(str, newest)),
                "path": run_time.path,
            }
            yield finding("runtime-too-old", "died", **facts).at(evidence, name)
