"""How a process ended: by itself, not at all, or by dying; and of what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.rules import install_paths as paths
from verification.rules import loader
from verification.rules.expectation import Evidence, cause_of, last_error

ALARM = -14  # ended by SIGALRM, as ledger.py has it when the time is over
_ILLEGAL = (-4, 132, 0xC000001D)
"""Ended by SIGILL, as Python and a shell have it, and by Windows' STATUS_ILLEGAL_INSTRUCTION."""
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
# How QEMU says that it failed itself; the "uncaught target signal" is the program's own.
_QEMU_FAILED = re.compile(
    r"^(?:qemu(?:-x86_64)?: (?!uncaught target signal).+"
    r"|(?:Bail out! )?ERROR:\S*/(?:accel|tcg|linux-user|target/i386)/.+"
    r"|\S+/tcg/\S+ tcg fatal error)",
    re.MULTILINE,
)
_NO_SYSTEM_CALL = "Function not implemented"  # strerror(3) of ENOSYS


def unless_emulated(cause: Cause, evidence: Evidence) -> Cause:
    """Return the cause, or the testbed's failure where an emulated processor explains it."""
    ran = [evidence.get(name, {}) for name in ("install", "import", "exercise", "tests")]
    failed = (_QEMU_FAILED.search(one.get("stderr", "")) for one in ran)
    if cause.name == "hang":
        why = "its processor is emulated, which takes some ten times as long"
    elif _NO_SYSTEM_CALL in cause.message:
        why = "QEMU lacks a system call"
    elif cause.severity == "broken" and (said := next(filter(None, failed), None)):
        why = said[0].strip()[:200]
    else:
        return cause
    return cause_of("emulator-gap", where=cause.where, seen=f"{why}: {cause.message}"[:600])


def older_runtimes(evidence: Evidence, cell: str) -> list[Cause]:
    """Return the run-time libraries of the machine that are older than what the package needs.

    Code of Microsoft's compiler 14.x asks for a run-time library of 14.x or later (Microsoft, C++
    binary compatibility between Visual Studio versions).
    """
    told = evidence["exercise"]["steps"].get("run-times", {}).get("value") or {}
    found = []
    linked = [(tuple(by), name) for name, by in told.get("linked_by", {}).items() if by[0] == 14]
    if not linked:
        return []
    newest, library = max(linked)
    for name, run_time in told.get("loaded", {}).items():
        version = tuple(run_time["version"])
        if version and version[:2] < newest:
            have, need = (".".join(map(str, numbers)) for numbers in (version, newest))
            seen = f"{library} was linked by Microsoft's {need} and uses {name} {have} from "
            seen += f"{run_time['path']}; then the process died"
            found.append(cause_of("runtime-too-old", where=f"{cell}: {name}", seen=seen))
    return found


def or_wines_gap(evidence: Evidence, ended: list[Cause], cell: str) -> list[Cause]:
    """Return ``ended``, or the testbed's failure where Wine lacks what a library asked Windows for.

    A crash where a library imports a symbol that Wine's Windows has not proves nothing; nor does
    one in a function that Wine knows by name only.
    """
    told = evidence.get("loader", ())
    if called := loader.called(told):
        library, name = called[0]
        seen = f"{name} of {library} was called, which Wine knows by name only; then: "
        return [cause_of("emulator-gap", where=f"{cell}: {library}", seen=seen + ended[0].message)]
    stubs = loader.stubs(told)
    own = paths.installed(evidence)
    if stubs and (lacking := [stub for stub in stubs if stub.needed_by in own]):
        first = lacking[0]
        seen = f"{first.needed_by.name} imports {first.symbol} of {first.library}, which Wine has "
        seen += f"not; then: {ended[0].message}"
        return [cause_of("emulator-gap", where=f"{cell}: {first.needed_by.name}", seen=seen)]
    return ended


def bad_ends(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield how a process ended that ought to have ended by itself."""
    plain, ran = evidence["import"], evidence["exercise"]
    if plain["timed_out"]:
        seen = f"no end after {plain['seconds']:.0f} s"
        yield hang(plain, where=f"{cell}: import", seen=seen)
        return
    if has_died(plain["code"], ""):
        name, seen = death(plain["code"], None, evidence)
        yield cause_of(name, where=f"{cell}: import", seen=seen)
        return
    finished = "end" in ran["steps"]
    if finished and ran["code"] == 0 and not ran["timed_out"]:
        return
    begun = [name for name, told in ran["steps"].items() if told.get("begun")]
    where = f"{cell}: {'at exit' if finished else begun[-1] if begun else 'start'}"
    if ran["timed_out"] or "Timeout (" in ran["trace"]:
        seen = f"no end after {ran['seconds']:.0f} s; the stack's innermost frame: "
        yield hang(ran, where=where, seen=seen + frame(ran["trace"]))
    elif has_died(ran["code"], ran["trace"]):
        name, seen = death(ran["code"], ran["trace"], evidence)
        yield cause_of(name, where=where, seen=seen)
    else:
        seen = f"the interpreter ended with {ran['code']}: {last_error(ran['stderr'])}"
        known = begun or finished
        yield cause_of("crash" if known else "unclassified", where=where, seen=seen)


def hang(ran: Evidence, *, where: str, seen: str) -> Cause:
    """Return the hang of a process, or the testbed's failure where the machine stood still."""
    if stalled := ran.get("stalled"):
        seen += f"; but the machine itself stood still for {stalled:.0f} s of it"
        return cause_of("machine-lost", where=where, seen=seen)
    return cause_of("hang", where=where, seen=seen)


def has_died(code: int, trace: str) -> bool:
    """Return whether a process died, by its code and by what faulthandler wrote."""
    return code < 0 or _is_access_violation(code) or is_illegal(code) or "Fatal Python" in trace


def death(code: int, trace: str | None, evidence: Evidence) -> tuple[str, str]:
    """Return by what cause a process died, and what was seen of it."""
    seen = _signal(code)
    if trace is not None:
        seen += f"; the last frame: {frame(trace)}"
    if not is_illegal(code) and "Fatal Python error: Illegal instruction" not in (trace or ""):
        return "crash", seen
    emulated = evidence["cell"].get("processor")
    processor = emulated or evidence.get("processor") or evidence["machine"]
    return "illegal-instruction", f"{seen}; the processor is {processor}"


def _is_access_violation(code: int) -> bool:
    return code & 0xFFFFFFFF >= 0xC0000000  # an NTSTATUS of severity error ([MS-ERREF] 2.3)


def is_illegal(code: int) -> bool:
    """Return whether a process died of an instruction that its processor does not have."""
    return code in _ILLEGAL or code & 0xFFFFFFFF in _ILLEGAL


def _signal(code: int) -> str:
    if code == 132:
        code = -4
    if -65 < code < 0:  # anything less is an NTSTATUS, read as a signed number
        return f"killed by {_SIGNALS.get(-code, f'signal {-code}')}"
    return f"ended with 0x{code & 0xFFFFFFFF:08x}"


def frame(trace: str) -> str:
    """Return the innermost frame of faulthandler's text, which tells the most recent call first."""
    frames = re.findall(r'File "([^"]+)", line (\d+) in (\S+)', trace)
    return f"{frames[0][0]}:{frames[0][1]} in {frames[0][2]}" if frames else "unknown"
