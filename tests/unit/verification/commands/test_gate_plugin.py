"""A gate in pytest and pytest-xdist, with fake cells whose results are in a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from verification.commands.gate_plugin import check_keyword, start_order
from verification.models.base import read_json
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.report import Report
from verification.models.verdict import Outcome, Verdict
from verification.report.folder import MARK
from verification.scenarios import cells as plan
from verification.scenarios import machines, profiles
from verification.subjects.subject import load as load_subject

ROOT = Path(__file__).parents[4]
CONFTEST = ROOT / "tests" / "helpers" / "gate_conftest.py"
LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
"""The cells of the profile quick."""


class Gate(NamedTuple):
    """A gate that ended."""

    code: int
    output: str
    folder: Path

    @property
    def report(self) -> Report:
        return read_json(Report, self.folder / "report" / "results.json")

    def outcomes(self) -> dict[str, Outcome]:
        return {cell.id: cell.outcome for cell in self.report.cells}


def of_profile(name: str) -> list[Cell]:
    """Return the cells of a profile, in the order of machines.toml."""
    specs = [spec for spec in machines.load().values() if name in spec.profiles]
    return plan.cells(specs, load_subject(), profiles.load()[name])


def test_each_worker_starts_with_a_slow_cell_and_a_quick_one() -> None:
    cells = of_profile("gate")
    ordered = start_order(cells, 3)
    assert sorted(cell.id for cell in ordered) == sorted(cell.id for cell in cells)
    slow, quick = ordered[:6:2], ordered[1:6:2]
    assert {(cell.machine.runs_on, cell.installer.name) for cell in slow} == {("wine", "pip")}
    assert not any(cell.runs_tests for cell in quick)
    assert quick[0].id == "debian-13-uv-venv"


def test_of_few_cells_the_slow_ones_start_first() -> None:
    ordered = start_order(of_profile("quick"), 3)
    assert [cell.id for cell in ordered] == [WINDOWS, LINUX]


def checkout(folder: Path, behaviour: dict[str, str]) -> None:
    """Make a checkout with the gate's tests and cells that do what `behaviour` says."""
    shutil.copytree(ROOT / "tests" / "gate", folder / "tests" / "gate")
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "behaviour.json").write_text(json.dumps(behaviour))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    item: the item of a test\n")
    (folder / "wheels").mkdir()


def command(folder: Path, *options: str) -> list[str]:
    named = ["--profile=quick", f"--wheels={folder / 'wheels'}", f"--report={folder / 'report'}"]
    own = [] if any(option.startswith("-n") for option in options) else ["-n2"]
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib"),
        *("tests/gate", *named, *own, "--dist=load", "--maxschedchunk=1", *options),
    ]


