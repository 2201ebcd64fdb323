"""A cell on a fake machine: its files, its commands and its evidence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from containers.commands import CommandResult
from containers.engine import Engine
from containers.machine import Machine
from tests.helpers.sample_evidence import Change, Fields, command_run, own_tests
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_testbed import (
    ENGINE,
    LIMITS,
    NETWORK,
    FakeMachine,
    FakeTestbed,
    image,
    prepared_run,
    probe_output,
    release,
)
from tests.helpers.sample_wheels import SUBJECT
from verification.models.cell import Cell
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.evidence import CellEvidence, Isolation, TestOutcome
from verification.models.index_log import IndexRequest
from verification.models.machine import PLAN, PLUGIN, PROBE, SCRIPTS
from verification.models.release import Release, ReleaseFile
from verification.scenarios import cells
from verification.scenarios.instructions import TIME_LIMITS
from verification.session import own_tests as package_tests
from verification.session import run_cell
from verification.session.run_cell import CellRequest, PlantedFault
from verification.subjects import chosen_values

LINUX = sample_machine("debian-13")
WINE = sample_machine("windows-wine", system="windows", scenarios=("system",))
LOST = TestbedFailure("machine-lost", "debian-13", "no answer")


def cell(installer: str = "pip", *, scenario: str = "", wine: bool = False) -> Cell:
    machine = WINE if wine else LINUX
    return cells.cell(machine, SUBJECT, installer, scenario or machine.scenarios[0])


def cell_request(
    testbed: FakeTestbed, requested: Cell, tests: Path | None = None, **planted: object
) -> CellRequest:
    ready = prepared_run(None, "debian-13", "windows-wine", testbed=testbed)
    return CellRequest(ready, SUBJECT, requested, tests, PlantedFault.model_validate(planted))


def run(
    testbed: FakeTestbed, requested: Cell, running: list[Machine] | None = None
) -> CellEvidence:
    return run_cell.run(cell_request(testbed, requested), running)


def install_ends_with(code: int) -> Change:
    def change(fields: Fields) -> None:
        fields["install"] = command_run("uv", "pip", "install", "quiverdb", code=code)

    return change


# ---- the evidence ----


def test_evidence_comes_from_the_probe_the_index_and_the_host() -> None:
    request = IndexRequest(
        time="2026-03-01T10:00:00Z", client="10.0.0.2", path="/simple/", status=200
    )
    wine = "0024:err:module:import_dll Library MSVCP140.dll not found"
    result = probe_output(stderr=f"{wine}\n{wine}\n0024:fixme:ntdll:x stub\n")
    testbed = FakeTestbed.with_probe_results(result, requests=(request,))
    evidence = run(testbed, cell("uv", wine=True))
    assert evidence.cell.id == "windows-wine-uv-system"
    assert (evidence.cell.machine, evidence.cell.installer) == ("windows-wine", "uv")
    assert (evidence.cell.scenario, evidence.cell.refuses) == ("system", "")
    assert evidence.image.tag == image("windows-wine").tag
    assert evidence.python == "3.13.5"
    assert evidence.install is not None
    assert evidence.install.code == 0
    assert evidence.requests == (request,)
    assert evidence.loader == ("err:module:import_dll Library MSVCP140.dll not found",)
    assert evidence.deviation == cell("uv", wine=True).installer.deviation
    assert evidence.testbed is None
    assert evidence.retried is None
    assert evidence.wall_seconds >= 0


def test_evidence_has_the_refusal_of_the_cell() -> None:
    evidence = run(FakeTestbed.with_probe_results(probe_output()), cell(scenario="no-binary"))
    assert evidence.cell.refuses == "no-binary"


def test_machine_is_removed_at_the_end_of_its_cell() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    run(testbed, cell())
    assert [machine.closed for machine in testbed.machines] == [True]


def test_machine_that_is_kept_running_is_not_removed() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    running: list[Machine] = []
    run(testbed, cell(), running)
    assert running == testbed.machines
    assert [machine.closed for machine in testbed.machines] == [False]


def test_database_file_is_read_on_the_host() -> None:
    def empty(fields: Fields) -> None:
        fields["on_disk"] = {}

    evidence = run(FakeTestbed.with_probe_results(probe_output(empty)), cell())
    assert evidence.on_disk is not None
    assert evidence.on_disk.read_by.startswith("SQLite 3")
    assert evidence.on_disk.error
    evidence = run(FakeTestbed.with_probe_results(probe_output()), cell())
    assert evidence.on_disk is None
    assert evidence.isolation == Isolation(separate=True)


def test_host_chooses_the_values_of_the_smoke_test() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    request = cell_request(testbed, cell())
    request = request._replace(prepared=request.prepared.model_copy(update={"seed": 11}))
    evidence = run_cell.run(request)
    expected = chosen_values.for_subject(SUBJECT, 11)
    assert evidence.chosen == expected
    assert expected is not None
    instructions = json.loads(only_machine(testbed).setup.files[PLAN])
    tables = expected.model_dump(mode="json")["tables"]
    assert instructions["tables"] == tables
    assert None in [value for row in tables["Plant"]["rows"] for value in row]


def test_subject_without_values_has_no_chosen_values() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    subject = SUBJECT.model_copy(update={"values": None})
    evidence = run_cell.run(cell_request(testbed, cell())._replace(subject=subject))
    assert evidence.chosen is None
    assert "tables" not in json.loads(only_machine(testbed).setup.files[PLAN])


@pytest.mark.parametrize("probe", [probe_output(), LOST], ids=["ended", "lost"])
def test_evidence_has_limits_and_requests_of_the_machine(
    probe: CommandResult | TestbedFailure,
) -> None:
    line = IndexRequest(time="2026-03-01T10:00:00Z", client="10.0.0.2", path="/simple/")
    evidence = run(FakeTestbed.with_probe_results(probe, requests=(line,)), cell())
    assert evidence.limits == LIMITS
    assert evidence.requests == (line,)


# ---- failures of the testbed ----


def test_testbed_failure_is_evidence_and_the_machine_is_removed() -> None:
    testbed = FakeTestbed.with_probe_results(LOST)
    running: list[Machine] = []
    evidence = run(testbed, cell(), running)
    assert evidence.testbed is not None
    assert evidence.testbed.cause == "machine-lost"
    assert (evidence.testbed.where, evidence.testbed.observed) == (LOST.where, LOST.message)
    assert evidence.install is None
    assert running == []
    assert [machine.closed for machine in testbed.machines] == [True]


@pytest.mark.parametrize("stdout", ["", "\n", "Killed\n", "[1]\n", '{"python": "3.13.5"\n'])
def test_probe_without_evidence_is_a_lost_machine(stdout: str) -> None:
    evidence = run(
        FakeTestbed.with_probe_results(CommandResult(137, stdout, "out of memory")), cell()
    )
    assert evidence.testbed is not None
    assert (evidence.testbed.cause, evidence.testbed.where) == (
        "machine-lost",
        "debian-13-pip-venv",
    )
    assert "137" in evidence.testbed.observed
    assert "out of memory" in evidence.testbed.observed


def test_invalid_evidence_is_refused_with_the_field() -> None:
    def change_type(fields: Fields) -> None:
        fields["python"] = 3

    evidence = run(FakeTestbed.with_probe_results(probe_output(change_type)), cell())
    assert evidence.testbed is not None
    assert evidence.testbed.cause == "evidence-refused"
    assert evidence.testbed.observed.startswith("debian-13-pip-venv: python: ")
    assert evidence.install is None


@pytest.mark.parametrize("code", [1, 124, 137, 139, -1])
@pytest.mark.parametrize("wine", [False, True])
def test_evidence_of_a_probe_that_did_not_end_with_0_is_refused(code: int, wine: bool) -> None:
    result = dataclasses.replace(probe_output(), code=code)
    evidence = run(FakeTestbed.with_probe_results(result), cell(wine=wine))
    assert evidence.testbed is not None
    assert evidence.testbed.cause == "evidence-refused"
    assert str(code) in evidence.testbed.observed
    assert evidence.install is None


def test_database_of_a_windows_machine_is_read_by_the_host() -> None:
    windows = cell("uv", wine=True)
    folder = WINE.layout.as_engine(windows.scenario.cwd)
    testbed = FakeTestbed.with_probe_results(probe_output())
    testbed.files[f"{folder}/data.db"] = b"no database"
    evidence = run(testbed, windows)
    assert evidence.on_disk is not None
    assert "not a database" in evidence.on_disk.error
    assert evidence.isolation == Isolation(separate=False, because="windows")


# ---- uv sometimes crashes under Wine ----

ACCESS_VIOLATION = 0xC0000005


@pytest.mark.parametrize(
    "code", [139, -11, ACCESS_VIOLATION, ACCESS_VIOLATION - 2**32, 0xC0000000, 0xC000001D]
)
def test_cell_runs_again_if_uv_crashed_under_wine(code: int) -> None:
    testbed = FakeTestbed.with_probe_results(probe_output(install_ends_with(code)), probe_output())
    evidence = run(testbed, cell("uv", wine=True))
    assert evidence.install is not None
    assert evidence.install.code == 0
    assert evidence.retried is not None
    assert evidence.retried.command.code == code
    assert evidence.retried.because == "install"
    assert [machine.closed for machine in testbed.machines] == [True, True]


@pytest.mark.parametrize(
    "code",
    [
        *(0, 1, 2, 137, 138, 140, 255),
        0x80000003,  # severity: warning
        0x40010005,  # severity: information
        0xBFFFFFFF,
    ],
)
def test_cell_does_not_run_again_if_uv_did_not_crash(code: int) -> None:
    testbed = FakeTestbed.with_probe_results(probe_output(install_ends_with(code)))
    evidence = run(testbed, cell("uv", wine=True))
    assert evidence.retried is None
    assert len(testbed.machines) == 1


@pytest.mark.parametrize(
    ("installer", "wine"), [("pip", True), ("uv", False), ("pip", False), ("uv-tool", False)]
)
def test_cell_of_another_installer_or_machine_does_not_run_again(
    installer: str, wine: bool
) -> None:
    testbed = FakeTestbed.with_probe_results(probe_output(install_ends_with(ACCESS_VIOLATION)))
    scenario = "managed" if installer == "uv-tool" else ""
    evidence = run(testbed, cell(installer, scenario=scenario, wine=wine))
    assert evidence.retried is None
    assert evidence.install is not None
    assert evidence.install.code == ACCESS_VIOLATION


def test_second_run_counts_even_if_uv_crashed_again() -> None:
    testbed = FakeTestbed.with_probe_results(
        probe_output(install_ends_with(139)), probe_output(install_ends_with(-11))
    )
    running: list[Machine] = []
    evidence = run(testbed, cell("uv", wine=True), running)
    assert evidence.retried is not None
    assert (evidence.retried.because, evidence.retried.command.code) == ("install", 139)
    assert evidence.install is not None
    assert evidence.install.code == -11
    assert running == testbed.machines
    assert len(running) == 2


def test_testbed_failure_of_the_second_run_is_the_evidence() -> None:
    evidence = run(
        FakeTestbed.with_probe_results(probe_output(install_ends_with(139)), LOST),
        cell("uv", wine=True),
    )
    assert evidence.testbed is not None
    assert evidence.install is None


# ---- the package's own tests ----


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """Return a folder with the package's own tests."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_a.py").write_text("def test_a(): ...")
    return folder


