"""Code for a newer processor than the wheel's tag allows, and a limit of the emulator."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import edits
from tests.faults.cell_runs import ScenarioRunner
from tests.helpers import wheel_builder as wheels

pytestmark = pytest.mark.recorded
OLDEST = ("debian-13-x86-64-v1", "uv")
LIBRARY = "quiverdb/_libs/libfast.so"
# On most build machines, -march=native compiles ordinary code to AVX2, without a check.
FAST = """
__attribute__((target("avx2"))) static int fast(void) {
    __asm__ volatile("vpaddd %%ymm0, %%ymm0, %%ymm0" ::: "xmm0");
    return 1;
}
"""
UNCHECKED = FAST + "int total(void) { return fast(); }"
AT_LOAD = FAST + "__attribute__((constructor)) static void begin(void) { fast(); }"
CHECKED = f"""
#include <cpuid.h>
{FAST}
int total(void) {{
    unsigned a, b, c, d;
    __cpuid(1, a, b, c, d);
    if (!(c & bit_OSXSAVE)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) ? fast() : 0;
}}
"""
LOADS = b"""
import ctypes
_path = os.path.join(os.path.dirname(__file__), '_libs', 'libfast.so')
"""
AT_IMPORT = LOADS + b"ctypes.CDLL(_path)\n"
AT_FIRST_CALL = (
    LOADS
    + b"""
_version = version
def version():
    ctypes.CDLL(_path).total()
    return _version()
"""
)


def _planted(wheel: Path, folder: Path, library: bytes, code: bytes) -> Path:
    return wheels.mutate(wheel, folder, add={LIBRARY: library}, **edits.added(code))


def _has_avx2() -> bool:
    return " avx2 " in Path("/proc/cpuinfo").read_text("ascii", "replace")


@pytest.mark.parametrize(
    ("source", "code", "where"),
    [(AT_LOAD, AT_IMPORT, "import"), (UNCHECKED, AT_FIRST_CALL, "native-call")],
    ids=["at-load", "at-first-call"],
)
def test_unchecked_avx2_code_fails_only_on_the_oldest_processor(
    scenario_runner: ScenarioRunner,
    good_wheel: Path,
    compile_library: Callable[[str], bytes],
    tmp_path: Path,
    source: str,
    code: bytes,
    where: str,
) -> None:
    wheel = _planted(good_wheel, tmp_path, compile_library(source), code)
    (cause,) = scenario_runner.on(*OLDEST).causes(wheel, ["venv"])["venv"]

    assert (cause.name, cause.severity) == ("illegal-instruction", "broken")
    assert cause.where == f"debian-13-x86-64-v1-uv-venv: {where}"
    assert cause.facts["code"] == -signal.SIGILL
    assert "x86-64-v1" in str(cause.facts["processor"])
    if where == "native-call":
        assert "/quiverdb/__init__.py:" in str(cause.facts["frame"])
    if _has_avx2():
        assert scenario_runner.on(installer="uv").cause_names(wheel, ["venv"]) == {"venv": set()}


def test_code_that_checks_the_processor_works_on_both(
    scenario_runner: ScenarioRunner,
    good_wheel: Path,
    compile_library: Callable[[str], bytes],
    tmp_path: Path,
) -> None:
    wheel = _planted(good_wheel, tmp_path, compile_library(CHECKED), AT_FIRST_CALL)
    for runner in (scenario_runner.on(*OLDEST), scenario_runner.on(installer="uv")):
        assert runner.cause_names(wheel, ["venv"]) == {"venv": set()}


# epoll_pwait2(2): QEMU's emulation of Linux does not have it.
SYSTEM_CALL = b"""
import ctypes, select
_version = version
def version():
    events, nothing = ctypes.create_string_buffer(64), (ctypes.c_long * 2)()
    with select.epoll() as poll:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(441, poll.fileno(), events, 1, nothing, None, 8) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return _version()
"""


def test_system_call_that_qemu_lacks_is_a_testbed_failure(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(SYSTEM_CALL))
    (cause,) = scenario_runner.on(*OLDEST).causes(wheel, ["venv"])["venv"]

    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")
    assert "QEMU" in cause.message
    assert scenario_runner.on(installer="uv").cause_names(wheel, ["venv"]) == {"venv": set()}
