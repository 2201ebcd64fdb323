from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    API,
    CELL,
    CORE,
    DLL,
    Change,
    Fields,
    evidence,
    missing_symbol_line,
    own_tests,
    step,
)
from tests.helpers.sample_expectation import Summary, names, only_cause, summary
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence
from verification.rules.finding import Finding
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


def stops_in(name: str, **exercise: object) -> Change:
    """Return a change after which the exercise stops in this step."""

    def change(fields: Fields) -> None:
        steps = fields["exercise"]["steps"]
        later = list(steps)[list(steps).index(name) :]
        for skipped in later:
            del steps[skipped]
        steps[name] = {"step": name, "begun": True}
        fields["exercise"] |= exercise

    return change


def ends(*changes: Change) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.import_run is not None
    assert observed.exercise is not None
    return list(abnormal_exits(observed, observed.import_run, observed.exercise))


def end(*changes: Change) -> Summary:
    return only_cause(ends(*changes))


# ---- the end of a process ----


def test_processes_that_end_normally_have_no_cause() -> None:
    assert ends() == []


@pytest.mark.parametrize(
    ("code", "signal"),
    [
        (-11, "SIGSEGV"),
        (-6, "SIGABRT"),
        (-7, "SIGBUS"),
        (-8, "SIGFPE"),
        (-31, "signal 31"),
        (-64, "signal 64"),
        (-65, "0xffffffbf"),
        (0xC0000005, "0xc0000005"),
        (0xC0000005 - (1 << 32), "0xc0000005"),
    ],
)
def test_killed_process_is_a_crash(code: int, signal: str) -> None:
    facts = {"code": code, "signal": signal}
    at_import = end(lambda fields: fields["import"].update(code=code))
    assert at_import == ("crash", f"{CELL}: import", facts)
    in_step = end(stops_in("native-call", code=code, trace=TRACE))
    assert in_step == ("crash", f"{CELL}: native-call", facts | {"frame": FRAME})


LOADING_TRACES = {
    "cffi": 'File "/x/cffi/api.py", line 809 in _load_backend_lib\n',
    "ctypes": 'File "/usr/lib/python3.13/ctypes/__init__.py", line 390 in __init__\n',
    "extension": (
        'File "<frozen importlib._bootstrap>", line 488 in _call_with_frames_removed\n'
        '  File "<frozen importlib._bootstrap_external>", line 1322 in create_module\n'
    ),
}


@pytest.mark.parametrize("trace", LOADING_TRACES.values(), ids=LOADING_TRACES)
def test_library_that_is_read_beyond_its_end_is_damaged(trace: str) -> None:
    trace = f"Fatal Python error: Bus error\n\nCurrent thread 0x1 [x]:\n  {trace}"
    assert end(stops_in("native-call", code=-7, trace=trace))[0] == "damaged-library"
    at_import = (lambda fields: fields["import"].update(code=-7), stops_in("import", trace=trace))
    assert end(*at_import)[0] == "damaged-library"
    assert end(stops_in("native-call", code=-11, trace=trace))[0] == "crash"
    called = trace.replace('  File "', '  File "/x/database.py", line 1 in read\n  File "', 1)
    assert end(stops_in("native-call", code=-7, trace=called))[0] == "crash"


@pytest.mark.parametrize(
    ("code", "signal"),
    [
        (-4, "SIGILL"),
        (132, "SIGILL"),
        (0xC000001D, "0xc000001d"),
        (0xC000001D - (1 << 32), "0xc000001d"),
    ],
)
@pytest.mark.parametrize("emulated", ["", EMULATED])
def test_illegal_instruction_is_reported_with_the_processor(
    code: int, signal: str, emulated: str
) -> None:
    processor = emulated or "A processor"
    facts = {"code": code, "signal": signal, "processor": processor}

    def change(fields: Fields) -> None:
        fields["cell"]["processor"] = emulated

    assert end(change, lambda fields: fields["import"].update(code=code)) == (
        "illegal-instruction",
        f"{CELL}: import",
        facts,
    )
    assert end(change, stops_in("native-call", code=code, trace=TRACE)) == (
        "illegal-instruction",
        f"{CELL}: native-call",
        facts | {"frame": FRAME},
    )
    assert is_illegal_instruction(code)