def environment() -> dict[str, str]:
    """Return this environment without what names this process a worker of pytest-xdist."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return {**kept, "PYTHONPATH": str(ROOT), "QUIVERDB_E2E_HISTORY": ""}


def gate(folder: Path, behaviour: dict[str, str], *options: str) -> Gate:
    """Run a gate to its end."""
    checkout(folder, behaviour)
    ran = subprocess.run(
        command(folder, *options),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Gate(ran.returncode, ran.stdout + ran.stderr, folder)


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
def test_each_cell_is_one_test_and_its_result_reaches_the_report(
    tmp_path: Path, workers: str
) -> None:
    ended = gate(tmp_path, {}, workers)
    assert ended.code == 0, ended.output
    assert ended.outcomes() == {LINUX: Outcome.WORKS, WINDOWS: Outcome.WORKS}
    assert ended.report.verdict is Verdict.VERIFIED
    assert (tmp_path / "removed").exists(), "what was started is removed"
    cases = ET.parse(tmp_path / "report" / "junit.xml").getroot().iter("testcase")  # noqa: S314
    assert sorted(case.get("name", "") for case in cases) == sorted(
        [LINUX, WINDOWS, *(item.id for item in ended.report.items)]
    )


@pytest.mark.parametrize(
    ("behaviour", "outcome", "code"),
    [
        ("works-flawed", Outcome.WORKS_FLAWED, 0),
        ("fails", Outcome.FAILS, 1),
        ("testbed-failure", Outcome.TESTBED, 3),
        ("raises", Outcome.TESTBED, 3),
        ("dies", Outcome.TESTBED, 3),
        ("skips", Outcome.UNVERIFIED, 5),
        ("refused", Outcome.REFUSED, 5),  # no machine executed the wheel
    ],
)
def test_the_outcome_of_one_cell_decides_the_exit_code(
    tmp_path: Path, behaviour: str, outcome: Outcome, code: int
) -> None:
    ended = gate(tmp_path, {LINUX: behaviour})
    assert ended.outcomes() == {LINUX: outcome, WINDOWS: Outcome.WORKS}, ended.output
    assert ended.code == code, ended.output


def test_a_worker_that_dies_is_the_failure_of_its_cell_alone(tmp_path: Path) -> None:
    ended = gate(tmp_path, {WINDOWS: "dies"})
    (cell,) = [cell for cell in ended.report.cells if cell.id == WINDOWS]
    assert [cause.name for cause in cell.causes] == ["testbed-defect"]
    assert ended.outcomes()[LINUX] is Outcome.WORKS


@pytest.mark.parametrize(
    ("behaviour", "code", "verdict"),
    [("testbed", 3, Verdict.TESTBED), ("interrupted", 5, Verdict.UNVERIFIED)],
)
def test_a_set_up_that_fails_leaves_a_report(
    tmp_path: Path, behaviour: str, code: int, verdict: Verdict
) -> None:
    ended = gate(tmp_path, {"set-up": behaviour})
    assert ended.code == code, ended.output
    assert ended.report.verdict is verdict
    assert ended.report.interrupted == (behaviour == "interrupted")
    assert set(ended.outcomes().values()) == {Outcome.UNVERIFIED}
    assert (tmp_path / "removed").exists()


@pytest.mark.parametrize(
    "behaviour",
    [{"set-up": "crashes"}, {"workers": "die at the start"}, {"engine": "gone at the end"}],
)
def test_a_crash_of_the_suite_is_the_testbeds_failure(
    tmp_path: Path, behaviour: dict[str, str]
) -> None:
    ended = gate(tmp_path, behaviour, "--max-worker-restart=1")
    assert ended.code == 3, ended.output
    assert ended.report.verdict is Verdict.TESTBED
    assert ended.report.finished
    causes = {cause.name for item in ended.report.items for cause in item.causes}
    assert causes == {"testbed-defect"}
    assert "Traceback" not in ended.output


def test_a_file_of_tests_that_cannot_be_collected_is_the_testbeds_failure(tmp_path: Path) -> None:
    checkout(tmp_path, {})
    (tmp_path / "tests" / "gate" / "test_broken.py").write_text("import no_such_module\n")
    ran = subprocess.run(command(tmp_path), cwd=tmp_path, env=environment(), capture_output=True)
    assert ran.returncode == 3
    assert Gate(3, "", tmp_path).report.verdict is Verdict.TESTBED


def test_wrong_use_leaves_the_last_report_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / MARK).touch()
    (tmp_path / "report" / "results.json").write_text("the last one")
    ended = gate(tmp_path, {"set-up": "wrong use"})
    assert ended.code == 4
    assert "there is no such release" in ended.output
    assert (tmp_path / "report" / "results.json").read_text() == "the last one"


def test_what_leaves_cells_out_narrows_the_verdict(tmp_path: Path) -> None:
    ended = gate(tmp_path, {}, f"-k={LINUX} or wheels")
    assert ended.code == 0, ended.output
    assert list(ended.outcomes()) == [LINUX]
    assert ended.report.selection.narrowed == (f"-k {LINUX} or wheels", "1 of 2 cells")
    assert [item.id for item in ended.report.items] == ["linux-install"]


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_selection_without_a_test_verifies_nothing(tmp_path: Path, workers: str) -> None:
    ended = gate(tmp_path, {}, "-k=nothing_matches", workers)
    assert ended.code == 5, ended.output
    assert ended.outcomes() == dict.fromkeys((LINUX, WINDOWS), Outcome.UNVERIFIED)


def test_flaws_fail_under_strict(tmp_path: Path) -> None:
    ended = gate(tmp_path, {}, "--strict-verdict")
    assert ended.code == 0, ended.output
    assert ended.report.selection.strict


def test_an_interrupted_run_reports_what_it_did_not_reach(tmp_path: Path) -> None:
    ended = gate(tmp_path, {WINDOWS: "interrupts"}, "-n0")
    assert ended.code == 5, ended.output
    assert ended.report.interrupted
    assert ended.outcomes()[WINDOWS] is Outcome.UNVERIFIED


def test_two_runs_do_not_write_one_report(tmp_path: Path) -> None:
    checkout(tmp_path, {"set-up": "waits"})
    first = subprocess.Popen(command(tmp_path, "-n0"), cwd=tmp_path, env=environment())
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = subprocess.run(
            command(tmp_path, "-n0"),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 4, second.stdout
        assert "another run" in second.stdout + second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 5


@pytest.mark.parametrize("keyword", ["and or", "debian and", "(", "not"])
def test_a_keyword_that_cannot_be_read_is_wrong_use(keyword: str) -> None:
    with pytest.raises(WrongUse, match="-k"):
        check_keyword(keyword)


@pytest.mark.parametrize("keyword", ["", "[debian-13-uv-venv]", "debian-11 and not (a or b)"])
def test_a_keyword_that_can_be_read_is_accepted(keyword: str) -> None:
    check_keyword(keyword)


@pytest.mark.parametrize(
    "options", [("--source=",), ("--no-such-option",), ("--machine=none",), ("no/such/file",)]
)
def test_wrong_options_are_wrong_use_before_any_set_up(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended = gate(tmp_path, {"set-up": "testbed"}, *options)
    assert ended.code == 4, ended.output
    assert "Traceback" not in ended.output
