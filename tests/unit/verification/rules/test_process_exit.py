from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    DLL,
    Change,
    Fields,
    evidence,
    own_tests,
    step,
    stub,
)
from tests.helpers.sample_expectation import Shown, names, only, shown
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.rules.finding import finding
from verification.rules.process_exit import (
    abnormal_exits,
    crash,
    frame,
    has_crashed,
    is_illegal_instruction,
    last_error,
    old_runtimes,
    reclassify_emulated_fault,
    reclassify_wine_fault,
)

TRACE = (
    'Current thread 0x1 (most recent call first):\n  File "/x/database.py", line 7 in open\n'
    '  File "<string>", line 1 in <module>\n'
)
FRAME = "/x/database.py:7 in open"
EMULATED = "x86-64-v1 with SSE3, emulated by QEMU"
CALLED = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"


def stops_in(name: str, **ended: object) -> Change:
    """Return the change by which the exercise stopped in this step."""

    def change(fields: Fields) -> None:
        steps = fields["exercise"]["steps"]
        later = list(steps)[list(steps).index(name) :]
        for one in later:
            del steps[one]
        steps[name] = {"step": name, "begun": True}
        fields["exercise"] |= ended

    return change


def ends(*changes: Change) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.import_run is not None
    assert observed.exercise is not None
    return list(abnormal_exits(observed, observed.import_run, observed.exercise))


def end(*changes: Change) -> Shown:
    return only(ends(*changes))


# ---- what ends a process ----


def test_processes_that_end_by_themselves_are_no_fault() -> None:
    assert ends() == []


@pytest.mark.parametrize(
    ("code", "observed"),
    [
        (-11, "killed by SIGSEGV"),
        (-6, "killed by SIGABRT"),
        (-7, "killed by SIGBUS"),
        (-8, "killed by SIGFPE"),
        (-31, "killed by signal 31"),
        (-64, "killed by signal 64"),
        (-65, "ended with 0xffffffbf"),
        (0xC0000005, "ended with 0xc0000005"),
        (0xC0000005 - (1 << 32), "ended with 0xc0000005"),
    ],
)
def test_a_process_that_is_killed_has_crashed(code: int, observed: str) -> None:
    at_import = end(lambda fields: fields["import"].update(code=code))
    assert at_import == ("crash", f"{CELL}: import", observed, {"code": code})
    assert end(stops_in("native-call", code=code, trace=TRACE)) == (
        "crash",
        f"{CELL}: native-call",
        f"{observed}; the last frame: {FRAME}",
        {"code": code, "frame": FRAME},
    )


LOADING_TRACES = {
    "cffi": 'File "/x/cffi/api.py", line 809 in _load_backend_lib\n',
    "ctypes": 'File "/usr/lib/python3.13/ctypes/__init__.py", line 390 in __init__\n',
    "extension": (
        'File "<frozen importlib._bootstrap>", line 488 in _call_with_frames_removed\n'
        '  File "<frozen importlib._bootstrap_external>", line 1322 in create_module\n'
    ),
}


@pytest.mark.parametrize("trace", LOADING_TRACES.values(), ids=LOADING_TRACES)
def test_a_library_that_is_read_beyond_its_end_is_damaged(trace: str) -> None:
    trace = f"Fatal Python error: Bus error\n\nCurrent thread 0x1 [x]:\n  {trace}"
    assert end(stops_in("native-call", code=-7, trace=trace))[0] == "damaged-library"
    at_import = (lambda fields: fields["import"].update(code=-7), stops_in("import", trace=trace))
    assert end(*at_import)[0] == "damaged-library"
    assert end(stops_in("native-call", code=-11, trace=trace))[0] == "crash"
    called = trace.replace('  File "', '  File "/x/database.py", line 1 in read\n  File "', 1)
    assert end(stops_in("native-call", code=-7, trace=called))[0] == "crash"


