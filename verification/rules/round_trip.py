"""Compare what the package stored and returned with what the host chose; check errors and close."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from verification.models.cause import Cause
from verification.models.chosen_values import TableRows
from verification.models.evidence import CellEvidence
from verification.rules.finding import finding

_SHOWN = 80
"""How many characters of a value a message shows."""
Row = tuple[str, ...]
"""The values of a row as JSON, which keeps their types: 20 and 20.0 differ."""


class Observed(NamedTuple):
    """One table as the package returned it, or as the database file has it."""

    table: TableRows | None
    missing: str
    """Why there is no table."""
    location: str


def wrong_answers(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the tables whose values, returned or in the file, differ from the chosen values.

    A round trip that failed has its own cause.
    """
    step = evidence.steps.round_trip
    if evidence.chosen is None or step is None or not step.ok:
        return
    returned = step.value.returned if step.value else {}
    database = evidence.on_disk
    stored = database.tables if database else {}
    no_table = (database.error if database else "") or "no table of this name"
    for name, chosen in evidence.chosen.tables.items():
        for observed in (
            Observed(returned.get(name), "the package returned nothing of it", "round-trip"),
            Observed(stored.get(name), no_table, "database file"),
        ):
            yield from _differences(evidence, name, chosen, observed)


def _differences(
    evidence: CellEvidence, name: str, chosen: TableRows, observed: Observed
) -> Iterator[Cause]:
    """Yield the first difference of a table, with the number of rows that differ."""
    if observed.table is None:
        fault = finding("round-trip-failed", f"{name}: {observed.missing}", table=name)
        yield fault.at(evidence, observed.location)
        return
    columns = chosen.columns
    if absent := sorted(set(columns) - set(observed.table.columns)):
        message = f"{name} has no column {', '.join(absent)}"
        yield finding("round-trip-failed", message, table=name).at(evidence, observed.location)
        return
    expected, actual = Counter(_rows(chosen, columns)), Counter(_rows(observed.table, columns))
    missing, extra = sorted((expected - actual).elements()), sorted((actual - expected).elements())
    if not missing and not extra:
        return
    number = max(len(missing), len(extra))
    message = f"{_first_difference(name, columns, missing, extra)}; {number} of "
    message += f"{len(chosen.rows)} rows differ"
    fault = finding("round-trip-failed", message, table=name, rows=number)
    yield fault.at(evidence, observed.location)


def _rows(table: TableRows, columns: Sequence[str]) -> list[Row]:
    indexes = [table.columns.index(column) for column in columns]
    return [tuple(json.dumps(row[index]) for index in indexes) for row in table.rows]


def _first_difference(
    name: str, columns: Sequence[str], missing: Sequence[Row], extra: Sequence[Row]
) -> str:
    """Return the first value that differs, of the two rows that are the most alike."""
    if not missing or not extra:
        fault, row = ("is missing", missing[0]) if missing else ("was never written", extra[0])
        return f"{name}: the row {_cut(', '.join(row))} {fault}"
    expected = missing[0]
    actual = max(extra, key=lambda row: [value == expected[n] for n, value in enumerate(row)])
    index = next(n for n, value in enumerate(actual) if value != expected[n])
    written = _cut(expected[index])
    return f"{name}.{columns[index]} is {_cut(actual[index])}, and {written} was written"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def open_files(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the database file that is still open after the package closed it."""
    step, round_trip = evidence.steps.closed_file, evidence.steps.round_trip
    value = step.value if step else None
    if value is None or not round_trip or not round_trip.ok:
        return
    reasons = [f"the process has {handle} open" for handle in value.handles]
    reasons += [f"{name} is still there" for name in value.remains]
    reasons += [f"it cannot be renamed and deleted: {value.refused}"] if value.refused else []
    if reasons:
        yield finding("file-left-open", "; ".join(reasons)).at(evidence, "data.db")


def missing_errors(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the calls that must fail and did not raise the package's error."""
    step = evidence.steps.failing_calls
    for call in step.value if step and step.value else ():
        if not call.as_expected:
            result = f"it raised {call.raised}: {call.message}" if call.raised else call.message
            observed = f"{call.call}: {result}; it must raise {call.expected}"
            facts = {"call": call.call, "expected": call.expected, "raised": call.raised}
            yield finding("error-not-raised", observed, **facts).at(evidence, "failing-calls")
