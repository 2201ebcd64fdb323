"""Faults that only the package's own tests see, and own tests that do not test it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import wheelhouse
from containers.engine import Engine
from containers.testbed import Testbed
from tests.faults.commands import ROOT, gate
from tests.faults.place import Start, diagnosed, job_on, planted_release
from tests.helpers import wheel_builder as wheels
from verification.models.cause import Cause
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.subjects.subject import load as load_subject

pytestmark = pytest.mark.xdist_group("own-tests")
OWN = ROOT / "bindings" / "python" / "tests"
LINUX = ("debian-13", "pip", "own-tests")
WINDOWS = ("windows-wine", "uv", "own-tests")
REVERSED = (
    b"\n_in_order = Database.read_element_ids\n"
    b"Database.read_element_ids = lambda self, collection: _in_order(self, collection)[::-1]\n"
)
GOOD = "import quiverdb\ndef test_a(): assert quiverdb.version()\n"
# The files of the tests, the cause that they must give, where it is, and what it says.
FAULTS = {
    "empty": ({}, "own-tests-not-run", "own tests", "no test ran (none found)"),
    "source": (
        {"conftest.py": "from src.quiverdb import version", "test_a.py": GOOD},
        "own-tests-not-run",
        "own tests",
        "No module named 'src'",
    ),
    "copy": (
        {"test_a.py": GOOD, "quiverdb/__init__.py": "def version(): return '0.5.0'"},
        "shadowed-import",
        "own tests",
        "/own-tests/tests/quiverdb/__init__.py, installed is /home/user/venv/",
    ),
    "crash": (
        {"test_a.py": GOOD + "def test_b():\n    import faulthandler; faulthandler._sigsegv()"},
        "crash",
        "tests/test_a.py::test_b",
        "killed by SIGSEGV; the last frame: ",
    ),
    "hang": (
        {"test_a.py": GOOD + "def test_b():\n    import time; time.sleep(60)"},
        "hang",
        "tests/test_a.py::test_b",
        "test_a.py:4 in test_b",
    ),
}


def _judged(
    found: Engine, bed: Testbed, wheel: Path, which: tuple[str, str, str], tests: Path, seconds: int
) -> tuple[Cause, ...]:
    name, installer, scenario = which
    spec = machines.load()[name]
    cell = plan.cell(spec, load_subject(), installer, scenario)
    job = job_on(found, bed, cell, planted_release(wheel))
    limits = {**TIME_LIMITS, "tests": seconds}
    return diagnosed(job._replace(tests=tests, seconds=limits)).diagnosis.causes


def _write(folder: Path, files: dict[str, str]) -> Path:
    tests = folder / "tests"
    tests.mkdir()
    for name, text in files.items():
        (tests / name).parent.mkdir(exist_ok=True)
        (tests / name).write_text(text)
    return tests


@pytest.fixture
def bed(start: Start, good_wheel: Path) -> Iterator[Testbed]:
    """Return a testbed with the good wheel and pytest on its index."""
    with _started(start, good_wheel) as started:
        yield started


def _started(start: Start, wheel: Path) -> contextlib.AbstractContextManager[Testbed]:
    return start([wheel], dependencies=wheelhouse.tools())


@pytest.mark.parametrize(
    ("fixture", "plain", "own"),
    [
        ("good_wheel", ("debian-13", "pip", "venv"), LINUX),
        ("good_windows_wheel", ("windows-wine", "uv", "system"), WINDOWS),
    ],
    ids=["linux", "windows"],
)
def test_rows_in_another_order_are_seen_by_the_packages_own_tests_alone(
    found: Engine,
    start: Start,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fixture: str,
    plain: tuple[str, str, str],
    own: tuple[str, str, str],
) -> None:
    edit = {"quiverdb/database.py": lambda data: data + REVERSED}
    wheel = wheels.mutate(request.getfixturevalue(fixture), tmp_path, edit=edit)
    with _started(start, wheel) as bed:
        ordinary = _judged(found, bed, wheel, plain, OWN, 300)
        causes = _judged(found, bed, wheel, own, OWN, 300)

    assert ordinary == ()
    assert {cause.name for cause in causes} == {"own-tests-failed"}
    first = "tests/test_elements.py::test_scalars_come_back_as_they_went_in"
    assert f"{'-'.join(own)}: {first}" in {cause.where for cause in causes}


def test_tests_that_do_not_test_the_package_are_called_by_name(
    found: Engine, bed: Testbed, good_wheel: Path, tmp_path: Path
) -> None:
    shown = {}
    for name, (files, *_) in FAULTS.items():
        (tmp_path / name).mkdir()
        tests = _write(tmp_path / name, files)
        seconds = 3 if name == "hang" else 60
        shown[name] = _judged(found, bed, good_wheel, LINUX, tests, seconds)

    for name, (_, cause, where, says) in FAULTS.items():
        (only,) = shown[name]
        assert (only.name, only.where) == (cause, f"debian-13-pip-own-tests: {where}")
        assert says in only.message


def test_a_crash_on_windows_names_the_test(
    found: Engine, start: Start, good_windows_wheel: Path, tmp_path: Path
) -> None:
    crash = "def test_b():\n    import faulthandler; faulthandler._read_null()"
    tests = _write(tmp_path, {"test_a.py": GOOD + crash})
    with _started(start, good_windows_wheel) as bed:
        (only,) = _judged(found, bed, good_windows_wheel, WINDOWS, tests, 60)

    assert only.name == "crash"
    assert only.where == "windows-wine-uv-own-tests: tests/test_a.py::test_b"
    assert "0xc0000005" in only.message


@pytest.mark.parametrize(
    ("given", "machine", "message"),
    [
        ("nowhere", "debian-13", "nowhere: there is no such folder; name the folder with"),
        ("nothing", "debian-13", "there is no test_*.py in it; name the folder with"),
        ("tests", "debian-12", "--tests: no cell of this profile and these machines runs the"),
    ],
)
def test_tests_that_are_none_or_that_nothing_runs_are_wrong_use(
    tmp_path: Path, given: str, machine: str, message: str
) -> None:
    _write(tmp_path, {"test_a.py": GOOD})
    (tmp_path / "nothing").mkdir()
    ended = gate(tmp_path / "report", f"--tests={tmp_path / given}", f"--machine={machine}")

    assert ended.code == 4
    (line,) = ended.errors()
    assert message in line