@pytest.mark.parametrize(
    ("trace", "loading"),
    [(LOADING_TRACES["extension"], True), (LOADING_TRACES["ctypes"], True), (TRACE, False)],
    ids=["extension", "ctypes", "call"],
)
def test_illegal_instruction_names_the_library(trace: str, *, loading: bool) -> None:
    loaded = ["/usr/lib/python3.13/lib-dynload/_ctypes.so", CORE, API, "/usr/lib/libc.so.6"]
    trace = f"Fatal Python error: Illegal instruction\n\nCurrent thread 0x1 [x]:\n  {trace}"
    (cause,) = ends(stops_in("native-call", code=-4, trace=trace, loaded=loaded))
    assert cause.name == "illegal-instruction"
    assert (cause.facts["library"], cause.facts["loading"]) == ("libquiver_c.so", loading)
    assert "libquiver_c.so" in cause.message
    # The separate import of the package dies in the same library, without a trace of its own.
    at_import = (
        lambda fields: fields["import"].update(code=-4),
        stops_in("import", code=-4, trace=trace, loaded=loaded),
    )
    (cause,) = ends(*at_import)
    assert cause.where == f"{CELL}: import"
    assert (cause.facts["library"], cause.facts["loading"]) == ("libquiver_c.so", loading)


def test_library_of_windows_is_named_while_it_is_loaded() -> None:
    trace = (
        "Windows fatal exception: code 0xc000001d\n\nCurrent thread 0x1 [x]:\n"
        '  File "C:\\Python313\\Lib\\ctypes\\__init__.py", line 390 in __init__\n'
    )

    def change(fields: Fields) -> None:
        fields["os"] = "windows"
        fields["installed"]["added"].append(DLL)

    stop = stops_in("native-call", code=0xC000001D, trace=trace, loaded=[DLL])
    (cause,) = ends(change, stop)
    assert cause.name == "illegal-instruction"
    assert (cause.facts["library"], cause.facts["loading"]) == ("libquiver_c.dll", True)


def test_library_of_the_machine_is_not_named() -> None:
    loaded = ["/usr/lib/python3.13/lib-dynload/_ctypes.so"]
    (cause,) = ends(stops_in("native-call", code=-4, trace=TRACE, loaded=loaded))
    assert "library" not in cause.facts


def test_library_of_another_process_is_not_named() -> None:
    observed = evidence(lambda fields: fields["exercise"].update(loaded=[API]))
    assert "library" not in crash(-4, TRACE, observed).facts


def test_architecture_replaces_an_unknown_processor_name() -> None:
    observed = evidence(lambda fields: fields.update(processor=""))
    assert crash(-4, None, observed).facts["processor"] == "x86_64"


def test_illegal_instruction_is_read_from_the_trace() -> None:
    trace = f"Fatal Python error: Illegal instruction\n{TRACE}"
    assert end(stops_in("native-call", code=1, trace=trace))[0] == "illegal-instruction"


def test_fatal_error_of_the_interpreter_is_a_crash() -> None:
    trace = f"Fatal Python error: Aborted\n{TRACE}"
    facts = {"code": 1, "signal": "0x00000001", "frame": FRAME}
    observed = end(stops_in("round-trip", code=1, trace=trace))
    assert observed == ("crash", f"{CELL}: round-trip", facts)


