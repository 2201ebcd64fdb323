"""Check how a process ended: normally, with a hang, or with a crash."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause, FactValue, Severity
from verification.models.evidence import CellEvidence, CommandRun, Exercise, ImportRun, Steps
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding

ALARM = -14
"""Ended by SIGALRM, which own_tests_plugin.py has set for the end of its time."""
_ILLEGAL = (-4, 132, 0xC000001D)
"""Ended by SIGILL, as Python and a shell have it, and by Windows' STATUS_ILLEGAL_INSTRUCTION."""
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
_BUS_ERROR = (-7, 135)
"""The exit codes after SIGBUS: the process read a mapped file beyond its end."""
# The innermost frame of a process that loads a library: of cffi, ctypes or an extension module.
_LOADING = re.compile(
    r'cffi/api\.py", line \d+ in (_load_backend_lib|dlopen)|'
    r'ctypes/__init__\.py", line \d+ in (__init__|_load_library)|'
    r'_bootstrap>", line \d+ in _call_with_frames_removed\n.*_external>", line \d+ in create_module'
)
_NTSTATUS_ERROR = 0xC0000000  # an NTSTATUS of severity error ([MS-ERREF] 2.3)
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')
_ILLEGAL_TRACE = "Fatal Python error: Illegal instruction"
# How QEMU says that it failed itself; the "uncaught target signal" is the program's own.
_QEMU_FAILED = re.compile(
    r"^(?:qemu(?:-x86_64)?: (?!uncaught target signal).+"
    r"|(?:Bail out! )?ERROR:\S*/(?:accel|tcg|linux-user|target/i386)/.+"
    r"|\S+/tcg/\S+ tcg fatal error)",
    re.MULTILINE,
)
_NO_SYSTEM_CALL = "Function not implemented"  # strerror(3) of ENOSYS
_MICROSOFT_14 = 14


def last_error(output: str) -> str:
    """Return the last line that reports an error, or else the last line; with uv's reasons."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    # uv's reasons follow, the innermost last.
    reason = "".join(f" ({line})" for line in lines if errors and line.startswith("cause: "))
    return ((errors or lines or ["no output"])[-1] + reason)[:400]


# ---- what ends a process ----


def abnormal_exits(
    evidence: CellEvidence, import_run: ImportRun, exercise: Exercise
) -> Iterator[Cause]:
    """Yield how the import or the exercise ended, if it did not end by itself."""
    if import_run.timed_out:
        yield hang(import_run).at(evidence, "import")
    elif has_crashed(import_run.code, ""):
        yield crash(import_run.code, None, evidence).at(evidence, "import")
    elif not _is_finished(exercise):
        begun = _begun_step(exercise.steps)
        place = "at exit" if exercise.steps.end else begun or "start"
        yield _end_of_exercise(evidence, exercise, place != "start").at(evidence, place)


def _is_finished(exercise: Exercise) -> bool:
    return bool(exercise.steps.end) and exercise.code == 0 and not exercise.timed_out


def _begun_step(steps: Steps) -> str:
    """Return the name of the step that began and did not end; empty if there is none."""
    return next((step.step for step in steps.by_name().values() if step.begun), "")


def _end_of_exercise(evidence: CellEvidence, exercise: Exercise, in_step: bool) -> Finding:
    code, trace = exercise.code, exercise.trace
    if exercise.timed_out or "Timeout (" in trace:
        return hang(exercise, trace)
    if has_crashed(code, trace):
        return crash(code, trace, evidence)
    observed = f"the interpreter ended with {code}: {last_error(exercise.stderr)}"
    return finding("crash" if in_step else "unclassified", observed, code=code)


def hang(run: CommandRun, trace: str | None = None) -> Finding:
    """Return the hang of a process, or the testbed's failure if the machine stood still."""
    return hang_after(run.seconds, run.stalled, trace)


def hang_after(seconds: float, stalled: float, trace: str | None = None) -> Finding:
    """Return the hang of a process that had this many seconds, of which the machine stood still."""
    observed = f"no end after {seconds:.0f} s"
    facts: dict[str, FactValue] = {"seconds": seconds}
    if trace is not None:
        facts["frame"] = frame(trace)
        observed += f"; the stack's innermost frame: {facts['frame']}"
    if stalled:
        observed += f"; but the machine itself stood still for {stalled:.0f} s of it"
        return finding("machine-lost", observed, **facts, stalled=stalled)
    return finding("hang", observed, **facts)


def has_crashed(code: int, trace: str) -> bool:
    """Return whether a process died, by its exit code and by what faulthandler wrote."""
    # Windows has no signals: the code is an NTSTATUS, which some programs read as signed.
    status = code & 0xFFFFFFFF >= _NTSTATUS_ERROR
    return code < 0 or status or is_illegal_instruction(code) or "Fatal Python" in trace