def with_tests(tool: int = 0) -> Change:
    """Return the change that adds a passed test. `tool`: exit code of pytest's installation."""
    lines = [
        {"kind": "start", "pytest": "9.2.0", "folder": "/home/user"},
        {"kind": "collected", "number": 1},
        {"kind": "begun", "node": "test_a.py::test_a"},
        {"kind": "report", "node": "test_a.py::test_a", "outcome": "passed", "text": ""},
    ]
    record = own_tests(tool=command_run("uv", "pip", "install", "pytest", code=tool))
    plugin_keys = ("pytest", "collected", "internal", "end", "counts", "begun", "within")
    host_keys = (*plugin_keys, "failures", "left_out", "sha256")

    def change(fields: Fields) -> None:
        fields["tests"] = {name: value for name, value in record.items() if name not in host_keys}
        fields["tests"]["test_events"] = "\n".join(map(json.dumps, lines))

    return change


def test_own_tests_are_copied_to_the_machine_and_their_events_are_read(tests: Path) -> None:
    testbed = FakeTestbed.with_probe_results(probe_output(with_tests()))
    evidence = run_cell.run(cell_request(testbed, cell(scenario="own-tests"), tests))
    (put,) = testbed.machines[0].copied_files
    assert put.files.keys() == {f"plugin/{PLUGIN}.py", "tests/tests/test_a.py"}
    assert put.files["tests/tests/test_a.py"] == b"def test_a(): ..."
    assert evidence.tests is not None
    assert (evidence.tests.collected, evidence.tests.counts[TestOutcome.PASSED]) == (1, 1)
    assert evidence.tests.sha256 == package_tests.digest({"tests/test_a.py": b"def test_a(): ..."})