@pytest.mark.parametrize(
    ("code", "observed"),
    [
        (-4, "killed by SIGILL"),
        (132, "killed by SIGILL"),
        (0xC000001D, "ended with 0xc000001d"),
        (0xC000001D - (1 << 32), "ended with 0xc000001d"),
    ],
)
@pytest.mark.parametrize("emulated", ["", EMULATED])
def test_an_instruction_that_the_processor_lacks_is_named_with_it(
    code: int, observed: str, emulated: str
) -> None:
    processor = emulated or "A processor"

    def change(fields: Fields) -> None:
        fields["cell"]["processor"] = emulated

    assert end(change, lambda fields: fields["import"].update(code=code)) == (
        "illegal-instruction",
        f"{CELL}: import",
        f"{observed}; the processor is {processor}",
        {"code": code, "processor": processor},
    )
    assert end(change, stops_in("native-call", code=code, trace=TRACE)) == (
        "illegal-instruction",
        f"{CELL}: native-call",
        f"{observed}; the last frame: {FRAME}; the processor is {processor}",
        {"code": code, "frame": FRAME, "processor": processor},
    )
    assert is_illegal_instruction(code)


def test_the_kind_of_processor_stands_for_a_name_that_is_not_known() -> None:
    observed = evidence(lambda fields: fields.update(processor=""))
    assert crash(-4, None, observed).facts["processor"] == "x86_64"


def test_a_starter_can_hide_the_signal_of_an_illegal_instruction() -> None:
    trace = f"Fatal Python error: Illegal instruction\n{TRACE}"
    assert end(stops_in("native-call", code=1, trace=trace))[0] == "illegal-instruction"


def test_a_fatal_error_of_the_interpreter_is_a_crash() -> None:
    trace = f"Fatal Python error: Aborted\n{TRACE}"
    found = end(stops_in("round-trip", code=1, trace=trace))
    assert found[:2] == ("crash", f"{CELL}: round-trip")
    assert found[2] == f"ended with 0x00000001; the last frame: {FRAME}"


@pytest.mark.parametrize(
    ("code", "trace", "died"),
    [
        (0, "", False),
        (1, "", False),
        (139, "", False),
        (-1, "", True),
        (132, "", True),
        (0xBFFFFFFF, "", False),
        (0xC0000000, "", True),
        (1, "Fatal Python error: x", True),
    ],
)
def test_a_process_died_by_its_code_or_by_its_trace(code: int, trace: str, died: bool) -> None:
    assert has_crashed(code, trace) == died


def test_a_crash_without_a_stack_has_no_frame() -> None:
    assert end(stops_in("native-call", code=-11))[3] == {"code": -11, "frame": "unknown"}
    assert frame("") == "unknown"


def test_an_interpreter_that_ends_by_itself_in_a_step_has_crashed() -> None:
    assert end(stops_in("native-call", code=3, stderr="error: out of luck\n")) == (
        "crash",
        f"{CELL}: native-call",
        "the interpreter ended with 3: error: out of luck",
        {"code": 3},
    )


def test_an_interpreter_that_fails_after_the_last_step_ends_badly_at_exit() -> None:
    assert end(lambda fields: fields["exercise"].update(code=3))[:2] == (
        "crash",
        f"{CELL}: at exit",
    )


def test_an_interpreter_that_stops_between_two_steps_never_began() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"] = {"import": fields["exercise"]["steps"]["import"]}

    assert end(change)[:2] == ("unclassified", f"{CELL}: start")


def test_an_interpreter_that_never_began_is_unclassified() -> None:
    changes = {"code": 2, "steps": {}, "stderr": "no such option\n"}
    assert end(lambda fields: fields["exercise"].update(changes)) == (
        "unclassified",
        f"{CELL}: start",
        "the interpreter ended with 2: no such option",
        {"code": 2},
    )


@pytest.mark.parametrize(
    "ended",
    [
        {"code": -9, "timed_out": True, "trace": TRACE},
        {"code": 1, "trace": f"Timeout (0:01:00)!\n{TRACE}"},
    ],
)
def test_a_step_without_end_is_a_hang_with_its_innermost_frame(ended: Fields) -> None:
    assert end(stops_in("round-trip", seconds=60.2, **ended)) == (
        "hang",
        f"{CELL}: round-trip",
        f"no end after 60 s; the stack's innermost frame: {FRAME}",
        {"seconds": 60.2, "frame": FRAME},
    )


def test_an_exercise_that_is_ended_after_its_last_step_hangs_at_exit() -> None:
    found = end(lambda fields: fields["exercise"].update(timed_out=True))
    assert found[:2] == ("hang", f"{CELL}: at exit")


def test_an_import_without_end_is_a_hang() -> None:
    changes = {"timed_out": True, "code": -9, "seconds": 30.0}
    assert end(lambda fields: fields["import"].update(changes)) == (
        "hang",
        f"{CELL}: import",
        "no end after 30 s",
        {"seconds": 30.0},
    )