@pytest.mark.parametrize(
    ("code", "trace", "expected"),
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
def test_crash_is_read_from_exit_code_or_trace(code: int, trace: str, expected: bool) -> None:
    assert has_crashed(code, trace) == expected


def test_crash_without_a_stack_has_an_unknown_frame() -> None:
    facts = end(stops_in("native-call", code=-11))[2]
    assert facts == {"code": -11, "signal": "SIGSEGV", "frame": "unknown"}
    assert frame("") == "unknown"


def test_interpreter_that_ends_in_a_step_is_a_crash() -> None:
    assert end(stops_in("native-call", code=3, stderr="error: out of luck\n")) == (
        "crash",
        f"{CELL}: native-call",
        {"code": 3, "message": "error: out of luck"},
    )


def test_failure_after_the_last_step_is_a_crash_at_exit() -> None:
    assert end(lambda fields: fields["exercise"].update(code=3))[:2] == (
        "crash",
        f"{CELL}: at exit",
    )


def test_end_between_two_steps_is_unclassified() -> None:
    def change(fields: Fields) -> None:
        fields["exercise"]["steps"] = {"import": fields["exercise"]["steps"]["import"]}

    assert end(change)[:2] == ("unclassified", f"{CELL}: start")


def test_end_before_the_first_step_is_unclassified() -> None:
    changes = {"code": 2, "steps": {}, "stderr": "no such option\n"}
    assert end(lambda fields: fields["exercise"].update(changes)) == (
        "unclassified",
        f"{CELL}: start",
        {"code": 2, "message": "no such option"},
    )


@pytest.mark.parametrize(
    "exercise",
    [
        {"code": -9, "timed_out": True, "trace": TRACE},
        {"code": 1, "trace": f"Timeout (0:01:00)!\n{TRACE}"},
    ],
)
def test_step_that_runs_after_its_time_limit_is_a_hang_with_its_innermost_frame(
    exercise: Fields,
) -> None:
    assert end(stops_in("round-trip", seconds=60.2, **exercise)) == (
        "hang",
        f"{CELL}: round-trip",
        {"seconds": 60.2, "frame": FRAME},
    )


def test_timeout_after_the_last_step_is_a_hang_at_exit() -> None:
    observed = end(lambda fields: fields["exercise"].update(timed_out=True))
    assert observed[:2] == ("hang", f"{CELL}: at exit")


def test_import_that_runs_after_its_time_limit_is_a_hang() -> None:
    changes = {"timed_out": True, "code": -9, "seconds": 30.0}
    assert end(lambda fields: fields["import"].update(changes)) == (
        "hang",
        f"{CELL}: import",
        {"seconds": 30.0},
    )


@pytest.mark.parametrize("process", ["import", "exercise"])
def test_hang_of_a_stalled_machine_is_a_testbed_failure(process: str) -> None:
    changes = {"timed_out": True, "seconds": 90.0, "stalled": 72.0}
    (cause,) = ends(lambda fields: fields[process].update(changes))
    assert (cause.name, cause.severity) == ("machine-lost", "testbed")
    assert (cause.facts["seconds"], cause.facts["stalled"]) == (90.0, 72.0)


def test_failed_import_is_no_abnormal_exit() -> None:
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
def test_last_error_of_an_output(output: str, error: str) -> None:
    assert last_error(output) == error


# ---- an emulated processor ----


def on_emulated(*changes: Change) -> CellEvidence:
    return evidence(lambda fields: fields["cell"].update(processor=EMULATED), *changes)


def printed(process: str, stderr: str) -> Change:
    """Return a change after which a process prints this to its standard error."""
    return lambda fields: fields[process].update(stderr=stderr)


def crash_cause(evidence: CellEvidence, name: str = "crash", message: str = "killed") -> Cause:
    return Finding(name, message).at(evidence, "round-trip")


QEMU_MESSAGES = [
    "qemu-x86_64: QEMU internal SIGSEGV {code=MAPERR, addr=0x20}",
    "qemu: 0x7f00: unhandled CPU exception 0x6 - aborting",
    "ERROR:../../accel/tcg/cpu-exec.c:9:cpu_exec: assertion failed: (cpu == current_cpu)",
    "Bail out! ERROR:../../linux-user/signal.c:9:host_signal: should not be reached",
    "ERROR:../target/i386/tcg/x.c: assertion",
    "../../tcg/tcg.c:2233: tcg fatal error",
]


@pytest.mark.parametrize("process", ["install", "import", "exercise"])
def test_failure_of_the_emulator_is_a_testbed_failure(process: str) -> None:
    for message in QEMU_MESSAGES:
        change = printed(process, f"warning: x\n{message}\n")
        observed = on_emulated(change)
        cause = reclassify_emulated_fault(crash_cause(observed), observed)
        facts = {"reason": message, "message": "killed"}
        assert summary(cause) == ("emulator-gap", f"{CELL}: round-trip", facts)
        real_processor = evidence(change)
        cause = crash_cause(real_processor)
        assert reclassify_emulated_fault(cause, real_processor) == cause


def test_failure_of_the_emulator_in_the_own_tests_is_a_testbed_failure() -> None:
    def change(fields: Fields) -> None:
        fields["tests"] = own_tests(stderr="qemu: x\n")

    observed = on_emulated(change)
    assert reclassify_emulated_fault(crash_cause(observed), observed).name == "emulator-gap"


@pytest.mark.parametrize("name", ["uninstall-leftover", "unknown-to-wine", "machine-lost"])
def test_only_broken_causes_are_reclassified(name: str) -> None:
    observed = on_emulated(lambda fields: fields["exercise"].update(stderr="qemu: x\n"))
    cause = crash_cause(observed, name)
    assert reclassify_emulated_fault(cause, observed) == cause


def test_signal_that_the_emulator_forwards_is_of_the_program() -> None:
    message = "qemu: uncaught target signal 4 (Illegal instruction)\n"
    observed = on_emulated(lambda fields: fields["exercise"].update(stderr=message))
    assert reclassify_emulated_fault(crash_cause(observed), observed) == crash_cause(observed)


def test_missing_system_call_of_the_emulator_is_a_testbed_failure() -> None:
    observed = on_emulated()
    cause = crash_cause(observed, "round-trip-failed", "[Errno 38] Function not implemented")
    facts = {"message": "[Errno 38] Function not implemented"}
    reclassified = reclassify_emulated_fault(cause, observed)
    assert summary(reclassified) == ("emulator-gap", f"{CELL}: round-trip", facts)
    assert reclassify_emulated_fault(cause, evidence()) == cause


def test_hang_on_an_emulated_processor_is_a_testbed_failure() -> None:
    observed = on_emulated()
    cause = reclassify_emulated_fault(crash_cause(observed, "hang", "no end"), observed)
    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")
    assert cause.facts == {"message": "no end"}


# ---- Wine ----


def on_wine(*lines: str) -> CellEvidence:
    def change(fields: Fields) -> None:
        fields["os"], fields["loader"] = "windows", list(lines)
        fields["installed"]["added"].append(DLL)

    return evidence(change)


def test_crash_with_an_import_that_wine_lacks_is_a_testbed_failure() -> None:
    observed = on_wine(
        missing_symbol_line("other.dll", "x", "C:\\x.dll"),
        missing_symbol_line("KERNEL32.dll", "PssQuery"),
    )
    (cause,) = reclassify_wine_fault(observed, [crash_cause(observed)])
    assert summary(cause) == (
        "emulator-gap",
        f"{CELL}: libquiver_c.dll",
        {
            "library": "KERNEL32.dll",
            "symbol": "PssQuery",
            "needed_by": "libquiver_c.dll",
            "message": "killed",
        },
    )


def test_call_of_an_unimplemented_function_of_wine_is_a_testbed_failure() -> None:
    observed = on_wine(missing_symbol_line("KERNEL32.dll", "PssQuery"), CALLED)
    (cause,) = reclassify_wine_fault(observed, [crash_cause(observed)])
    assert summary(cause) == (
        "emulator-gap",
        f"{CELL}: ucrtbase.dll",
        {"library": "ucrtbase.dll", "symbol": "crealf", "message": "killed"},
    )


@pytest.mark.parametrize(
    "lines", [(), (missing_symbol_line("KERNEL32.dll", "PssQuery", "C:\\windows\\x.dll"),)]
)
def test_other_crash_on_wine_keeps_its_causes(lines: tuple[str, ...]) -> None:
    observed = on_wine(*lines)
    causes = [crash_cause(observed), crash_cause(observed, "hang")]
    assert reclassify_wine_fault(observed, causes) == causes


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


def test_run_time_older_than_the_linker_is_too_old() -> None:
    assert only_cause(old_runtimes(with_runtime([14, 34, 1, 0]))) == (
        "runtime-too-old",
        f"{CELL}: MSVCP140.dll",
        {
            "library": "libquiver.dll",
            "runtime": "MSVCP140.dll",
            "version": "14.34.1.0",
            "required": "14.44",
            "path": "C:\\windows\\MSVCP140.dll",
        },
    )


@pytest.mark.parametrize("version", [[14, 44, 0, 0], [14, 50, 0, 0], []])
def test_new_or_unknown_run_time_has_no_cause(version: list[int]) -> None:
    assert list(old_runtimes(with_runtime(version))) == []


@pytest.mark.parametrize("linked", [{"x.dll": [2, 99]}, {"x.dll": [15, 0]}])
def test_libraries_of_another_linker_do_not_count(linked: Fields) -> None:
    assert list(old_runtimes(with_runtime([14, 34, 1, 0], linked))) == []


def test_missing_step_has_no_cause() -> None:
    observed = evidence(lambda fields: fields["exercise"]["steps"].pop("run-times"))
    assert names(old_runtimes(observed)) == []