def test_own_tests_start_in_their_project_and_a_windows_machine_gets_only_valid_paths(
    tests: Path,
) -> None:
    project = tests.parent
    for name in ("pyproject.toml", "a:b.txt", "tests/quiverdb.py", "quiverdb.py", "second.py"):
        (project / name).touch()
    for wine in (False, True):
        testbed = FakeTestbed.with_probe_results(probe_output(with_tests()))
        request = cell_request(testbed, cell("uv", scenario="own-tests", wine=wine), tests)
        prepared = request.prepared.model_copy(update={"modules": ("second",)})
        run_cell.run(request._replace(prepared=prepared))
        machine = testbed.machines[0]
        (put,) = machine.copied_files
        around = {"tests/pyproject.toml", *(() if wine else ("tests/a:b.txt",))}
        inside = {"tests/tests/test_a.py", "tests/tests/quiverdb.py"}
        assert put.files.keys() == {f"plugin/{PLUGIN}.py"} | around | inside
        plan = json.loads(machine.setup.files[PLAN])["tests"]
        assert plan["folder"] == plan["root"]
        assert plan["tests"].startswith(plan["folder"])


def test_cell_of_the_own_tests_without_their_folder_is_wrong_use() -> None:
    testbed = FakeTestbed.with_probe_results()
    with pytest.raises(WrongUse, match="debian-13-pip-own-tests"):
        run(testbed, cell(scenario="own-tests"))
    assert testbed.machines == []


