"""Find contradictions between the static inspection and the machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from verification.models.cause import Cause, Severity
from verification.models.machine import MachineSpec
from verification.models.results import CellResult
from verification.models.run import WheelSummary
from verification.models.verdict import Outcome
from verification.rules.finding import finding
from verification.rules.pure_python import PURE_PYTHON_FALLBACK

# The causes that keep a library from loading on every clean machine. The inspection reports them.
LOADING = frozenset(
    {
        "damaged-library",
        "missing-bundled-library",
        "missing-runtime-library",
        "symbol-not-found",
        "wrong-architecture",
        "wrong-load-path",
    }
)
_IN_FILES = LOADING - {"wrong-load-path"}
"""The causes that depend only on the files: the inspection does not run the package's code."""
_IMPORTS = frozenset({"missing-dependency", "standard-library-mismatch"})
"""The causes that make the import of the package fail. The inspection reports them."""
LAYERS_DISAGREE = "layers-disagree"
_LOADED = (Outcome.WORKS, Outcome.WORKS_FLAWED)


class Contradiction(NamedTuple):
    """A contradiction between the inspection of a wheel and the machines that installed it."""

    cause: Cause
    """The note ``layers-disagree``."""
    about: tuple[Cause, ...]
    """The contradicted causes. They do not count."""
    cells: tuple[str, ...] = ()
    """The ids of the cells whose failure is contradicted."""
    resolved: bool = False
    """True if the execution proves that the inspection is mistaken."""


def find_contradictions(
    wheel: WheelSummary, release_causes: Sequence[Cause], cells: Sequence[CellResult]
) -> Iterator[Contradiction]:
    """Yield each contradiction between the inspection of a wheel and the machines.

    `release_causes` are the causes of the set of wheels. `cells` installed this wheel, on machines
    that have only what their platform tag allows.
    """
    loaded = [cell for cell in cells if cell.outcome in _LOADED]
    cell_causes = {cause.name for cell in cells for cause in cell.causes}
    if loaded:
        # A cause that one machine confirms is no contradiction: other machines may have more.
        broken = [c for c in wheel.causes if c.severity is Severity.BROKEN]
        confirmed = cell_causes | (LOADING if PURE_PYTHON_FALLBACK in cell_causes else set())
        contradicted = (c for c in broken if c.name in LOADING and c.name not in confirmed)
        yield from (_contradicted_by_machine(cause, loaded) for cause in contradicted)
        yield from (_executed(cause, loaded) for cause in broken if _runs_at_import(cause))
    elif not any(c.severity is Severity.BROKEN for c in (*release_causes, *wheel.causes)):
        yield from filter(None, (_missing_in_inspection(cell, wheel) for cell in cells))


def _contradicted_by_machine(cause: Cause, loaded: Sequence[CellResult]) -> Contradiction:
    """Return the contradiction of a static cause and the cells that executed the wheel."""
    proofs = [cell.id for cell in loaded if _disproves(cell, cause)]
    ids = proofs or [cell.id for cell in loaded]
    form = "loaded" if proofs else "works"
    note = finding(LAYERS_DISAGREE, form, reported=cause.name, cells=tuple(ids)).cause(cause.where)
    return Contradiction(note, (cause,), resolved=bool(proofs))


def _runs_at_import(cause: Cause) -> bool:
    """Return whether a static cause is about an import that runs when the package is imported."""
    return cause.name in _IMPORTS and not cause.facts.get("in_function")


def _executed(cause: Cause, loaded: Sequence[CellResult]) -> Contradiction:
    """Return the contradiction of a missing module and the cells that imported the package.

    An import that a clean machine executed is not *broken*.
    """
    ids, module = tuple(cell.id for cell in loaded), str(cause.facts.get("module", ""))
    note = finding(LAYERS_DISAGREE, "imported", reported=cause.name, module=module, cells=ids)
    return Contradiction(note.cause(cause.where), (cause,), resolved=True)


def _disproves(cell: CellResult, cause: Cause) -> bool:
    """Return whether a cell that works proves that a static cause is wrong.

    The process must have mapped the library of the cause. If the cause names a needed library, the
    process must have mapped that library as well. Both must be installed files, because a machine
    can have a library that its platform tag does not include. A missing symbol proves nothing: it
    may fail only when it is called.
    """
    if cause.name == "symbol-not-found":
        return False
    mapped = [path.lower() for path in cell.mapped]
    # The wheel's name precedes the path if a platform has several wheels.
    names = [f"/{cause.facts.get('path') or cause.where.rpartition(': ')[2]}"]
    if library := cause.facts.get("library"):
        names.append(f"/{library}")
    return all(any(path.endswith(name.lower()) for path in mapped) for name in names)


def _missing_in_inspection(cell: CellResult, wheel: WheelSummary) -> Contradiction | None:
    """Return the contradiction of a failing cell and an inspection that does not report it."""
    about = tuple(cause for cause in cell.causes if _is_inspected(cause, wheel))
    if not about:
        return None
    shown = tuple(sorted({cause.name for cause in about}))
    fault = finding(LAYERS_DISAGREE, "not-reported", shown=shown, wheel=wheel.file)
    return Contradiction(fault.cause(cell.id), about, (cell.id,))


def _is_inspected(cause: Cause, wheel: WheelSummary) -> bool:
    """Return whether the inspection of a wheel can report this cause of a machine.

    The inspection reads the headers of the wheel's libraries. It cannot report a library or a
    function that code of the package looks up at run time.
    """
    library, needed_by = (str(cause.facts.get(key, "")).lower() for key in ("library", "needed_by"))
    match cause.name:
        case "missing-bundled-library" | "missing-runtime-library":
            return needed_by in wheel.libraries or library in wheel.libraries | wheel.needed
        case "symbol-not-found":
            return needed_by in wheel.libraries
        case _:
            return cause.name in _IN_FILES and library in wheel.libraries


def works_only_with_extras(
    machines: Iterable[MachineSpec], cells: Sequence[CellResult]
) -> list[Cause]:
    """Return a note for each cell that works only with additional software on its machine."""
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
        if spec is None or not spec.additional_software or cell.outcome not in _LOADED:
            continue
        if (spec.os, spec.python) in failing:
            note = finding("works-with-more", "extras", extras=tuple(spec.additional_software))
            causes.append(note.cause(cell.id))
    return causes
