from __future__ import annotations

import pydantic
import pytest

from tests.helpers.sample_machines import sample_machine
from verification.models.cell import Cell
from verification.models.verdict import ExpectationKind
from verification.scenarios import installers, scenarios

LINUX = scenarios.load()["linux"]


def cell(scenario: str = "venv", refusal: str = "") -> Cell:
    return Cell(
        machine=sample_machine("debian-13"),
        installer=installers.named("uv"),
        scenario=LINUX[scenario],
        refusal=refusal,
    )


def test_the_id_contains_machine_installer_and_scenario() -> None:
    assert cell().id == "debian-13-uv-venv"


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [("", ExpectationKind.WORKS), ("unsupported-python", ExpectationKind.REFUSES)],
)
def test_a_cell_with_a_refusal_must_refuse(refusal: str, kind: ExpectationKind) -> None:
    assert cell(refusal=refusal).expectation is kind


def test_own_tests_run_only_in_their_scenario() -> None:
    assert [name for name in LINUX if cell(name).runs_tests] == ["own-tests"]


def test_a_cell_is_unchanged_by_json_and_refuses_unknown_fields() -> None:
    assert Cell.model_validate_json(cell().model_dump_json()) == cell()
    with pytest.raises(pydantic.ValidationError, match="other"):
        Cell.model_validate({**dict(cell()), "other": 1})
