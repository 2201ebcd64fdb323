"""Opening a shell in a machine: the scripts on the machine, and the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.endpoint import DEFAULT, Endpoint
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_testbed import ENGINE, FakeMachine, FakeTestbed, image, prepared_run
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import TestbedFailure
from verification.scenarios import cells
from verification.session import enter_machine
from verification.session.run_cell import CellRequest

LINUX = sample_machine("debian-13")
WINE = sample_machine("windows-wine", system="windows", scenarios=("system",))


def machine_of(testbed: FakeTestbed) -> FakeMachine:
    return testbed.machine(LINUX, image("debian-13"))


def cell_request(
    testbed: FakeTestbed, scenario: str = "venv", tests: Path | None = None
) -> CellRequest:
    cell = cells.cell(LINUX, SUBJECT, "pip", scenario)
    return CellRequest(prepared_run(None, "debian-13", testbed=testbed), SUBJECT, cell, tests)


def test_machine_is_prepared_for_its_cell() -> None:
    testbed = FakeTestbed.with_probe_results()
    machine = machine_of(testbed)
    enter_machine.prepare_for_entry(machine, cell_request(testbed, "space-path"))
    assert [(ran.command[0], ran.user) for ran in machine.commands] == [
        ("install", "root"),
        ("python3", "user"),
    ]
    setup = ("python3", "/opt/app/enter.py", "/opt/app/plan.json", "setup")
    assert machine.commands[-1].command == setup
    (put,) = machine.copied_files
    assert put.files.keys() == {"enter.py", "shellrc"}
    assert b"debian-13" in put.files["shellrc"]


def test_machine_has_the_own_tests_only_if_its_cell_runs_them(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").touch()
    testbed = FakeTestbed.with_probe_results()
    machine = machine_of(testbed)
    enter_machine.prepare_for_entry(machine, cell_request(testbed, "own-tests", tmp_path))
    assert any(f"tests/{tmp_path.name}/test_a.py" in put.files for put in machine.copied_files)
    without_tests = machine_of(testbed)
    enter_machine.prepare_for_entry(without_tests, cell_request(testbed, "venv", tmp_path))
    names = [name for put in without_tests.copied_files for name in put.files]
    assert not any(name.endswith("test_a.py") for name in names)


def test_failed_set_up_is_a_lost_machine() -> None:
    testbed = FakeTestbed.with_probe_results(failing="setup")
    with pytest.raises(TestbedFailure) as raised:
        enter_machine.prepare_for_entry(machine_of(testbed), cell_request(testbed))
    assert raised.value.cause == "machine-lost"
    assert raised.value.where.startswith("debian-13-pip-venv")
    assert raised.value.message == "no space left"


def test_command_of_the_machine_runs_the_named_steps_or_the_shell() -> None:
    shell = ["python3", "/opt/app/enter.py", "/opt/app/plan.json"]
    assert enter_machine.machine_command(LINUX) == shell
    assert enter_machine.machine_command(LINUX, "first", "install") == [*shell, "first", "install"]
    assert enter_machine.machine_command(WINE) == [
        *("wine", "python.exe", "Z:\\opt\\app\\enter.py", "Z:\\opt\\app\\plan.json"),
    ]


@pytest.mark.parametrize(
    ("endpoint", "terminal", "options"),
    [
        (DEFAULT, True, ["exec", "-it"]),
        (DEFAULT, False, ["exec", "-i"]),
        (
            Endpoint(url="unix:///none", origin="DOCKER_HOST"),
            True,
            ["--host", "unix:///none", "exec", "-it"],
        ),
        (
            Endpoint(url="tcp://far.example.invalid:2376", origin="a test", context="far"),
            True,
            ["--context", "far", "exec", "-it"],
        ),
    ],
)
def test_command_of_the_host_names_the_engine_if_it_is_not_the_default(
    endpoint: Endpoint, terminal: bool, options: list[str]
) -> None:
    engine = ENGINE.model_copy(update=endpoint.model_dump())
    assert enter_machine.host_command(engine, "kept", LINUX, terminal=terminal) == [
        "docker",
        *options,
        *("--user", "user", "kept"),
        *enter_machine.machine_command(LINUX),
    ]
