"""Causes grouped for a report: by remedy, and each consequence under its cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verification.models.cause import Cause, Severity, sorted_causes


@dataclass(frozen=True)
class Occurrence:
    """One cause, with the causes that only follow from it."""

    cause: Cause
    following: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class CauseGroup:
    """The occurrences that one remedy fixes."""

    name: str
    severity: Severity
    remedy: str
    occurrences: tuple[Occurrence, ...]


def occurrences(causes: Iterable[Cause]) -> tuple[Occurrence, ...]:
    """Return the causes that count, the heaviest first, each with its consequences."""
    ordered = sorted_causes(causes)
    roots = {cause: _root(cause, ordered) for cause in ordered}
    return tuple(
        Occurrence(cause, tuple(c for c in ordered if c != cause and roots[c] == cause))
        for cause in ordered
        if roots[cause] == cause
    )


def _root(cause: Cause, causes: Sequence[Cause]) -> Cause:
    """Return the first cause in the chain that ``cause`` follows from, or ``cause`` itself."""
    chain = [cause]
    while followed_cause := _followed_cause(chain[-1], causes):
        if followed_cause in chain:
            return cause
        chain.append(followed_cause)
    return chain[-1]


def _followed_cause(cause: Cause, causes: Sequence[Cause]) -> Cause | None:
    if not cause.follows:
        return None
    cell = _cell(cause)
    return next((c for c in causes if c.name == cause.follows and _cell(c) == cell), None)


def _cell(cause: Cause) -> str:
    return cause.where.partition(":")[0]


def groups(causes: Iterable[Cause]) -> tuple[CauseGroup, ...]:
    """Return the causes that count, grouped by name, severity and remedy, the heaviest first."""
    by_remedy: dict[tuple[str, Severity, str], list[Occurrence]] = {}
    for occurrence in occurrences(causes):
        cause = occurrence.cause
        by_remedy.setdefault((cause.name, cause.severity, cause.remedy), []).append(occurrence)
    return tuple(CauseGroup(*key, tuple(group)) for key, group in by_remedy.items())


def cause_names(causes: Iterable[Cause]) -> tuple[str, ...]:
    """Return the names of the causes that count, without duplicates."""
    return tuple(dict.fromkeys(occurrence.cause.name for occurrence in occurrences(causes)))


def name_list(causes: Iterable[Cause]) -> str:
    """Return the names of the causes that count, separated by commas."""
    return ", ".join(cause_names(causes))
