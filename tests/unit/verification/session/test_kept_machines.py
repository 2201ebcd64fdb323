"""The machine of a failed cell keeps running."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from containers.engine import KEPT_HOURS, KEPT_PREFIX
from containers.machine import Machine
from containers.testbed import Testbed
from tests.helpers import engine_server
from tests.helpers.engine_server import EngineServer
from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_run import LINUX, cell, crash, evidence
from tests.helpers.sample_testbed import ENGINE, NETWORK, TESTBED, FakeMachine, FakeTestbed, image
from verification.models.base import DataError
from verification.models.report import KeptMachine
from verification.models.results import CellResult
from verification.models.verdict import Outcome
from verification.session import enter_machine, kept_machines
from verification.session.session import CellRun

FAILED = CellRun(evidence(), cell(LINUX, crash()))
SPEC = sample_machine("debian-13")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    """Return a fake engine that answers requests for every container."""
    with engine_server.running(tmp_path / "engine.sock") as engine:
        yield engine


def engine_testbed(url: str) -> Testbed:
    engine = ENGINE.model_copy(update={"url": url})
    return TESTBED.model_copy(update={"network": NETWORK.model_copy(update={"engine": engine})})


def machines(count: int = 1) -> list[FakeMachine]:
    """Return fake machines on which every command succeeds."""
    testbed = FakeTestbed.with_probe_results()
    return [testbed.machine(SPEC, image("debian-13")) for _ in range(count)]


def keep(
    report: Path, url: str, cell_run: CellRun, running: list[FakeMachine]
) -> list[KeptMachine]:
    """Keep the machine of a cell, and return the machines that the report then records."""
    kept_machines.keep(report, engine_testbed(url), cell_run, list[Machine](running))
    return list(kept_machines.read_kept(report))


def test_last_machine_of_a_failed_cell_is_kept_with_its_index(
    tmp_path: Path, server: EngineServer
) -> None:
    running = machines(2)
    (kept,) = keep(tmp_path, server.url, FAILED, running)
    assert [machine.closed for machine in running] == [True, False]
    assert (kept.cell, kept.container) == (LINUX, f"{KEPT_PREFIX}{LINUX}-{NETWORK.run.id}")
    assert kept.container in kept.enter
    assert f"--host {server.url}" in kept.enter
    remaining = datetime.fromisoformat(kept.until) - datetime.now(UTC)
    assert timedelta(hours=KEPT_HOURS - 1) < remaining <= timedelta(hours=KEPT_HOURS)
    assert server.paths("POST").count("/containers/c1/rename") == 2
    assert {f"/containers/container-of-{SPEC.name}/json", f"/containers/{TESTBED.index}/json"} <= {
        *server.paths("GET")
    }
    assert any("enter.py" in put.files for put in running[-1].copied_files)


def test_package_that_the_probe_removed_is_installed_again(
    tmp_path: Path, server: EngineServer
) -> None:
    running = machines()
    (kept,) = keep(tmp_path, server.url, FAILED, running)
    assert kept.installed_again
    (reinstall,) = running[0].commands
    assert reinstall.command == tuple(
        enter_machine.machine_command(SPEC, "first", "install", "after_install")
    )


def _without_removal(code: int | None) -> CellRun:
    uninstall = evidence().uninstall
    assert uninstall is not None
    failed = None if code is None else uninstall.model_copy(update={"code": code})
    return FAILED._replace(evidence=evidence().model_copy(update={"uninstall": failed}))


@pytest.mark.parametrize("code", [None, 1])
def test_package_that_was_not_removed_is_not_installed_again(
    tmp_path: Path, server: EngineServer, code: int | None
) -> None:
    running = machines()
    (kept,) = keep(tmp_path, server.url, _without_removal(code), running)
    assert not kept.installed_again
    assert running[0].commands == []


@pytest.mark.parametrize(
    "result",
    [
        cell(LINUX),
        cell(LINUX, outcome=Outcome.FALLS_BACK),
        cell(LINUX, crash(), outcome=Outcome.TESTBED),
        cell(LINUX, reason="no image"),
    ],
)
def test_machine_of_a_cell_that_did_not_fail_is_removed(
    tmp_path: Path, server: EngineServer, result: CellResult
) -> None:
    running = machines(2)
    assert keep(tmp_path, server.url, CellRun(evidence(), result), running) == []
    assert [machine.closed for machine in running] == [True, True]
    assert server.requests == []


def test_failed_cell_without_a_machine_keeps_none(tmp_path: Path, server: EngineServer) -> None:
    assert keep(tmp_path, server.url, FAILED, []) == []


def test_at_most_eight_machines_are_kept(tmp_path: Path, server: EngineServer) -> None:
    names = [f"cell-{number}" for number in range(10)]
    running = machines(10)
    for name, machine in zip(names, running, strict=True):
        result = FAILED.result.model_copy(update={"id": name})
        keep(tmp_path, server.url, FAILED._replace(result=result), [machine])
    assert [kept.cell for kept in kept_machines.read_kept(tmp_path)] == names[:8]
    assert [machine.closed for machine in running] == [False] * 8 + [True] * 2


def test_machine_that_cannot_be_kept_is_removed(tmp_path: Path) -> None:
    running = machines(2)
    assert keep(tmp_path, f"unix://{tmp_path}/none", FAILED, running) == []
    assert [machine.closed for machine in running] == [True, True]


def test_report_without_kept_machines_records_none(tmp_path: Path) -> None:
    assert list(kept_machines.read_kept(tmp_path)) == []


def test_invalid_record_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.json").write_text('{"cell": 1}')
    with pytest.raises(DataError, match=r"a\.json: cell: "):
        list(kept_machines.read_kept(tmp_path))