def test_other_cells_do_not_copy_the_own_tests(tests: Path) -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    evidence = run_cell.run(cell_request(testbed, cell(), tests))
    assert testbed.machines[0].copied_files == []
    assert evidence.tests is None


def test_cell_runs_again_if_uv_crashed_during_the_installation_of_pytest(tests: Path) -> None:
    testbed = FakeTestbed.with_probe_results(
        probe_output(with_tests(tool=139)), probe_output(with_tests())
    )
    requested = cell("uv", scenario="own-tests", wine=True)
    evidence = run_cell.run(cell_request(testbed, requested, tests))
    assert evidence.retried is not None
    assert (evidence.retried.because, evidence.retried.command.code) == ("tool", 139)
    assert evidence.tests is not None
    assert evidence.tests.tool.code == 0


# ---- the files and the commands of a machine ----


def only_machine(testbed: FakeTestbed) -> FakeMachine:
    (machine,) = testbed.machines
    return machine


def test_probe_runs_with_the_instructions_of_the_cell() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    run(testbed, cell())
    machine = only_machine(testbed)
    assert machine.image == image("debian-13")
    assert set(machine.setup.files) == {
        *SCRIPTS.values(),
        PLAN,
        *SUBJECT.machine_files,
    }
    instructions = json.loads(machine.setup.files[PLAN])
    assert instructions["install"][-1] == "quiverdb"
    assert instructions["seconds"] == dict(TIME_LIMITS)
    (probe,) = machine.commands
    folder = LINUX.layout.folder
    assert probe.command == ("python3", "-I", "-B", f"{folder}/{PROBE}", f"{folder}/{PLAN}")
    assert (probe.user, probe.seconds) == ("root", 2 * 120 + 30 + 60 + 60)
    assert instructions["account"] == "user"


