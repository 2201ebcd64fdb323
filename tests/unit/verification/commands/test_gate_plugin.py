"""A gate in pytest and pytest-xdist, with fake cells whose results are in a file."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Never
from xml.etree import ElementTree as ET

import pytest

from containers import engine as engines
from verification.commands import gate_plugin
from verification.commands.gate_plugin import check_selection, checkout_of
from verification.history.store import History
from verification.models.base import read_json
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.report import Report
from verification.models.verdict import Outcome, Verdict
from verification.report.folder import REPORT_MARKER
from verification.scenarios import cells as plan
from verification.scenarios import machines, profiles
from verification.subjects.subject import load as load_subject

ROOT = Path(__file__).parents[4]
CONFTEST = ROOT / "tests" / "helpers" / "gate_conftest.py"
LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"
"""The cells of the profile quick."""
COLUMNS = 60
PROCESSES = multiprocessing.get_context("forkserver")
MODULES = ["verification.commands.gate_plugin", "tests.helpers.sample_testbed"]
"""The modules that the fork server imports once for all gates."""


class Gate(NamedTuple):
    """The exit code, the output and the folder of a gate that has ended."""

    code: int | None
    output: str
    folder: Path

    @property
    def report(self) -> Report:
        return read_json(Report, self.folder / "report" / "results.json")

    @property
    def recorded_runs(self) -> int:
        """The number of runs in the history."""
        return len(History(self.folder / "history.sqlite3").summaries())

    def outcomes(self) -> dict[str, Outcome]:
        return {cell.id: cell.outcome for cell in self.report.cells}


def check_output(gate: Gate) -> None:
    """Check that the path and the verdict are the last lines, and that pytest prints nothing."""
    page = str(gate.folder / "report" / "index.html")
    *lines, path_line, verdict_line = gate.output.splitlines()
    assert path_line.endswith(page)
    assert verdict_line.endswith(gate.report.verdict)
    for text in ("test session starts", " passed", "test summary", "workers [", "Exit:", "!!!"):
        assert text not in gate.output
    assert "." not in lines, "pytest prints a dot for each test"
    assert "Traceback" not in gate.output
    assert max(map(len, lines)) <= COLUMNS


def of_profile(name: str) -> list[Cell]:
    """Return the cells of a profile, in the order of machines.toml."""
    specs = [spec for spec in machines.load().values() if name in spec.profiles]
    return plan.cells(specs, load_subject(), profiles.load()[name])


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> None:
    """Start the fork server with the checkout on the import path, which pytest-xdist passes on."""
    PROCESSES.set_forkserver_preload(MODULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        forkserver.ensure_running()


def run_pytest(folder: Path, options: tuple[str, ...], variables: Mapping[str, str]) -> Never:
    """Run pytest in this process, and end the process with its exit code."""
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)

    with (folder / "output").open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    code = pytest.main(
        [
            # The gate's environment has no hypothesis, and its import takes most of the time.
            *("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "--import-mode=importlib"),
            "tests/gate",
            *("--profile=quick", f"--wheels={folder / 'wheels'}", f"--report={folder / 'report'}"),
            *options,
        ]
    )
    sys.stdout.flush()
    os._exit(code)


def run_gate(
    folder: Path, behaviour: dict[str, str], *options: str, broken_file: bool = False
) -> Gate:
    """Run a gate in a checkout whose cells behave as `behaviour` says.

    The process of the gate is forked from a process that has already imported the suite. This saves
    most of the time. Without an option ``-n``, the cells run in the process of the controller.
    """
    shutil.copytree(ROOT / "tests" / "gate", folder / "tests" / "gate")
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "behaviour.json").write_text(json.dumps(behaviour))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    item: the item of a test\n")
    (folder / "wheels").mkdir()
    if broken_file:
        (folder / "tests" / "gate" / "test_broken.py").write_text("import no_such_module\n")
    # Without the variables that make a process a worker of pytest-xdist.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    inherited["COLUMNS"] = str(COLUMNS)
    history = str(folder / "history.sqlite3")
    variables = {**inherited, "PYTHONPATH": str(ROOT), "QUIVERDB_E2E_HISTORY": history}
    process = PROCESSES.Process(target=run_pytest, args=(folder, options, variables))
    process.start()
    process.join(100)
    process.kill()
    process.join()
    return Gate(process.exitcode, (folder / "output").read_text("utf-8", "replace"), folder)


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
def test_each_cell_is_one_test_and_its_result_reaches_the_report(
    tmp_path: Path, workers: str
) -> None:
    gate = run_gate(tmp_path, {}, workers)
    assert gate.code == 0, gate.output
    assert gate.outcomes() == {LINUX: Outcome.WORKS, WINDOWS: Outcome.WORKS}
    assert gate.report.verdict is Verdict.VERIFIED
    check_output(gate)
    assert (tmp_path / "removed").exists()
    cases = ET.parse(tmp_path / "report" / "junit.xml").getroot().iter("testcase")  # noqa: S314
    assert sorted(case.get("name", "") for case in cases) == sorted(
        [LINUX, WINDOWS, *(item.id for item in gate.report.items)]
    )


@pytest.mark.parametrize(
    ("behaviour", "outcome", "code"),
    [
        ("works-flawed", Outcome.WORKS_FLAWED, 0),
        ("fails", Outcome.FAILS, 1),
        ("testbed-failure", Outcome.TESTBED, 3),
        ("raises", Outcome.TESTBED, 3),
        ("skips", Outcome.UNVERIFIED, 5),
        ("refused", Outcome.REFUSED, 5),  # no machine executed the wheel
    ],
)
def test_outcome_of_one_cell_decides_the_exit_code(
    tmp_path: Path, behaviour: str, outcome: Outcome, code: int
) -> None:
    gate = run_gate(tmp_path, {LINUX: behaviour})
    assert gate.outcomes() == {LINUX: outcome, WINDOWS: Outcome.WORKS}, gate.output
    assert gate.code == code, gate.output
    check_output(gate)


def test_worker_that_dies_is_the_testbed_failure_of_its_cell_only(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {WINDOWS: "dies"}, "-n1")
    assert gate.outcomes() == {LINUX: Outcome.WORKS, WINDOWS: Outcome.TESTBED}, gate.output
    assert gate.code == 3, gate.output
    (cell,) = (cell for cell in gate.report.cells if cell.id == WINDOWS)
    assert [cause.name for cause in cell.causes] == ["testbed-defect"]


def cells_that_ran(gate: Gate) -> list[tuple[str, str]]:
    """Return each run of a cell: the id of the cell, and the name of the engine."""
    lines = (gate.folder / "ran").read_text("utf-8").splitlines()
    return [(words[0], words[1] if len(words) > 1 else "") for words in map(str.split, lines)]


def test_each_cell_runs_once(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {}, "-n2")
    assert sorted(cells_that_ran(gate)) == [(LINUX, ""), (WINDOWS, "")]


def test_workers_share_the_cells_of_several_engines(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {"engines": "one two"}, "-n2", "--engine=one", "--engine=two")
    assert gate.code == 0, gate.output
    assert {engine for _, engine in cells_that_ran(gate)} == {"one", "two"}
    assert gate.report.engine
    assert gate.report.engine.name == "one"
    assert [engine.name for engine in gate.report.other_engines] == ["two"]


@pytest.mark.parametrize("machine", ["debian-13", "windows-wine"])
def test_cell_runs_on_the_engine_that_has_its_machine(tmp_path: Path, machine: str) -> None:
    behaviour = {"engines": "one two", "machine of the last engine": machine}
    gate = run_gate(tmp_path, behaviour, "-n4", "--engine=one", "--engine=two")
    engines = dict(cells_that_ran(gate))
    assert engines[LINUX if machine == "debian-13" else WINDOWS] == "two"


def test_cells_of_an_engine_that_ends_run_on_another_one(tmp_path: Path) -> None:
    behaviour = {"engines": "one two", LINUX: "ends engine one", WINDOWS: "ends engine one"}
    gate = run_gate(tmp_path, behaviour, "-n2", "--engine=one", "--engine=two")
    assert gate.code == 0, gate.output
    assert gate.outcomes() == {LINUX: Outcome.WORKS, WINDOWS: Outcome.WORKS}
    assert {cell.engine for cell in gate.report.cells} == {"two"}
    assert sorted(engine for _, engine in cells_that_ran(gate)) == ["one", "two", "two"]
    assert gate.report.engine
    assert gate.report.engine.is_lost
    assert not gate.report.other_engines[0].is_lost
    check_output(gate)


def test_cells_are_the_testbed_failure_of_their_engines_if_all_have_ended(tmp_path: Path) -> None:
    behaviour = {"engines": "one two", **dict.fromkeys((LINUX, WINDOWS), "ends engine one two")}
    gate = run_gate(tmp_path, behaviour, "-n2", "--engine=one", "--engine=two")
    assert gate.code == 3, gate.output
    assert gate.outcomes() == {LINUX: Outcome.TESTBED, WINDOWS: Outcome.TESTBED}
    assert {cell.engine for cell in gate.report.cells} <= {"one", "two"}


def test_several_engines_need_workers(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {"engines": "one two"}, "-n0", "--engine=one", "--engine=two")
    assert gate.code == pytest.ExitCode.USAGE_ERROR, gate.output
    assert "--engine" in gate.output


@pytest.mark.parametrize(
    ("behaviour", "code", "verdict"),
    [("testbed failure", 3, Verdict.TESTBED), ("interrupted", 5, Verdict.UNVERIFIED)],
)
def test_failed_set_up_leaves_a_report(
    tmp_path: Path, behaviour: str, code: int, verdict: Verdict
) -> None:
    gate = run_gate(tmp_path, {"set-up": behaviour})
    assert gate.code == code, gate.output
    assert gate.report.verdict is verdict
    assert gate.report.interrupted == (behaviour == "interrupted")
    assert set(gate.outcomes().values()) == {Outcome.UNVERIFIED}
    check_output(gate)
    assert (tmp_path / "removed").exists()


@pytest.mark.parametrize(
    ("behaviour", "options"),
    [
        ({"set-up": "crashes"}, ()),
        ({"workers": "die at the start"}, ("-n1", "--max-worker-restart=1")),
        ({"engine": "lost at the end"}, ()),
    ],
    ids=["set-up", "workers", "engine"],
)
def test_crash_of_the_suite_is_a_testbed_failure(
    tmp_path: Path, behaviour: dict[str, str], options: tuple[str, ...]
) -> None:
    gate = run_gate(tmp_path, behaviour, *options)
    assert gate.code == 3, gate.output
    assert gate.report.verdict is Verdict.TESTBED
    assert gate.report.finished
    causes = {cause.name for item in gate.report.items for cause in item.causes}
    assert causes == {"testbed-defect"}
    check_output(gate)


def test_a_test_file_that_cannot_be_collected_is_a_testbed_failure(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {}, "-n1", broken_file=True)
    assert gate.code == 3, gate.output
    assert gate.report.verdict is Verdict.TESTBED


def test_wrong_use_restores_the_earlier_report(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / REPORT_MARKER).touch()
    (tmp_path / "report" / "results.json").write_text("the earlier report")
    gate = run_gate(tmp_path, {"set-up": "wrong use"})
    assert gate.code == 4, gate.output
    assert "--release 9.9.9" in gate.output
    assert (tmp_path / "report" / "results.json").read_text() == "the earlier report"


def test_keyword_narrows_the_verdict(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {}, f"-k={LINUX} or wheels")
    assert gate.code == 0, gate.output
    assert list(gate.outcomes()) == [LINUX]
    assert gate.report.selection.narrowed[0] == f"-k {LINUX} or wheels"
    assert len(gate.report.selection.narrowed) == 2
    assert [item.id for item in gate.report.items] == ["linux-install"]


def test_selection_without_a_test_is_refused_and_leaves_the_earlier_report(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / REPORT_MARKER).touch()
    (tmp_path / "report" / "results.json").write_text("the earlier report")
    gate = run_gate(tmp_path, {"set-up": "crashes"}, "-k=debian-31")
    assert gate.code == 4, gate.output
    (line,) = gate.output.strip().splitlines()
    assert "did you mean debian-13?" in line
    assert (tmp_path / "report" / "results.json").read_text() == "the earlier report"
    assert not (tmp_path / "removed").exists(), "no set-up"


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_other_selection_without_a_test_verifies_nothing(tmp_path: Path, workers: str) -> None:
    gate = run_gate(tmp_path, {}, "-m=item and not item", workers)
    assert gate.code == 5, gate.output
    assert gate.outcomes() == dict.fromkeys((LINUX, WINDOWS), Outcome.UNVERIFIED)


def test_output_of_pytest_is_shown_on_request_above_the_path_and_the_verdict(
    tmp_path: Path,
) -> None:
    gate = run_gate(tmp_path, {}, "-v", "-n0")
    assert "test session starts" in gate.output
    assert "passed" in gate.output
    assert gate.output.splitlines()[-2].endswith(str(tmp_path / "report" / "index.html"))
    assert gate.output.splitlines()[-1].endswith(gate.report.verdict)


def test_list_of_the_tests_is_shown(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {}, "--collect-only", "-q")
    assert f"test_cell[{LINUX}]" in gate.output
    assert not (tmp_path / "report").exists()


def test_option_strict_reaches_the_run(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {}, "--strict-verdict")
    assert gate.code == 0, gate.output
    assert gate.report.selection.strict


def test_interrupted_run_reports_the_cells_that_did_not_run(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {WINDOWS: "interrupts"})
    assert gate.code == 5, gate.output
    assert gate.report.interrupted
    assert gate.outcomes()[WINDOWS] is Outcome.UNVERIFIED


@pytest.mark.parametrize(
    ("behaviour", "workers"),
    [
        ({LINUX: "interrupts the controller twice"}, "-n0"),
        ({LINUX: "interrupts the controller twice"}, "-n1"),
        ({"set-up": "interrupted in a destructor"}, "-n1"),
        ({"set-up": "interrupted, and its clean-up fails"}, "-n1"),
    ],
)
def test_interrupt_counts_also_if_its_exception_is_lost(
    tmp_path: Path, behaviour: dict[str, str], workers: str
) -> None:
    gate = run_gate(tmp_path, behaviour, workers)
    assert gate.code == 5, gate.output
    assert gate.report.interrupted
    assert gate.recorded_runs == 0


def test_worker_ends_with_a_killed_controller(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {LINUX: "kills the controller"}, "-n1")
    assert gate.code == -signal.SIGKILL
    assert not gate.report.finished
    worker = Path("/proc", (tmp_path / "worker").read_text("ascii"))
    while worker.exists() and "State:\tZ" not in (worker / "status").read_text("ascii"):
        time.sleep(0.05)


def test_finished_run_is_recorded(tmp_path: Path) -> None:
    gate = run_gate(tmp_path, {LINUX: "fails"})
    assert (gate.report.interrupted, gate.recorded_runs) == (False, 1)


GATE_TESTS = ROOT / "tests" / "gate"


@pytest.mark.parametrize(
    "keyword",
    [
        "and or",
        "debian and",
        "(",
        "not",
        "nosuch",
        "debian-13 and nosuch",
        "not test_",
        "[x]",
        "()",
        "uv (pip)",
        "uv or (pip) (x)",
    ],
)
def test_keyword_that_is_invalid_or_selects_nothing_is_wrong_use(keyword: str) -> None:
    with pytest.raises(WrongUse, match="-k") as raised:
        check_selection(keyword, of_profile("gate"), GATE_TESTS)
    assert "\n" not in str(raised.value)


def test_keyword_that_is_similar_to_no_name_is_answered_with_all_names() -> None:
    cells = of_profile("gate")
    with pytest.raises(WrongUse) as raised:
        check_selection("zzz", cells, GATE_TESTS)
    for cell in cells:
        for name in (cell.machine.name, cell.installer.name, cell.scenario.name):
            assert name in str(raised.value)


@pytest.mark.parametrize(
    "keyword",
    [
        *("", "[debian-13-uv-venv]", "DEBIAN-13", "nosuch or uv", "not nosuch"),
        *("debian-13 and not (own-tests or uv)", "test_wheels", "pipeline"),
    ],
)
def test_keyword_that_selects_a_cell_or_another_test_is_accepted(keyword: str) -> None:
    check_selection(keyword, of_profile("gate"), GATE_TESTS)


def test_keyword_selects_only_cells_of_the_selected_machines() -> None:
    with pytest.raises(WrongUse):
        check_selection("windows-wine", of_profile("quick")[:1], GATE_TESTS)


@pytest.mark.parametrize("option", ["--source=", "--no-such-option", "--machine=none", "no/file"])
def test_wrong_option_is_wrong_use_before_the_set_up(tmp_path: Path, option: str) -> None:
    gate = run_gate(tmp_path, {"set-up": "testbed failure"}, option)
    assert gate.code == 4, gate.output
    assert "Traceback" not in gate.output


@pytest.mark.parametrize(
    "option", ["workflow", "event", "input", "tag", "package-dir", "publisher"]
)
def test_option_about_a_checkout_needs_the_repository(option: str) -> None:
    values = {option.replace("-", "_"): "x"}
    config: Any = SimpleNamespace(getoption=values.get)
    with pytest.raises(WrongUse, match=f"--{option} .*--repository"):
        checkout_of(config, None)


def test_repository_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    config: Any = SimpleNamespace(getoption={"repository": str(tmp_path / "none")}.get)
    with pytest.raises(WrongUse, match="--repository"):
        checkout_of(config, None)


def test_subject_must_describe_the_package_of_the_checkout() -> None:
    config: Any = SimpleNamespace(getoption={"repository": str(ROOT)}.get)
    subject = load_subject()
    checkout = checkout_of(config, subject)
    assert checkout is not None
    assert (checkout.plan.workflow, checkout.plan.package_dir) == ("publish.yml", "bindings/python")
    assert (checkout.project, checkout.registered) == ("quiverdb", True)
    other = subject.model_copy(update={"name": "another", "publishers": None})
    with pytest.raises(WrongUse, match=r"(?=.*quiverdb)(?=.*another)"):
        checkout_of(config, other)


@pytest.mark.parametrize("answers", [True, False])
def test_workers_of_an_engine_follow_its_processors_and_do_not_start_it(
    monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    def named(name: str, *, provision: bool) -> SimpleNamespace:
        assert not provision
        if not answers:
            raise TestbedFailure("engine-unreachable", f"engine {name}", "no answer")
        return SimpleNamespace(processors=lambda: 8)

    monkeypatch.setattr(engines, "named", named)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert gate_plugin._workers_on("default") == (12 if answers else 3)
