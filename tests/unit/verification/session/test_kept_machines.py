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
    """Return an engine that has every container it is asked for."""
    with engine_server.running(tmp_path / "engine.sock") as running:
        yield running


def on_engine(url: str) -> Testbed:
    engine = ENGINE.model_copy(update={"url": url})
    return TESTBED.model_copy(update={"network": NETWORK.model_copy(update={"engine": engine})})


def machines(count: int = 1) -> list[FakeMachine]:
    """Return machines on which every command succeeds."""
    testbed = FakeTestbed.of()
    return [testbed.machine(SPEC, image("debian-13")) for _ in range(count)]


def keep(report: Path, url: str, ran: CellRun, held: list[FakeMachine]) -> list[KeptMachine]:
    """Keep the machine of a cell; return the machines that the report has then."""
    kept_machines.keep(report, on_engine(url), ran, list[Machine](held))
    return list(kept_machines.read_kept(report))


def test_the_last_machine_of_a_failed_cell_is_kept_with_its_index(
    tmp_path: Path, server: EngineServer
) -> None:
    held = machines(2)
    (kept,) = keep(tmp_path, server.url, FAILED, held)
    assert [machine.closed for machine in held] == [True, False]
    assert (kept.cell, kept.container) == (LINUX, f"{KEPT_PREFIX}{LINUX}-{NETWORK.run.id}")
    assert kept.container in kept.enter
    assert f"--host {server.url}" in kept.enter
    left = datetime.fromisoformat(kept.until) - datetime.now(UTC)
    assert timedelta(hours=KEPT_HOURS - 1) < left <= timedelta(hours=KEPT_HOURS)
    assert server.paths("POST").count("/containers/c1/rename") == 2
    assert {f"/containers/container-of-{SPEC.name}/json", f"/containers/{TESTBED.index}/json"} <= {
        *server.paths("GET")
    }
    assert any("enter.py" in put.files for put in held[-1].put_files)


def test_a_package_that_the_probe_removed_is_installed_again(
    tmp_path: Path, server: EngineServer
) -> None:
    held = machines()
    (kept,) = keep(tmp_path, server.url, FAILED, held)
    assert kept.installed_again
    (again,) = held[0].ran
    assert again.command == tuple(
        enter_machine.machine_command(SPEC, "first", "install", "after_install")
    )


def _without_removal(code: int | None) -> CellRun:
    uninstall = evidence().uninstall
    assert uninstall is not None
    changed = None if code is None else uninstall.model_copy(update={"code": code})
    return FAILED._replace(evidence=evidence().model_copy(update={"uninstall": changed}))


@pytest.mark.parametrize("code", [None, 1])
def test_a_package_that_was_not_removed_stays_as_it_is(
    tmp_path: Path, server: EngineServer, code: int | None
) -> None:
    held = machines()
    (kept,) = keep(tmp_path, server.url, _without_removal(code), held)
    assert not kept.installed_again
    assert held[0].ran == []


@pytest.mark.parametrize(
    "result",
    [
        cell(LINUX),
        cell(LINUX, outcome=Outcome.FALLS_BACK),
        cell(LINUX, crash(), outcome=Outcome.TESTBED),
        cell(LINUX, reason="no image"),
    ],
)
def test_the_machine_of_another_cell_is_removed(
    tmp_path: Path, server: EngineServer, result: CellResult
) -> None:
    held = machines(2)
    assert keep(tmp_path, server.url, CellRun(evidence(), result), held) == []
    assert [machine.closed for machine in held] == [True, True]
    assert server.requests == []


def test_a_cell_without_a_machine_keeps_none(tmp_path: Path, server: EngineServer) -> None:
    assert keep(tmp_path, server.url, FAILED, []) == []


def test_at_most_eight_machines_are_kept(tmp_path: Path, server: EngineServer) -> None:
    names = [f"cell-{number}" for number in range(10)]
    held = machines(10)
    for name, machine in zip(names, held, strict=True):
        result = FAILED.result.model_copy(update={"id": name})
        keep(tmp_path, server.url, FAILED._replace(result=result), [machine])
    assert [kept.cell for kept in kept_machines.read_kept(tmp_path)] == names[:8]
    assert [machine.closed for machine in held] == [False] * 8 + [True] * 2


def test_a_machine_that_cannot_be_kept_is_removed(tmp_path: Path) -> None:
    held = machines(2)
    assert keep(tmp_path, f"unix://{tmp_path}/none", FAILED, held) == []
    assert [machine.closed for machine in held] == [True, True]


def test_a_report_without_kept_machines_has_none(tmp_path: Path) -> None:
    assert list(kept_machines.read_kept(tmp_path)) == []


def test_a_record_of_another_form_names_its_field(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.json").write_text('{"cell": 1}')
    with pytest.raises(DataError, match=r"a\.json: cell: "):
        list(kept_machines.read_kept(tmp_path))
