from __future__ import annotations

import pytest

from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec
from verification.models.verdict import ExpectationKind
from verification.scenarios import cells, machines
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
SUBJECT = load()


def _machine(installers: tuple[str, ...], scenarios: tuple[str, ...]) -> MachineSpec:
    return DEBIAN.model_copy(update={"installers": installers, "scenarios": scenarios})


def test_an_installer_runs_only_in_its_scenarios() -> None:
    spec = _machine(("uv", "uv-run"), ("venv", "managed"))
    assert [cell.id for cell in cells.cells([spec], SUBJECT)] == [
        "debian-13-uv-venv",
        "debian-13-uv-run-managed",
    ]


def test_a_scenario_runs_only_with_its_installers() -> None:
    spec = _machine(("pip", "uv"), ("venv", "fork"))
    assert [cell.id for cell in cells.cells([spec], SUBJECT)] == [
        "debian-13-pip-venv",
        "debian-13-pip-fork",
        "debian-13-uv-venv",
    ]


@pytest.mark.parametrize("kind", ["installer", "scenario"])
def test_an_unknown_name_is_reported_with_the_known_names(kind: str) -> None:
    spec = DEBIAN.model_copy(update={f"{kind}s": ("magic",)})
    known = {"installer": "uv-tool", "scenario": "venv"}[kind]
    with pytest.raises(WrongUse, match=rf"debian-13.* {kind} .*magic.*\b{known}\b"):
        cells.cells([spec], SUBJECT)


def test_the_machine_or_the_scenario_of_a_cell_can_require_a_refusal() -> None:
    old_python = machines.load()["debian-12-python-3.11"]
    assert cells.cell(old_python, SUBJECT, "pip", "venv").refusal == "unsupported-python"
    assert cells.cell(DEBIAN, SUBJECT, "pip", "no-binary").refusal == "no-binary"
    assert cells.cell(DEBIAN, SUBJECT, "pip", "no-binary").expectation == ExpectationKind.REFUSES
    assert cells.cell(DEBIAN, SUBJECT, "pip", "venv").refusal == ""
    assert cells.cell(DEBIAN, SUBJECT, "pip", "venv").expectation == ExpectationKind.WORKS
