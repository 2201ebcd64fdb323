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


def test_such_an_installer_runs_in_no_other_scenario() -> None:
    spec = _machine(("uv", "uv-run"), ("venv", "managed"))
    assert [cell.id for cell in cells.cells([spec], SUBJECT)] == [
        "debian-13-uv-venv",
        "debian-13-uv-run-managed",
    ]


def test_a_scenario_runs_with_the_installers_that_it_makes_sense_with() -> None:
    spec = _machine(("pip", "uv"), ("venv", "fork"))
    assert [cell.id for cell in cells.cells([spec], SUBJECT)] == [
        "debian-13-pip-venv",
        "debian-13-pip-fork",
        "debian-13-uv-venv",
    ]


@pytest.mark.parametrize("kind", ["installer", "scenario"])
def test_an_unknown_name_is_answered_with_those_there_are(kind: str) -> None:
    spec = DEBIAN.model_copy(update={f"{kind}s": ("magic",)})
    with pytest.raises(WrongUse, match=f"debian-13: unknown {kind} 'magic'; there are: "):
        cells.cells([spec], SUBJECT)


def test_a_cell_refuses_for_its_machine_or_its_scenario() -> None:
    old = machines.load()["debian-12-python-3.11"]
    assert cells.cell(old, SUBJECT, "pip", "venv").refusal == "unsupported-python"
    assert cells.cell(DEBIAN, SUBJECT, "pip", "no-binary").refusal == "no-binary"
    assert cells.cell(DEBIAN, SUBJECT, "pip", "no-binary").expectation == ExpectationKind.REFUSES
    assert cells.cell(DEBIAN, SUBJECT, "pip", "venv").refusal == ""
    assert cells.cell(DEBIAN, SUBJECT, "pip", "venv").expectation == ExpectationKind.WORKS
