"""Causes grouped for a report: by remedy, equal causes once, following causes under their cause."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from verification.models.cause import Cause, Severity, sorted_causes
from verification.models.results import CellResult

_MAX_SCENARIOS = 3
"""How many names of scenarios a sentence lists."""


@dataclass(frozen=True)
class Occurrence:
    """One cause, with the causes that only follow from it."""

    cause: Cause
    following: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class CauseEntry:
    """Equal causes of several cells, files or libraries."""

    cause: Cause
    """The first of them."""
    step: str
    """The step, command or file of the cell; empty without a cell, or for a cell as a whole."""
    locations: tuple[str, ...]
    """The ids of the cells, or the locations of causes without a cell, such as a file or a job."""
    differing_values: tuple[str, ...] = ()
    """The values of the one fact in which the causes differ, such as libraries; empty if they do
    not differ."""
    following: tuple[CauseEntry, ...] = ()
    """The causes that only follow from them."""

    @property
    def others(self) -> tuple[str, ...]:
        """The differing values that the message of the first cause does not name."""
        return self.differing_values[1:]

    @property
    def text(self) -> str:
        """The message of the first cause, and the differing values that it does not name."""
        return self.cause.message + (f" (also {', '.join(self.others)})" if self.others else "")


@dataclass(frozen=True)
class CauseGroup:
    """The occurrences that one remedy fixes."""

    name: str
    severity: Severity
    remedy: str
    entries: tuple[CauseEntry, ...]
    """The occurrences, with equal ones as one entry."""


def occurrences(causes: Iterable[Cause]) -> tuple[Occurrence, ...]:
    """Return the causes that count, the most severe first, each with its following causes."""
    ordered = sorted_causes(causes)
    first: dict[tuple[str, str], Cause] = {}
    for cause in ordered:
        first.setdefault((cause.name, _beginning(cause)), cause)
    roots = {cause: _root(cause, first) for cause in ordered}
    following: dict[Cause, list[Cause]] = {}
    for cause in ordered:
        if roots[cause] != cause:
            following.setdefault(roots[cause], []).append(cause)
    return tuple(
        Occurrence(cause, tuple(following.get(cause, ())))
        for cause in ordered
        if roots[cause] == cause
    )


def _root(cause: Cause, first: Mapping[tuple[str, str], Cause]) -> Cause:
    """Return the first cause in the chain that ``cause`` follows from, or ``cause`` itself.

    ``first`` has the most severe cause for each name and beginning of a location.
    """
    chain = [cause]
    while followed_cause := first.get((chain[-1].follows, _beginning(cause))):
        if followed_cause in chain:
            return cause
        chain.append(followed_cause)
    return chain[-1]


def _beginning(cause: Cause) -> str:
    """Return the cell or the file of a location."""
    return cause.where.partition(":")[0]


def groups(causes: Iterable[Cause], cells: Container[str]) -> tuple[CauseGroup, ...]:
    """Return the causes that count, grouped by name, severity and remedy, the most severe first.

    ``cells`` are the ids of the cells of the report.
    """
    by_remedy: dict[tuple[str, Severity, str], list[Occurrence]] = {}
    for occurrence in occurrences(causes):
        cause = occurrence.cause
        by_remedy.setdefault((cause.name, cause.severity, cause.remedy), []).append(occurrence)
    return tuple(CauseGroup(*key, entries(group, cells)) for key, group in by_remedy.items())


def cause_names(causes: Iterable[Cause]) -> tuple[str, ...]:
    """Return the names of the causes that count, without duplicates."""
    return tuple(dict.fromkeys(occurrence.cause.name for occurrence in occurrences(causes)))


def name_list(causes: Iterable[Cause]) -> str:
    """Return the names of the causes that count, separated by commas."""
    return ", ".join(cause_names(causes))


# ---- equal causes ----


def entries(found: Iterable[Occurrence], cells: Container[str]) -> tuple[CauseEntry, ...]:
    """Return the occurrences, with equal ones as one entry, in the order of the first ones.

    Two causes are equal if they differ only in the cell. Of the causes of the same cells, those
    that differ in one fact only are one entry as well, such as two libraries that need the same
    missing one. If a machine confirms what the inspection reports of a library, the entry of the
    machine also has the files of the inspection. ``cells`` are the ids of the cells of the report.
    """
    by_content: dict[object, list[Occurrence]] = {}
    for occurrence in found:
        cause = occurrence.cause
        facts = frozenset(cause.facts.items())
        key = (cause.name, cause.severity, cause.remedy, _step(cause, cells), cause.message, facts)
        by_content.setdefault(key, []).append(occurrence)
    merged: list[CauseEntry] = []
    numbers: dict[object, list[int]] = {}
    for entry in (_entry(equal, cells) for equal in by_content.values()):
        cause = entry.cause
        same = (entry.step, frozenset(entry.locations), cause.name, cause.severity, cause.remedy)
        comparable = numbers.setdefault(same, [])
        for number in comparable:
            if values := _differing_values(merged[number], entry):
                other = merged[number]
                following = tuple(dict.fromkeys((*other.following, *entry.following)))
                merged[number] = replace(other, differing_values=values, following=following)
                break
        else:
            comparable.append(len(merged))
            merged.append(entry)
    return tuple(_with_inspected_files(merged))


def _with_inspected_files(merged: Sequence[CauseEntry]) -> Iterator[CauseEntry]:
    """Yield the entries. An entry of files that an entry of cells confirms becomes a part of it."""
    confirmed: dict[int, list[CauseEntry]] = {}
    for entry in merged:
        if entry.step:
            continue
        for number, other in enumerate(merged):
            if other.step and _is_same_library(entry.cause, other.cause):
                confirmed.setdefault(number, []).append(entry)
                break
    parts = {id(entry) for entries_of_files in confirmed.values() for entry in entries_of_files}
    for number, entry in enumerate(merged):
        if id(entry) not in parts:
            files = [file for part in confirmed.get(number, ()) for file in part.locations]
            yield replace(entry, locations=(*entry.locations, *files))


def _is_same_library(first: Cause, second: Cause) -> bool:
    """Return whether two causes have the same library and do not differ in a common fact."""
    common = first.facts.keys() & second.facts.keys()
    return (
        "library" in common
        and all(first.facts[name] == second.facts[name] for name in common)
        and (first.name, first.severity, first.remedy)
        == (second.name, second.severity, second.remedy)
    )


def _entry(equal: Sequence[Occurrence], cells: Container[str]) -> CauseEntry:
    following = dict.fromkeys(other for occurrence in equal for other in occurrence.following)
    return CauseEntry(
        cause=equal[0].cause,
        step=_step(equal[0].cause, cells),
        locations=tuple(dict.fromkeys(_location(occurrence.cause, cells) for occurrence in equal)),
        following=entries(map(Occurrence, following), cells),
    )


def _differing_values(entry: CauseEntry, other: CauseEntry) -> tuple[str, ...]:
    """Return the values of the one fact in which two entries of the same cells differ.

    Empty if they differ in more than one fact.
    """
    first, second = entry.cause, other.cause
    names = first.facts.keys() | second.facts.keys()
    different = [name for name in names if first.facts.get(name) != second.facts.get(name)]
    values = [str(cause.facts.get(name, "")) for name in different for cause in (first, second)]
    if len(values) != 2 or not all(values):
        return ()
    known = entry.differing_values or (values[0],)
    if known[0] != values[0] or first.message.replace(values[0], values[1]) != second.message:
        return ()
    return (*known, values[1])


def _location(cause: Cause, cells: Container[str]) -> str:
    """Return the cell of a cause, or its whole location if it does not belong to a cell."""
    beginning = _beginning(cause)
    return beginning if beginning in cells else cause.where


def _step(cause: Cause, cells: Container[str]) -> str:
    beginning, _, step = cause.where.partition(":")
    return step.strip() if beginning in cells else ""


def locations_sentence(locations: Iterable[str], cells: Mapping[str, CellResult]) -> str:
    """Return where causes were observed, such as ``windows-wine with pip and uv (system)``.

    ``cells`` are the cells of the report by id. A location that is not a cell is listed as it is.
    """
    installers: dict[str, dict[str, None]] = {}
    scenarios: dict[str, None] = {}
    others: list[str] = []
    for location in locations:
        if cell := cells.get(location):
            installers.setdefault(cell.machine, {})[cell.installer] = None
            scenarios[cell.scenario] = None
        else:
            others.append(location)
    parts = [f"{machine} with {' and '.join(names)}" for machine, names in installers.items()]
    many = len(scenarios) > _MAX_SCENARIOS
    suffix = f"{len(scenarios)} scenarios" if many else ", ".join(scenarios)
    sentence = ", ".join(parts) + (f" ({suffix})" if parts else "")
    return "; ".join(filter(None, (sentence, *others)))


def user_text(entry: CauseEntry, cells: Mapping[str, CellResult]) -> str:
    """Return the text that the user sees of a failure, complete; empty if nothing is recorded.

    It is the exception of the step, or the output of the command, of the first cell that has one.
    A broken cause without such a text has that of the crash of its cell. An entry without its own
    text has that of its first following cause. ``cells`` are the cells of the report by id.
    """
    is_broken = entry.cause.severity is Severity.BROKEN
    names = (entry.step, *(("exercise",) if is_broken else ()))
    for location, name in itertools.product(entry.locations, names):
        cell = cells.get(location)
        if cell and cell.summary and (text := cell.summary.errors.get(name)):
            return text
    return next(filter(None, (user_text(other, cells) for other in entry.following)), "")
