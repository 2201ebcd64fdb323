"""Faults that only the package's own tests see, and own tests that do not test it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from containers import wheelhouse
from containers.testbed import Testbed
from tests.faults.commands import ROOT, gate
from tests.faults.place import Place, job_on, observed, planted_release
from tests.faults.recording import Observations
from tests.helpers import wheel_builder as wheels
from verification.models.cause import Cause
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.session.run_cell import CellRequest
from verification.subjects.subject import load as load_subject

pytestmark = pytest.mark.recorded
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


class Cell(NamedTuple):
    """A machine, an installer and a scenario, with the package's own tests and their time limit."""

    place: tuple[str, str, str]
    tests: Path = OWN
    seconds: int = 300


def _judged(place: Place, wheel: Path, cells: Mapping[str, Cell]) -> dict[str, tuple[Cause, ...]]:
    """Return the causes of each cell, by its name."""

    def run_cells() -> Observations:
        with place.start([wheel], dependencies=wheelhouse.tools()) as bed:
            shown = {name: observed(_request(place, bed, wheel, cells[name])) for name in cells}
            return Observations(shown, bed.hosts)

    shown = place.evidence_source.observe(list(cells), run_cells)
    return {name: diagnose(*shown[name]).causes for name in cells}


def _request(place: Place, bed: Testbed, wheel: Path, cell: Cell) -> CellRequest:
    machine, installer, scenario = cell.place
    planned = plan.cell(machines.load()[machine], load_subject(), installer, scenario)
    request = job_on(place.found, bed, planned, planted_release(wheel))
    return request._replace(tests=cell.tests, seconds={**TIME_LIMITS, "tests": cell.seconds})


def _write(folder: Path, files: dict[str, str]) -> Path:
    tests = folder / "tests"
    tests.mkdir()
    for name, text in files.items():
        (tests / name).parent.mkdir(exist_ok=True)
        (tests / name).write_text(text)
    return tests


@pytest.mark.parametrize(
    ("fixture", "plain", "own"),
    [
        ("good_wheel", ("debian-13", "pip", "venv"), LINUX),
        ("good_windows_wheel", ("windows-wine", "uv", "system"), WINDOWS),
    ],
    ids=["linux", "windows"],
)
def test_rows_in_another_order_are_seen_by_the_packages_own_tests_alone(
    place: Place,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fixture: str,
    plain: tuple[str, str, str],
    own: tuple[str, str, str],
) -> None:
    edit = {"quiverdb/database.py": lambda data: data + REVERSED}
    wheel = wheels.mutate(request.getfixturevalue(fixture), tmp_path, edit=edit)
    causes = _judged(place, wheel, {"plain": Cell(plain), "own": Cell(own)})

    assert causes["plain"] == ()
    assert {cause.name for cause in causes["own"]} == {"own-tests-failed"}
    first = "tests/test_elements.py::test_scalars_come_back_as_they_went_in"
    assert f"{'-'.join(own)}: {first}" in {cause.where for cause in causes["own"]}


def test_tests_that_do_not_test_the_package_are_called_by_name(
    place: Place, good_wheel: Path, tmp_path: Path
) -> None:
    cells = {}
    for name, (files, *_) in FAULTS.items():
        (tmp_path / name).mkdir()
        tests = _write(tmp_path / name, files)
        cells[name] = Cell(LINUX, tests, 3 if name == "hang" else 60)
    shown = _judged(place, good_wheel, cells)

    for name, (_, cause, where, says) in FAULTS.items():
        (only,) = shown[name]
        assert (only.name, only.where) == (cause, f"debian-13-pip-own-tests: {where}")
        assert says in only.message


def test_a_crash_on_windows_names_the_test(
    place: Place, good_windows_wheel: Path, tmp_path: Path
) -> None:
    crash = "def test_b():\n    import faulthandler; faulthandler._read_null()"
    tests = _write(tmp_path, {"test_a.py": GOOD + crash})
    (only,) = _judged(place, good_windows_wheel, {"own": Cell(WINDOWS, tests, 60)})["own"]

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
