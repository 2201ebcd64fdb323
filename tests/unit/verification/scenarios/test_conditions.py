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
EVERY = [one for known in scenarios.load().values() for one in known.values()]


def changed(values: Mapping[str, object] | None = None, name: str = "space-path") -> Cell:
    """Return a cell whose scenario has this name and these values."""
    made = cell(sample_machine(), SUBJECT, "pip", "venv")
    scenario = Scenario.model_validate({**dict(LINUX["venv"]), "name": name, **(values or {})})
    return made.model_copy(update={"scenario": scenario})


@pytest.mark.parametrize("name", ["venv", "system"])
def test_in_an_ordinary_scenario_a_fault_has_its_own_cause(name: str) -> None:
    of = conditions(changed({"cause": "path-not-supported"}, name))
    assert (of.cause, of.failed_command) == ("", "path-not-supported")


def test_in_any_other_scenario_a_fault_of_it_alone_has_the_scenarios_cause() -> None:
    of = conditions(changed({"cause": "path-not-supported"}, "user"))
    assert (of.cause, of.failed_command) == ("path-not-supported",) * 2


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
def test_a_field_of_the_scenario_is_one_condition(
    field: str, value: object, condition: str
) -> None:
    ordinary = conditions(changed())
    assert ordinary.model_dump()[condition] != value
    different = conditions(changed({field: value}))
    assert different == ordinary.model_copy(update={condition: value})


@pytest.mark.parametrize("keeps", [True, False])
def test_an_installer_may_keep_the_package_in_its_cache(keeps: bool) -> None:
    made = changed()
    installer = made.installer.model_copy(update={"keeps_in_cache": keeps})
    assert conditions(made.model_copy(update={"installer": installer})).keeps_in_cache is keeps


@pytest.mark.parametrize("scenario", EVERY, ids=lambda one: f"{one.system}-{one.name}")
def test_the_causes_of_every_scenario_are_in_the_catalogue(scenario: Scenario) -> None:
    of = conditions(changed().model_copy(update={"scenario": scenario}))
    assert isinstance(of, Conditions)
    assert of.failed_command in catalogue()
    assert not of.cause or of.cause in catalogue()