@pytest.mark.parametrize("process", ["import", "exercise"])
def test_a_machine_that_stood_still_is_not_the_packages_hang(process: str) -> None:
    changes = {"timed_out": True, "seconds": 90.0, "stalled": 72.0}
    (cause,) = ends(lambda fields: fields[process].update(changes))
    assert (cause.name, cause.severity) == ("machine-lost", "testbed")
    observed = "; but the machine itself stood still for 72 s of it; expected"
    assert observed in cause.message
    assert cause.facts["stalled"] == 72.0


def test_an_import_that_merely_fails_is_no_bad_end() -> None:
    assert ends(lambda fields: fields["import"].update(code=1)) == []


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("", "no output"),
        ("one\n\n  two  \n", "two"),
        ("note\nERROR: bad\nbye\n", "ERROR: bad"),
        ("Error 1\nerror: 2\n", "error: 2"),
        ("error: x\n  cause: a\n  cause: b\nlast\n", "error: x (cause: a) (cause: b)"),
        ("note\n  cause: a\n", "cause: a"),
        ("x" * 500, "x" * 400),
    ],
)
def test_the_last_error_of_an_output(output: str, error: str) -> None:
    assert last_error(output) == error


# ---- an emulated processor ----


def on_emulated(*changes: Change) -> CellEvidence:
    return evidence(lambda fields: fields["cell"].update(processor=EMULATED), *changes)


def crash_cause(evidence: CellEvidence, name: str = "crash", observed: str = "killed") -> Cause:
    return finding(name, observed).at(evidence, "round-trip")


@pytest.mark.parametrize(
    "message",
    [
        "qemu-x86_64: QEMU internal SIGSEGV {code=MAPERR, addr=0x20}",
        "qemu: 0x7f00: unhandled CPU exception 0x6 - aborting",
        "ERROR:../../accel/tcg/cpu-exec.c:9:cpu_exec: assertion failed: (cpu == current_cpu)",
        "Bail out! ERROR:../../linux-user/signal.c:9:host_signal: should not be reached",
        "ERROR:../target/i386/tcg/x.c: assertion",
        "../../tcg/tcg.c:2233: tcg fatal error",
    ],
)
@pytest.mark.parametrize("process", ["install", "import", "exercise"])
def test_a_failure_of_the_emulator_is_the_testbeds(message: str, process: str) -> None:
    def change(fields: Fields) -> None:
        fields[process]["stderr"] = f"warning: x\n{message}\n"

    observed = on_emulated(change)
    cause = reclassify_emulated_fault(crash_cause(observed), observed)
    told = f"{message}: {crash_cause(observed).message}"[:600]
    expected = ("emulator-gap", f"{CELL}: round-trip", told, {"reason": message})
    assert shown(cause) == expected
    real = evidence(change)
    assert reclassify_emulated_fault(crash_cause(real), real) == crash_cause(real), (
        "on a real processor"
    )


def test_the_emulators_failure_in_the_own_tests_is_the_testbeds() -> None:
    def change(fields: Fields) -> None:
        fields["tests"] = own_tests(stderr="qemu: x\n")

    observed = on_emulated(change)
    assert reclassify_emulated_fault(crash_cause(observed), observed).name == "emulator-gap"


@pytest.mark.parametrize("name", ["uninstall-leftover", "unknown-to-wine", "machine-lost"])
def test_only_a_broken_package_can_be_the_emulators_failure(name: str) -> None:
    observed = on_emulated(lambda fields: fields["exercise"].update(stderr="qemu: x\n"))
    cause = crash_cause(observed, name)
    assert reclassify_emulated_fault(cause, observed) == cause


def test_a_signal_that_the_emulator_passes_on_is_the_programs() -> None:
    message = "qemu: uncaught target signal 4 (Illegal instruction)\n"
    observed = on_emulated(lambda fields: fields["exercise"].update(stderr=message))
    assert reclassify_emulated_fault(crash_cause(observed), observed) == crash_cause(observed)


def test_a_system_call_that_the_emulator_lacks_is_the_testbeds() -> None:
    observed = on_emulated()
    cause = crash_cause(observed, "round-trip-failed", "[Errno 38] Function not implemented")
    found = reclassify_emulated_fault(cause, observed)
    assert (found.name, found.facts) == ("emulator-gap", {"reason": "QEMU lacks a system call"})
    assert reclassify_emulated_fault(cause, evidence()) == cause


