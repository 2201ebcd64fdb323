"""Compare stored and returned values with the chosen ones; check errors and close()."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from verification.models.cause import Cause, FactValue
from verification.models.chosen_values import TableRows
from verification.models.evidence import CellEvidence
from verification.rules.finding import Finding, finding

_CAUSE = "round-trip-failed"
_MAX_CHARACTERS = 80
"""How many characters of a value a message shows."""
Row = tuple[str, ...]
"""The values of a row as JSON. JSON keeps their types: 20 and 20.0 differ."""


class ObservedTable(NamedTuple):
    """One table as the package returned it, or as it is in the database file."""

    table: TableRows | None
    absence: Finding
    """The fault if there is no table."""
    location: str


def forged_use(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield causes if the process reports steps that the probe did not observe.

    The probe reads the libraries of the process during the step ``mapped``. If it did not, another
    program than the exercise wrote the steps, or the reading failed. The database file decides: the
    package must have stored the chosen values in it.
    """
    mapped, isolation = evidence.steps.mapped, evidence.isolation
    run = evidence.exercise
    if run is None or isolation is None or not isolation.separate or not mapped or not mapped.ok:
        return
    if run.maps and not run.maps.error:
        return
    if stored := list(_stored_faults(evidence)):
        yield from stored
        return
    reason = run.maps.error if run.maps else "the process did not ask for it"
    yield finding("evidence-refused", "unobserved", step="mapped", reason=reason).at(evidence)


def wrong_answers(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each table whose returned or stored values differ from the chosen ones.

    A failed round trip has a separate cause.
    """
    step = evidence.steps.round_trip
    if evidence.chosen is None or step is None or not step.ok:
        return
    returned = step.value.returned if step.value else {}
    for name, chosen in evidence.chosen.tables.items():
        absence = finding(_CAUSE, "not-returned", table=name)
        observed = ObservedTable(returned.get(name), absence, "round-trip")
        if fault := _difference(name, chosen, observed):
            yield fault.at(evidence, observed.location)
    yield from _stored_faults(evidence)


def _stored_faults(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each table of the database file that does not have the chosen values."""
    database = evidence.on_disk
    stored = database.tables if database else {}
    error = (database.error if database else "") or "no table of this name"
    for name, chosen in (evidence.chosen.tables if evidence.chosen else {}).items():
        absence = finding(_CAUSE, "not-stored", table=name, error=error)
        observed = ObservedTable(stored.get(name), absence, "database file")
        if fault := _difference(name, chosen, observed):
            yield fault.at(evidence, observed.location)


def _difference(name: str, chosen: TableRows, observed: ObservedTable) -> Finding | None:
    """Return the first difference of a table, with the number of rows that differ."""
    if observed.table is None:
        return observed.absence
    columns = chosen.columns
    if absent := tuple(sorted(set(columns) - set(observed.table.columns))):
        return finding(_CAUSE, "columns", table=name, columns=absent)
    expected, actual = Counter(_rows(chosen, columns)), Counter(_rows(observed.table, columns))
    missing, extra = sorted((expected - actual).elements()), sorted((actual - expected).elements())
    if not missing and not extra:
        return None
    facts: dict[str, FactValue] = {
        "table": name,
        "rows": max(len(missing), len(extra)),
        "total": len(chosen.rows),
    }
    if not extra:
        return finding(_CAUSE, "missing-row", **facts, row=_cut(", ".join(missing[0])))
    if not missing:
        return finding(_CAUSE, "extra-row", **facts, row=_cut(", ".join(extra[0])))
    return finding(_CAUSE, "value", **facts, **_first_value(columns, missing, extra))


def _rows(table: TableRows, columns: Sequence[str]) -> list[Row]:
    indexes = [table.columns.index(column) for column in columns]
    return [tuple(json.dumps(row[index]) for index in indexes) for row in table.rows]


def _first_value(
    columns: Sequence[str], missing: Sequence[Row], extra: Sequence[Row]
) -> dict[str, str]:
    """Return the first value that differs, of the two most similar rows."""
    expected = missing[0]
    actual = max(extra, key=lambda row: [value == expected[n] for n, value in enumerate(row)])
    index = next(n for n, value in enumerate(actual) if value != expected[n])
    return {
        "column": columns[index],
        "actual": _cut(actual[index]),
        "written": _cut(expected[index]),
    }


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."


def open_files(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause if the database file is still open after the package closed it."""
    step, round_trip = evidence.steps.closed_file, evidence.steps.round_trip
    value = step.value if step else None
    if value is None or not round_trip or not round_trip.ok:
        return
    for form in ("refused", "handles", "remains"):
        if getattr(value, form):
            fault = finding("file-left-open", form, **value.model_dump())
            yield fault.at(evidence, "data.db")
            return


def missing_errors(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each call that must fail and did not raise the package's error."""
    step = evidence.steps.failing_calls
    for call in step.value if step and step.value else ():
        if not call.as_expected:
            form = "raised" if call.raised else "returned"
            facts = call.model_dump(exclude={"as_expected"})
            yield finding("error-not-raised", form, **facts).at(evidence, "failing-calls")
