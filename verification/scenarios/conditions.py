"""The properties of a scenario and an installer that the rules need to judge a cell."""

from __future__ import annotations

from verification.models.cell import Cell
from verification.models.expectation import Conditions

_ORDINARY = ("venv", "system")


def conditions(cell: Cell) -> Conditions:
    """Return the conditions under which the rules judge a cell."""
    scenario = cell.scenario
    return Conditions(
        title=scenario.title,
        cause="" if scenario.name in _ORDINARY else scenario.cause,
        failed_command=scenario.cause,
        uses=scenario.actions,
        offline=scenario.offline,
        own_tests=scenario.runs_tests,
        keeps_dependencies=scenario.keeps_dependencies,
        keeps_in_cache=cell.installer.keeps_in_cache,
    )