def test_probe_with_own_tests_has_a_longer_time_limit(tests: Path) -> None:
    testbed = FakeTestbed.with_probe_results(probe_output(with_tests()))
    run_cell.run(cell_request(testbed, cell(scenario="own-tests"), tests))
    assert only_machine(testbed).commands[0].seconds == 2 * 120 + 30 + 60 + 60 + 120 + 300


def test_probe_of_a_root_scenario_runs_as_root() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    evidence = run(testbed, cell(scenario="root"))
    machine = only_machine(testbed)
    assert machine.commands[-1].user == "root"
    assert json.loads(machine.setup.files[PLAN])["account"] == ""
    assert evidence.isolation == Isolation(separate=False, because="root")


def test_scenario_changes_the_machine_as_root() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    run(testbed, cell(scenario="space-path"))
    first, probe = only_machine(testbed).commands
    assert (first.command[0], first.user) == ("install", "root")
    assert probe.user == "root"


def test_failed_change_is_a_lost_machine() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output(), failing="install")
    evidence = run(testbed, cell(scenario="space-path"))
    assert evidence.has_requests
    assert evidence.testbed is not None
    assert evidence.testbed.cause == "machine-lost"
    assert evidence.testbed.where == "debian-13-pip-space-path"
    assert "no space left" in evidence.testbed.observed


def test_project_files_are_copied_to_the_project_folder(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-0.5.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    files = Release(
        origin="wheels", location="x", version="0.5.0", wheels=(ReleaseFile.read(wheel),)
    )
    testbed = FakeTestbed.with_probe_results(probe_output())
    offline = cell(scenario="offline")
    run_cell.run(CellRequest(prepared_run(files, "debian-13", testbed=testbed), SUBJECT, offline))
    (put,) = only_machine(testbed).copied_files
    assert put.files == {f"wheels/{wheel.name}": b"wheel"}
    assert put.folder == offline.scenario.cwd


def test_planted_fault_precedes_the_first_command_of_the_user() -> None:
    testbed = FakeTestbed.with_probe_results(probe_output())
    planted = cell_request(
        testbed,
        cell(),
        environment={"PIP_INDEX_URL": "x"},
        files={"/usr/bin/pip": b"#!/bin/sh"},
        command=("rm", "/usr/lib/libstdc++.so.6"),
    )
    run_cell.run(planted)
    machine = only_machine(testbed)
    assert json.loads(machine.setup.files[PLAN])["env"]["PIP_INDEX_URL"] == "x"
    (put,) = machine.copied_files
    assert (put.files, put.folder, put.mode) == ({"pip": b"#!/bin/sh"}, "/usr/bin", 0o755)
    assert machine.commands[0].command == ("rm", "/usr/lib/libstdc++.so.6")
    assert machine.commands[0].user == "root"


def test_instructions_name_the_earlier_release() -> None:
    earlier = (Path("quiverdb-0.4.0-py3-none-any.whl"),)
    files = release().model_copy(update={"earlier": earlier})
    testbed = FakeTestbed.with_probe_results(probe_output())
    run_cell.run(
        CellRequest(
            prepared_run(files, "debian-13", testbed=testbed), SUBJECT, cell(scenario="upgrade")
        )
    )
    instructions = json.loads(only_machine(testbed).setup.files[PLAN])
    assert any("0.4.0" in word for command in instructions["first"] for word in command)


@pytest.mark.parametrize("answers", [True, False])
def test_failure_names_an_engine_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    monkeypatch.setattr(Engine, "answers", lambda _: answers)
    testbed = FakeTestbed.with_probe_results(LOST)
    ready = cell_request(testbed, cell()).prepared
    network = NETWORK.model_copy(update={"engine": ENGINE.model_copy(update={"name": "far"})})
    testbed = testbed.model_copy(update={"network": network})
    testbed._probes.append(LOST)
    request = CellRequest(ready.model_copy(update={"testbed": testbed}), SUBJECT, cell())
    evidence = run_cell.run(request)
    assert evidence.engine == "far"
    assert evidence.testbed
    expected = ("machine-lost", "debian-13") if answers else ("engine-unreachable", "engine far")
    assert (evidence.testbed.cause, evidence.testbed.where) == expected
