"""Whatever a reader does in the child process, the parent goes on and names the file."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.sample_wheels import LINUX_CORE, linux_core, linux_wheel
from tests.helpers.wheel_builder import LINUX_TAG
from verification.models.base import Model
from verification.wheel.contained import InspectionFailed, ReadLimits, read
from verification.wheel.errors import BadWheel, WheelTooLarge

_ROOT = Path(__file__).parents[4]


class Size(Model):
    path: Path
    process: int


def answer(path: Path) -> Size:
    return Size(path=path, process=os.getpid())


def failure(function: Callable[[Path], Size], limits: ReadLimits | None = None) -> str:
    """Return the reason for the failure of a function at the second of three files."""
    paths = [Path("a.whl"), Path("b.whl"), Path("c.whl")]

    def at_second(path: Path) -> Size:
        return function(path) if path.name == "b.whl" else answer(path)

    results = read(at_second, paths, Size, limits=limits)
    assert next(results).path == paths[0]
    with pytest.raises(InspectionFailed) as raised:
        next(results)
    assert raised.value.file == "b.whl"
    return raised.value.reason


def crash(_: Path) -> Size:
    ctypes.string_at(0)
    raise AssertionError("the process has ended")


def fill_memory(path: Path) -> Size:
    bytearray(1 << 30)
    return answer(path)


def overflow(path: Path) -> Size:
    return overflow(path)


def loop(_: Path) -> Size:
    while True:
        pass


def wait(path: Path) -> Size:
    time.sleep(1000)
    return answer(path)


def leave(_: Path) -> Size:
    os._exit(0)


def test_one_process_reads_all_files() -> None:
    paths = [Path("a"), Path("b")]
    results = list(read(answer, paths, Size))
    assert [result.path for result in results] == paths
    assert {result.process for result in results} & {os.getpid()} == set()
    assert len({result.process for result in results}) == 1
    assert list(read(answer, [], Size)) == []


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (crash, "SIGSEGV"),
        (fill_memory, "256 MiB of memory"),
        (overflow, "RecursionError"),
        (loop, "1 s of processor time"),
        (leave, "exit code 0"),
        (lambda _: sys.exit(3), "exit code 3"),
        (lambda path: {}[path], "KeyError"),
    ],
)
def test_failure_of_a_reader_is_named(function: Callable[[Path], Size], reason: str) -> None:
    limits = ReadLimits(memory=256 << 20, processor_seconds=1)
    assert reason in failure(function, limits)


def test_reader_that_waits_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadLimits, "wall_seconds", lambda *_: 1)
    assert "longer than 1 s" in failure(wait)


def test_process_ends_with_its_reader() -> None:
    results = read(answer, [Path("a"), Path("b")], Size)
    process = next(results).process
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_expected_errors_pass_with_their_kind_and_facts() -> None:
    def refuse(path: Path) -> Size:
        if path.name == "large":
            raise WheelTooLarge(path.name, "too large", {"limit": "total", "value": 2})
        raise BadWheel("no wheel")

    with pytest.raises(BadWheel, match="no wheel"):
        list(read(refuse, [Path("a")], Size))
    with pytest.raises(WheelTooLarge) as raised:
        list(read(refuse, [Path("large")], Size))
    assert (raised.value.file, raised.value.facts["value"]) == ("large", 2)


def test_limits_of_the_parent_do_not_change() -> None:
    kinds = (resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_CORE)
    before = [resource.getrlimit(kind) for kind in kinds], signal.getsignal(signal.SIGINT)
    list(read(answer, [Path("a")], Size))
    assert ([resource.getrlimit(kind) for kind in kinds], signal.getsignal(signal.SIGINT)) == before


def test_larger_file_has_more_time(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(3_000_000_000)  # a sparse file
    assert ReadLimits().seconds(large) - ReadLimits().seconds(tmp_path) == 3000


# ---- the memory of an inspection ----

# After `exec`, RUSAGE_SELF still has the peak of the process that started this one (getrusage(2)).
_MEASURE = """
import re
import resource
import sys
from pathlib import Path
from verification.subjects import subject
from verification.wheel.release_inspection import inspect_release
(wheel,) = inspect_release([Path(sys.argv[1])], subject.load(), published=True).wheels
status = Path("/proc/self/status").read_text()
own = int(re.search(r"VmHWM:\\s+([0-9]+) kB", status)[1])
print(len(wheel.libraries), max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def peak_memory(folder: Path, size: int) -> int:
    """Return the peak memory in MiB for the inspection of a wheel with a library of this size."""
    (folder / "good").mkdir(parents=True)
    library = linux_core()
    wheel = folder / f"quiverdb-1.0.0-{LINUX_TAG}.whl"
    with (
        zipfile.ZipFile(linux_wheel(folder / "good")) as good,
        zipfile.ZipFile(wheel, "w") as archive,
    ):
        for name in good.namelist():
            if name != LINUX_CORE:
                archive.writestr(name, good.read(name))
        with archive.open(zipfile.ZipInfo(LINUX_CORE), "w", force_zip64=True) as file:
            file.write(library)
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
    command = [sys.executable, "-c", _MEASURE, str(wheel)]
    output = subprocess.run(command, check=True, capture_output=True, cwd=_ROOT, text=True).stdout
    libraries, kilobytes = map(int, output.split())
    assert libraries == 2
    return kilobytes >> 10


def test_inspection_of_a_large_library_takes_little_memory(tmp_path: Path) -> None:
    assert peak_memory(tmp_path / "large", 100 << 20) < 110


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_inspection_of_a_wheel_of_2_gb_takes_less_than_200_mb(tmp_path: Path) -> None:
    assert peak_memory(tmp_path / "large", 2_000_000_000) < 190