def test_a_hang_on_an_emulated_processor_says_nothing_about_the_package() -> None:
    observed = on_emulated()
    found = reclassify_emulated_fault(crash_cause(observed, "hang", "no end"), observed)
    reason = "its processor is emulated, which takes some ten times as long"
    assert found.message.startswith(f"{reason}: no end; ")
    assert (found.name, found.severity) == ("emulator-gap", "testbed")


# ---- Wine ----


def on_wine(*lines: str) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["os"], fields["loader"] = "windows", list(lines)
        fields["installed"]["added"].append(DLL)

    return evidence(change)


def test_a_crash_where_wine_lacks_an_imported_symbol_is_the_testbeds() -> None:
    observed = on_wine(stub("other.dll", "x", "C:\\x.dll"), stub("KERNEL32.dll", "PssQuery"))
    (cause,) = reclassify_wine_fault(observed, [crash_cause(observed)])
    assert shown(cause) == (
        "emulator-gap",
        f"{CELL}: libquiver_c.dll",
        "libquiver_c.dll imports PssQuery of KERNEL32.dll, which Wine has not; then: "
        + crash_cause(observed).message,
        {"library": "KERNEL32.dll", "symbol": "PssQuery"},
    )


def test_a_call_of_a_function_that_wine_knows_by_name_only_is_the_testbeds() -> None:
    observed = on_wine(stub("KERNEL32.dll", "PssQuery"), CALLED)
    (cause,) = reclassify_wine_fault(observed, [crash_cause(observed)])
    assert shown(cause) == (
        "emulator-gap",
        f"{CELL}: ucrtbase.dll",
        "crealf of ucrtbase.dll was called, which Wine knows by name only; then: "
        + crash_cause(observed).message,
        {"library": "ucrtbase.dll", "symbol": "crealf"},
    )


@pytest.mark.parametrize("lines", [(), (stub("KERNEL32.dll", "PssQuery", "C:\\windows\\x.dll"),)])
def test_another_crash_on_wine_is_the_packages(lines: tuple[str, ...]) -> None:
    observed = on_wine(*lines)
    ended = [crash_cause(observed), crash_cause(observed, "hang")]
    assert reclassify_wine_fault(observed, ended) == ended


# ---- the C++ run-time of Windows ----


def with_runtime(version: list[int], linked: Fields | None = None) -> CellEvidence:
    value = {
        "loaded": {"MSVCP140.dll": {"path": "C:\\windows\\MSVCP140.dll", "version": version}},
        "linked_by": linked
        or {"libquiver.dll": [14, 44], "libquiver_c.dll": [14, 43], "x.dll": [2, 99]},
    }
    return evidence(lambda fields: fields["exercise"]["steps"].update(
        {"run-times": step("run-times", value)}
    ))  # fmt: skip


def test_a_run_time_that_is_older_than_the_linker_is_too_old() -> None:
    assert only(old_runtimes(with_runtime([14, 34, 1, 0]))) == (
        "runtime-too-old",
        f"{CELL}: MSVCP140.dll",
        "libquiver.dll was linked by Microsoft's 14.44 and uses MSVCP140.dll 14.34.1.0 from "
        "C:\\windows\\MSVCP140.dll; then the process died",
        {
            "library": "libquiver.dll",
            "runtime": "MSVCP140.dll",
            "version": "14.34.1.0",
            "required": "14.44",
        },
    )


@pytest.mark.parametrize("version", [[14, 44, 0, 0], [14, 50, 0, 0], []])
def test_a_run_time_that_is_new_enough_or_unknown_is_no_cause(version: list[int]) -> None:
    assert list(old_runtimes(with_runtime(version))) == []


@pytest.mark.parametrize("linked", [{"x.dll": [2, 99]}, {"x.dll": [15, 0]}])
def test_libraries_of_another_linker_need_no_such_run_time(linked: Fields) -> None:
    assert list(old_runtimes(with_runtime([14, 34, 1, 0], linked))) == []


def test_without_the_step_no_run_time_is_known() -> None:
    observed = evidence(lambda fields: fields["exercise"]["steps"].pop("run-times"))
    assert names(old_runtimes(observed)) == []
