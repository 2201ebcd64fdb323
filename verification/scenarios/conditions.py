"""The properties of a scenario and an installer that the rules need to judge a cell."""

from __future__ import annotations

from verification.models.cell import Cell
from verification.models.expectation import Conditions
from verification.models.scenario import Scenario

_ORDINARY = ("venv", "system")


def default_cause(scenario: Scenario) -> str:
    """Return the name of the cause if no rule names a more exact one; empty for plain use."""
    return "" if scenario.name in _ORDINARY else scenario.cause


def conditions(cell: Cell) -> Conditions:
    """Return the conditions under which the rules judge a cell."""
    scenario = cell.scenario
    return Conditions(
        title=scenario.title,
        cause=default_cause(scenario),
        failed_command=scenario.cause,
        uses=scenario.actions,
        offline=scenario.offline,
        own_tests=scenario.runs_tests,
        keeps_dependencies=scenario.keeps_dependencies,
        keeps_in_cache=cell.installer.keeps_in_cache,
    )
