"""Faults that only the own tests detect, and own tests that do not test the package."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from containers import wheelhouse
from containers.testbed import Testbed
from tests.faults.cell_runs import (
    ScenarioRunner,
    cell_request,
    observe_cell,
    planted_release,
)
from tests.faults.commands import ROOT, gate
from tests.faults.recording import Observations
from tests.helpers import wheel_builder as wheels
from verification.models.cause import Cause, FactValue
from verification.models.errors import ExitCode
from verification.rules import diagnose
from verification.scenarios import cells as plan
from verification.scenarios import machines
from verification.scenarios.instructions import TIME_LIMITS
from verification.session.run_cell import CellRequest
from verification.subjects.subject import load as load_subject

pytestmark = pytest.mark.recorded
OWN_TESTS = ROOT / "bindings" / "python" / "tests"
LINUX = ("debian-13", "pip", "own-tests")
WINDOWS = ("windows-wine", "uv", "own-tests")
REVERSED = (
    b"\n_in_order = Database.read_element_ids\n"
    b"Database.read_element_ids = lambda self, collection: _in_order(self, collection)[::-1]\n"
)
GOOD = "import quiverdb\ndef test_a(): assert quiverdb.version()\n"
# The files of the tests, the name and location of the cause, and one of its facts.
FAULTS: Mapping[str, tuple[dict[str, str], str, str, dict[str, FactValue]]] = {
    "empty": ({}, "own-tests-not-run", "own tests", {"code": 5}),
    "source": (
        {"conftest.py": "from src.quiverdb import version", "test_a.py": GOOD},
        "own-tests-not-run",
        "own tests",
        {"code": 4},
    ),
    "copy": (
        {"test_a.py": GOOD, "quiverdb/__init__.py": "def version(): return '0.5.0'"},
        "shadowed-import",
        "own tests",
        {"imported": "/home/user/project/own-tests/tests/quiverdb/__init__.py"},
    ),
    "crash": (
        {"test_a.py": GOOD + "def test_b():\n    import faulthandler; faulthandler._sigsegv()"},
        "crash",
        "tests/test_a.py::test_b",
        {"frame": "/home/user/project/own-tests/tests/test_a.py:4 in test_b"},
    ),
    "hang": (
        {"test_a.py": GOOD + "def test_b():\n    import time; time.sleep(60)"},
        "hang",
        "tests/test_a.py::test_b",
        {"frame": "/home/user/project/own-tests/tests/test_a.py:4 in test_b"},
    ),
}


class Cell(NamedTuple):
    """A cell that runs own tests.

    ``names`` are its machine, installer and scenario. ``seconds`` is the time limit of the tests.
    """

    names: tuple[str, str, str]
    tests: Path = OWN_TESTS
    seconds: int = 300


def _causes(
    scenario_runner: ScenarioRunner, wheel: Path, cells: Mapping[str, Cell]
) -> dict[str, tuple[Cause, ...]]:
    """Run the cells with this wheel. Return the causes of each cell, by its key in ``cells``."""

    def run_cells() -> Observations:
        with scenario_runner.start_testbed([wheel], dependencies=wheelhouse.tools()) as testbed:
            observed = {
                name: observe_cell(_request(scenario_runner, testbed, wheel, cell))
                for name, cell in cells.items()
            }
            return Observations(observed, testbed.hosts)

    observed = scenario_runner.evidence_source.observe(list(cells), run_cells)
    return {name: diagnose(*observed[name]).causes for name in cells}


def _request(
    scenario_runner: ScenarioRunner, testbed: Testbed, wheel: Path, cell: Cell
) -> CellRequest:
    machine, installer, scenario = cell.names
    planned = plan.cell(machines.load()[machine], load_subject(), installer, scenario)
    engine = scenario_runner.container_engine
    request = cell_request(engine, testbed, planned, planted_release(wheel))
    return request._replace(tests=cell.tests, seconds={**TIME_LIMITS, "tests": cell.seconds})


def _write(folder: Path, files: dict[str, str]) -> Path:
    tests = folder / "tests"
    tests.mkdir()
    for name, text in files.items():
        (tests / name).parent.mkdir(exist_ok=True)
        (tests / name).write_text(text)
    return tests


@pytest.mark.parametrize(
    ("fixture", "ordinary", "own_tests"),
    [
        ("good_wheel", ("debian-13", "pip", "venv"), LINUX),
        ("good_windows_wheel", ("windows-wine", "uv", "system"), WINDOWS),
    ],
    ids=["linux", "windows"],
)
def test_reversed_rows_fail_only_the_own_tests(
    scenario_runner: ScenarioRunner,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fixture: str,
    ordinary: tuple[str, str, str],
    own_tests: tuple[str, str, str],
) -> None:
    edit = {"quiverdb/database.py": lambda data: data + REVERSED}
    wheel = wheels.mutate(request.getfixturevalue(fixture), tmp_path, edit=edit)
    causes = _causes(scenario_runner, wheel, {"plain": Cell(ordinary), "own": Cell(own_tests)})

    assert causes["plain"] == ()
    assert {cause.name for cause in causes["own"]} == {"own-tests-failed"}
    first = "tests/test_elements.py::test_scalars_come_back_as_they_went_in"
    assert f"{'-'.join(own_tests)}: {first}" in {cause.where for cause in causes["own"]}


def test_invalid_own_tests_are_reported(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    cells = {}
    for name, (files, *_) in FAULTS.items():
        (tmp_path / name).mkdir()
        tests = _write(tmp_path / name, files)
        cells[name] = Cell(LINUX, tests, 3 if name == "hang" else 60)
    causes = _causes(scenario_runner, good_wheel, cells)

    for name, (_, cause_name, where, facts) in FAULTS.items():
        (cause,) = causes[name]
        assert (cause.name, cause.where) == (cause_name, f"debian-13-pip-own-tests: {where}")
        assert facts.items() <= cause.facts.items()
    assert "No module named 'src'" in causes["source"][0].message


def test_tests_read_the_files_around_them_and_import_the_installed_package(
    scenario_runner: ScenarioRunner, good_wheel: Path, tmp_path: Path
) -> None:
    test = (
        "from pathlib import Path\n"
        "SCHEMA = Path(__file__).parent / '../../../tests/schemas/a.sql'\n"
        "def test_b(): assert SCHEMA.read_text() == 'schema'\n"
    )
    files = {
        "bindings/python/pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--cov=quiverdb'\n",
        "bindings/python/quiverdb/__init__.py": "raise ImportError('the source')\n",
        "bindings/python/tests/test_a.py": GOOD + test,
        "tests/schemas/a.sql": "schema",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for words in (("init", "--quiet"), ("add", ".")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    cell = Cell(LINUX, tmp_path / "bindings" / "python" / "tests", 60)

    assert _causes(scenario_runner, good_wheel, {"own": cell})["own"] == ()


def test_crash_on_windows_names_the_test(
    scenario_runner: ScenarioRunner, good_windows_wheel: Path, tmp_path: Path
) -> None:
    crash = "def test_b():\n    import faulthandler; faulthandler._read_null()"
    tests = _write(tmp_path, {"test_a.py": GOOD + crash})
    cells = {"own": Cell(WINDOWS, tests, 60)}
    (cause,) = _causes(scenario_runner, good_windows_wheel, cells)["own"]

    assert cause.name == "crash"
    assert cause.where == "windows-wine-uv-own-tests: tests/test_a.py::test_b"
    assert cause.facts["code"] == 0xC0000005  # STATUS_ACCESS_VIOLATION (ntstatus.h)


@pytest.mark.parametrize(
    ("folder", "machine", "named"),
    [
        ("missing", "debian-13", "missing"),
        ("empty", "debian-13", "empty"),
        ("tests", "debian-12", "--tests"),
    ],
    ids=["no-such-folder", "no-test-in-folder", "no-cell-runs-them"],
)
def test_unusable_tests_option_is_wrong_use(
    tmp_path: Path, folder: str, machine: str, named: str
) -> None:
    _write(tmp_path, {"test_a.py": GOOD})
    (tmp_path / "empty").mkdir()
    finished = gate(tmp_path / "report", f"--tests={tmp_path / folder}", f"--machine={machine}")

    assert finished.code == ExitCode.WRONG_USE
    (line,) = finished.error_lines()
    assert named in line
