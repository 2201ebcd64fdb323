"""Find contradictions between the static inspection and the machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from verification.models.cause import Cause, Severity
from verification.models.machine import MachineSpec
from verification.models.results import CellResult
from verification.models.verdict import Outcome
from verification.rules.catalogue import catalogue

# What keeps a library from loading on every clean machine. Both sides report these.
LOADING = frozenset(
    {
        "missing-bundled-library",
        "missing-runtime-library",
        "symbol-not-found",
        "wrong-architecture",
    }
)
_LOADED = (Outcome.WORKS, Outcome.WORKS_FLAWED)


def disagreements(static: Sequence[Cause], cells: Sequence[CellResult]) -> list[Cause]:
    """Return a cause for each cell that contradicts the inspection of its wheel about loading.

    `cells` ran on machines that have what their platform promises and nothing more. If the package
    loads on one of them, what another lacks says nothing about the files of the wheel.
    """
    loading = [cause for cause in static if cause.name in LOADING]
    explained = any(cause.severity is Severity.BROKEN for cause in static)
    loads = any(cell.outcome in _LOADED for cell in cells)
    causes = []
    for cell in cells:
        shown = sorted({cause.name for cause in cell.causes if cause.name in LOADING})
        if loading and cell.outcome in _LOADED:
            first = loading[0]
            observed = f"the inspection reports {first.name} ({first.where}); the wheel works here"
        elif shown and not explained and not loads:
            observed = f"the machine shows {', '.join(shown)}; the inspection reports nothing of it"
        else:
            continue
        causes.append(catalogue().cause("layers-disagree", where=cell.id, observed=observed))
    return causes


def works_only_with_extras(
    machines: Iterable[MachineSpec], cells: Sequence[CellResult]
) -> list[Cause]:
    """Return a note for each cell that works only because its machine has more than a clean one."""
    specs = {spec.name: spec for spec in machines}
    failing = {
        (spec.os, spec.python)
        for cell in cells
        if (spec := specs.get(cell.machine)) and spec.clean
        if any(cause.name == "missing-runtime-library" for cause in cell.causes)
    }
    causes = []
    for cell in cells:
        spec = specs.get(cell.machine)
        if spec is None or not spec.has or cell.outcome not in _LOADED:
            continue
        if (spec.os, spec.python) in failing:
            observed = f"works only with {', '.join(spec.has)}, which no clean machine has"
            causes.append(catalogue().cause("works-with-more", where=cell.id, observed=observed))
    return causes
