"""Divide the cells of a run into shards, which several hosts run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from containers.progress import typical_seconds
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.run import Shard

_MACHINE_SECONDS = 10.0
"""The seconds that a shard needs for the image of each of its machines."""


def parse(text: str) -> Shard:
    """Return the shard that the value of ``--shard`` names, such as ``2/3``.

    Raises:
        WrongUse: the value is not a shard.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise WrongUse(f"--shard {text}: not a shard; write K/N with K from 1 to N, such as 1/3")
    return Shard(number=int(match[1]), total=int(match[2]))


def seconds(cell: Cell) -> float:
    """Return the typical seconds of a cell."""
    kinds: list[str] = [cell.machine.os]
    if cell.machine.runs_on == "wine" and "pip" in cell.installer.name:
        kinds = ["wine-pip"]
    if cell.runs_tests:
        kinds.append("own-tests")
    return sum(typical_seconds(f"cell {kind}") for kind in kinds)


def assign(cells: Sequence[Cell], total: int, *, workflow: bool) -> dict[str, int]:
    """Return the number of the shard of each cell, by the id of the cell.

    The result depends only on the arguments, so that all hosts divide the cells in the same way.
    The longest cells come first, and each goes to the shard that ends earliest. ``workflow`` is
    True if the first shard runs the release workflow.

    Raises:
        WrongUse: there are more shards than cells.
    """
    if total > len(cells):
        raise WrongUse(f"--shard K/{total}: the run has only {len(cells)} cells; use fewer shards")
    ends = [0.0] * total
    ends[0] = typical_seconds("workflow") if workflow else 0.0
    machines: list[set[str]] = [set() for _ in ends]
    numbers: dict[str, int] = {}
    for cell in sorted(cells, key=lambda cell: (-seconds(cell), cell.id)):

        def end(index: int, cell: Cell = cell) -> float:
            image = 0.0 if cell.machine.name in machines[index] else _MACHINE_SECONDS
            return ends[index] + image + seconds(cell)

        # Each shard has a cell, also if the workflow takes longer than all of them.
        empty = [index for index, names in enumerate(machines) if not names]
        must_fill = len(cells) - len(numbers) <= len(empty)
        index = min(empty if must_fill else range(total), key=end)
        ends[index] = end(index)
        machines[index].add(cell.machine.name)
        numbers[cell.id] = index + 1
    return numbers
