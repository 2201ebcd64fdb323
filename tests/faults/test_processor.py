"""Code for a newer processor than the tag promises, code that asks first, and what QEMU lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.engine import Engine
from tests.faults import edits
from tests.faults.place import Place
from tests.helpers import wheel_builder as wheels

pytestmark = pytest.mark.recorded
OLDEST = ("debian-13-x86-64-v1", "uv")
LIBRARY = "quiverdb/_libs/libfast.so"
# What -march=native makes of ordinary code on most build machines: AVX2, and nobody asks for it.
FAST = """
__attribute__((target("avx2"))) static int fast(void) {
    __asm__ volatile("vpaddd %%ymm0, %%ymm0, %%ymm0" ::: "xmm0");
    return 1;
}
"""
UNASKED = FAST + "int total(void) { return fast(); }"
AT_LOAD = FAST + "__attribute__((constructor)) static void begin(void) { fast(); }"
ASKS = f"""
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


def _planted(wheel: Path, folder: Path, found: Engine, source: str, code: bytes) -> Path:
    library = {LIBRARY: edits.compiled(found, source)}
    return wheels.mutate(wheel, folder, add=library, **edits.added(code))


def _has_avx2() -> bool:
    return " avx2 " in Path("/proc/cpuinfo").read_text("ascii", "replace")


@pytest.mark.parametrize(
    ("source", "code", "where"),
    [(AT_LOAD, AT_IMPORT, "import"), (UNASKED, AT_FIRST_CALL, "native-call")],
    ids=["at-load", "at-first-call"],
)
def test_code_for_a_newer_processor_dies_on_the_oldest_one_alone(
    place: Place,
    good_wheel: Path,
    found: Engine,
    tmp_path: Path,
    source: str,
    code: bytes,
    where: str,
) -> None:
    wheel = _planted(good_wheel, tmp_path, found, source, code)
    (cause,) = place.at(*OLDEST).causes(wheel, ["venv"])["venv"]

    assert (cause.name, cause.severity) == ("illegal-instruction", "broken")
    assert cause.where == f"debian-13-x86-64-v1-uv-venv: {where}"
    assert "killed by SIGILL" in cause.message
    assert "the processor is x86-64-v1 with SSE3, emulated by QEMU" in cause.message
    if where == "native-call":
        assert "quiverdb/__init__.py" in cause.message
    if _has_avx2():
        assert place.at(installer="uv").names(wheel, ["venv"]) == {"venv": set()}


def test_code_that_asks_its_processor_first_works_on_both(
    place: Place, good_wheel: Path, found: Engine, tmp_path: Path
) -> None:
    wheel = _planted(good_wheel, tmp_path, found, ASKS, AT_FIRST_CALL)
    seen = [there.names(wheel, ["venv"]) for there in (place.at(*OLDEST), place.at(installer="uv"))]

    assert seen == [{"venv": set()}, {"venv": set()}]


# epoll_pwait2(2), which QEMU's emulation of Linux does not have.
ASKS_LINUX = b"""
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


def test_a_system_call_that_the_emulator_lacks_is_no_fault_of_the_package(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **edits.added(ASKS_LINUX))
    (cause,) = place.at(*OLDEST).causes(wheel, ["venv"])["venv"]

    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")
    assert "QEMU lacks a system call" in cause.message
    assert place.at(installer="uv").names(wheel, ["venv"]) == {"venv": set()}
