from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_wheels import SUBJECT
from verification.models.cell import Cell
from verification.models.expectation import Conditions
from verification.models.scenario import Scenario
from verification.rules.catalogue import catalogue
from verification.scenarios import scenarios
from verification.scenarios.cells import cell
from verification.scenarios.conditions import conditions

LINUX = scenarios.load()["linux"]
SCENARIOS = [scenario for known in scenarios.load().values() for scenario in known.values()]


def changed(values: Mapping[str, object] | None = None, name: str = "space-path") -> Cell:
    """Return a cell whose scenario has this name and these values."""
    scenario = Scenario.model_validate({**dict(LINUX["venv"]), "name": name, **(values or {})})
    return cell(sample_machine(), SUBJECT, "pip", "venv").model_copy(update={"scenario": scenario})


@pytest.mark.parametrize("name", ["venv", "system"])
def test_an_ordinary_scenario_has_no_cause_for_a_fault(name: str) -> None:
    result = conditions(changed({"cause": "path-not-supported"}, name))
    assert (result.cause, result.failed_command) == ("", "path-not-supported")


def test_any_other_scenario_has_its_cause_for_a_fault() -> None:
    result = conditions(changed({"cause": "path-not-supported"}, "user"))
    assert (result.cause, result.failed_command) == ("path-not-supported",) * 2


@pytest.mark.parametrize(
    ("field", "value", "condition"),
    [
        ("title", "t", "title"),
        ("actions", ("a", "b"), "uses"),
        ("offline", True, "offline"),
        ("runs_tests", True, "own_tests"),
        ("keeps_dependencies", True, "keeps_dependencies"),
    ],
)
def test_a_field_of_the_scenario_sets_one_condition(
    field: str, value: object, condition: str
) -> None:
    ordinary = conditions(changed())
    assert ordinary.model_dump()[condition] != value
    different = conditions(changed({field: value}))
    assert different == ordinary.model_copy(update={condition: value})


@pytest.mark.parametrize("keeps", [True, False])
def test_an_installer_can_keep_the_package_in_its_cache(keeps: bool) -> None:
    ordinary = changed()
    installer = ordinary.installer.model_copy(update={"keeps_in_cache": keeps})
    result = conditions(ordinary.model_copy(update={"installer": installer}))
    assert result.keeps_in_cache is keeps


def test_the_causes_of_all_scenarios_are_in_the_catalogue() -> None:
    for scenario in SCENARIOS:
        result = conditions(changed().model_copy(update={"scenario": scenario}))
        assert isinstance(result, Conditions)
        assert result.failed_command in catalogue(), scenario.name
        assert not result.cause or result.cause in catalogue(), scenario.name