def crash(code: int, trace: str | None, evidence: CellEvidence) -> Finding:
    """Return of what a process died; ``trace`` is None where faulthandler was not enabled."""
    observed = _signal(code)
    facts: dict[str, FactValue] = {"code": code}
    if trace is not None:
        facts["frame"] = frame(trace)
        observed += f"; the last frame: {facts['frame']}"
    if code in _BUS_ERROR and _is_loading(trace or _exercise_trace(evidence)):
        observed += "; a library that it was loading ends before its headers say"
        return finding("damaged-library", observed, **facts)
    if not is_illegal_instruction(code) and _ILLEGAL_TRACE not in (trace or ""):
        return finding("crash", observed, **facts)
    processor = evidence.cell.processor or evidence.processor or evidence.machine
    observed += f"; the processor is {processor}"
    return finding("illegal-instruction", observed, **facts, processor=processor)


def is_illegal_instruction(code: int) -> bool:
    """Return whether a process died of an instruction that its processor does not have."""
    return code in _ILLEGAL or code & 0xFFFFFFFF in _ILLEGAL


def _signal(code: int) -> str:
    if code == 132:
        code = -4
    if -65 < code < 0:  # anything less is an NTSTATUS, read as a signed number
        return f"killed by {_SIGNALS.get(-code, f'signal {-code}')}"
    return f"ended with 0x{code & 0xFFFFFFFF:08x}"


def _exercise_trace(evidence: CellEvidence) -> str:
    """Return the stacks of the exercise, which imports the package as well."""
    return evidence.exercise.trace if evidence.exercise else ""


def _is_loading(trace: str) -> bool:
    """Return whether the innermost frame of faulthandler's text loads a library."""
    first, match = _FRAME.search(trace), _LOADING.search(trace)
    return bool(first and match and match.start() <= first.end())


def frame(trace: str) -> str:
    """Return the innermost frame of faulthandler's text, which has the most recent call first."""
    match = _FRAME.search(trace)
    return f"{match[1]}:{match[2]} in {match[3]}" if match else "unknown"


# ---- what explains it ----


def reclassify_emulated_fault(cause: Cause, evidence: CellEvidence) -> Cause:
    """Return the cause, or the testbed's failure if the emulated processor explains it."""
    if not evidence.cell.processor:
        return cause
    if cause.name == "hang":
        reason = "its processor is emulated, which takes some ten times as long"
    elif _NO_SYSTEM_CALL in cause.message:
        reason = "QEMU lacks a system call"
    elif cause.severity is Severity.BROKEN and (message := _qemu_failure(evidence)):
        reason = message
    else:
        return cause
    _, _, place = cause.where.partition(": ")
    gap = finding("emulator-gap", f"{reason}: {cause.message}"[:600], reason=reason)
    return gap.at(evidence, place)


def _qemu_failure(evidence: CellEvidence) -> str:
    runs = (evidence.install, evidence.import_run, evidence.exercise, evidence.tests)
    matches = (_QEMU_FAILED.search(run.stderr) for run in runs if run)
    return next((match[0].strip()[:200] for match in matches if match), "")


def reclassify_wine_fault(evidence: CellEvidence, ended: list[Cause]) -> list[Cause]:
    """Return how a process ended, or the testbed's failure if Wine has not what it asked for.

    A crash proves nothing where a library imports a symbol that Wine's Windows does not have, or
    calls a function that Wine knows by name only.
    """
    for library, symbol in loader_messages.called_stubs(evidence.loader):
        observed = f"{symbol} of {library} was called, which Wine knows by name only; then: "
        observed += ended[0].message
        gap = finding("emulator-gap", observed, library=library, symbol=symbol)
        return [gap.at(evidence, library)]
    for stub in loader_messages.stub_symbols(evidence.loader):
        if stub.needed_by in paths.added_paths(evidence):
            name = stub.needed_by.name
            observed = f"{name} imports {stub.symbol} of {stub.library}, which Wine has not; then: "
            observed += ended[0].message
            facts = {"library": stub.library, "symbol": stub.symbol}
            return [finding("emulator-gap", observed, **facts).at(evidence, name)]
    return ended


def old_runtimes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the run-time libraries of the machine that are older than what the package needs.

    Code of Microsoft's compiler 14.x needs a run-time library of 14.x or later (Microsoft, C++
    binary compatibility between Visual Studio versions).
    """
    step = evidence.steps.run_times
    value = step.value if step else None
    if value is None:
        return
    linked = [(by, name) for name, by in value.linked_by.items() if by[0] == _MICROSOFT_14]
    newest, library = max(linked, default=((), ""))
    for name, run_time in value.loaded.items():
        if run_time.version and run_time.version[:2] < newest:
            has, needs = (".".join(map(str, version)) for version in (run_time.version, newest))
            observed = f"{library} was linked by Microsoft's {needs} and uses {name} {has} from "
            observed += f"{run_time.path}; then the process died"
            facts = {"library": library, "runtime": name, "version": has, "required": needs}
            yield finding("runtime-too-old", observed, **facts).at(evidence, name)
