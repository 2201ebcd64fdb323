"""What the layers and the machines say of one another: agreement, disagreement, and the cure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.rules.catalogue import catalogue
from verification.verdict import CellResult, Verdict

# What keeps a library from loading on every clean machine, whatever its age: both layers see these.
LOADING = (
    "missing-bundled-library",
    "missing-runtime-library",
    "symbol-not-found",
    "wrong-architecture",
)


def is_comparable(cell: Cell) -> bool:
    """Return whether a cell and the static layer speak of the same: of what every machine has.

    Where the installer refuses nothing is loaded.
    """
    return cell.machine.clean and not cell.machine.lacks and not cell.refusal


def checked(static: ReleaseInspection, cells: Sequence[CellResult]) -> list[Cause]:
    """Return where cells of clean machines contradict the static layer, wheel by wheel.

    Of a release with several wheels for a system, a cell tells of the one that it was given.
    """
    found = []
    for wheel in static.wheels:
        alone = len(static.wheels) == 1
        mine = [cell for cell in cells if cell.wheel == wheel.file or (alone and not cell.wheel)]
        found += check([*static.causes, *wheel.causes], mine)
    return found


def check(static: Sequence[Cause], cells: Sequence[CellResult]) -> list[Cause]:
    """Return each cell of a clean machine that contradicts the static layer about loading.

    Where the package loads on one of them, what another lacks is no question of the wheel's files.
    """
    promised = {cause.name for cause in static if cause.name in LOADING}
    first = next((cause for cause in static if cause.name in LOADING), None)
    explained = any(cause.severity == "broken" for cause in static)
    loads = any(cell.verdict is Verdict.VERIFIED for cell in cells)
    found = []
    for cell in cells:
        shown = {cause.name for cause in cell.causes if cause.name in LOADING}
        if promised and cell.verdict is Verdict.VERIFIED and first:
            seen = f"the static layer says {first.name} ({first.where}), and the wheel works here"
        elif shown and not explained and not loads:
            names = ", ".join(sorted(shown))
            seen = f"the machine shows {names}, of which the static layer saw nothing"
        else:
            continue
        found.append(catalogue().cause("layers-disagree", where=cell.id, seen=seen))
    return found


def cured(machines: Iterable[MachineSpec], cells: Sequence[CellResult]) -> list[Cause]:
    """Return a note for each thing that a machine has, with which a failing package works."""
    specs = {spec.name: spec for spec in machines}
    failing = {
        (spec.os, spec.python)
        for cell in cells
        if (spec := specs.get(cell.machine)) and spec.clean
        if any(cause.name == "missing-runtime-library" for cause in cell.causes)
    }
    found = []
    for cell in cells:
        spec = specs.get(cell.machine)
        if spec is None or not spec.has or cell.verdict is not Verdict.VERIFIED:
            continue
        if (spec.os, spec.python) in failing:
            seen = f"works only with {', '.join(spec.has)}, which no clean machine has"
            found.append(catalogue().cause("works-with-more", where=cell.id, seen=seen))
    return found
