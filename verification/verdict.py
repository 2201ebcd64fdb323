"""From causes to verdicts: of a cell, of an item, of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from verification.models.cause import Cause, in_order
from verification.models.verdict import EXIT_CODES as EXIT_CODES
from verification.models.verdict import Verdict as Verdict

# A package that failed has failed, whatever else is not known of it.
_ORDER = (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED, Verdict.VERIFIED)


def fails(cause: Cause, *, strict: bool) -> bool:
    """Return whether ``cause`` makes the package fail: broken does, flawed under --strict."""
    return cause.severity == "broken" or (strict and cause.severity == "flawed")


def judge(causes: Iterable[Cause], *, strict: bool) -> Verdict:
    """Return the verdict on what showed these causes."""
    causes = list(causes)
    if any(fails(cause, strict=strict) for cause in causes):
        return Verdict.FAILED
    if any(cause.severity == "testbed" for cause in causes):
        return Verdict.TESTBED
    return Verdict.VERIFIED


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a whole with these parts; on no part at all it is unverified."""
    found = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in found), Verdict.UNVERIFIED)


@dataclass(frozen=True)
class CellResult:
    """The verdict on one cell. ``seconds`` is wall time, its machine's start and end included."""

    id: str
    machine: str
    installer: str
    scenario: str
    verdict: Verdict
    causes: tuple[Cause, ...]
    seconds: float
    reason: str = ""
    """Why it is unverified."""
    wheel: str = ""
    """The release's wheel that the index gave to its machine; empty if it gave none."""


@dataclass(frozen=True)
class Item:
    """One item of the verification with its verdict."""

    id: str
    title: str
    verdict: Verdict
    causes: tuple[Cause, ...]
    reason: str = ""


def item(
    ident: str,
    title: str,
    *,
    causes: Iterable[Cause],
    cells: Iterable[CellResult] = (),
    strict: bool,
) -> Item:
    """Return the verdict on an item from its own causes and from its cells."""
    cells = list(cells)
    own = list(causes)
    # A note fails nothing and is told apart from the causes.
    every = in_order(
        cause
        for cause in [*own, *(cause for cell in cells for cause in cell.causes)]
        if cause.severity != "note"
    )
    verdict = worst([judge(own, strict=strict), *(cell.verdict for cell in cells)])
    reasons = {cell.reason: None for cell in cells if cell.reason}
    return Item(ident, title, verdict, every, "; ".join(reasons))
