from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    Change,
    Fields,
    evidence,
    failed_step,
    failing_call,
)
from tests.helpers.sample_expectation import only
from verification.models.evidence import CellEvidence
from verification.rules.round_trip import missing_errors, open_files, wrong_answers

RETURNED, FILE = f"{CELL}: round-trip", f"{CELL}: database file"


def returned(rows: list[list[object]], *columns: str) -> Change:
    table = {"columns": list(columns or ("id", "units")), "rows": rows}
    return lambda f: f["exercise"]["steps"]["round-trip"]["value"].update(returned={"Plant": table})


def stored(table: Fields) -> Change:
    return lambda fields: fields["on_disk"]["tables"].update(Plant=table)


def answers(*changes: Change) -> list[tuple[str, dict[str, object]]]:
    """Return where each wrong answer is, and its facts."""
    causes = list(wrong_answers(evidence(*changes)))
    assert {cause.name for cause in causes} <= {"round-trip-failed"}
    return [(cause.where, dict(cause.facts)) for cause in causes]


def test_right_answers_are_no_fault_in_any_order_of_rows_and_columns() -> None:
    assert answers() == []
    assert answers(returned([[2, None], [1, 20]])) == []
    assert answers(returned([[20, 1], [None, 2]], "units", "id")) == []


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 20.0], [2, None]],
        [[1, "20"], [2, None]],
        [[1, True], [2, None]],
        [[1, 20], [2, 0]],
        [[1, None], [2, 20]],
        [[1, 20]],
        [[1, 20], [2, None], [2, None]],
    ],
)
def test_a_cell_of_another_value_or_type_is_a_wrong_answer(rows: list[list[object]]) -> None:
    table = {"columns": ["id", "units"], "rows": rows}
    number = 2 if rows[0] == [1, None] else 1
    facts = {"table": "Plant", "rows": number}
    assert answers(returned(rows)) == [(RETURNED, facts)]
    assert answers(stored(table)) == [(FILE, facts)]
    assert answers(returned(rows), stored(table)) == [(RETURNED, facts), (FILE, facts)]


@pytest.mark.parametrize(("first", "second"), [(20, -1), ("é", "e\u0301"), (0.1, 0.10000000149)])
def test_the_message_has_the_cell_that_differs(first: object, second: object) -> None:
    def choose(fields: Fields) -> None:
        fields["chosen"]["tables"]["Plant"]["rows"][0][1] = first
        fields["on_disk"]["tables"]["Plant"] = fields["chosen"]["tables"]["Plant"]

    (cause,) = wrong_answers(evidence(choose, returned([[2, None], [1, second]])))
    assert cause.where == RETURNED
    assert "Plant.units" in cause.message


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("on_disk"),
        lambda fields: fields.update(on_disk={"read_by": "x", "error": "not a database"}),
        lambda fields: fields.update(on_disk={"read_by": "x", "tables": {}}),
        stored({"columns": ["id"], "rows": [[1], [2]]}),
    ],
)
def test_a_file_without_the_values_is_a_wrong_answer(change: Change) -> None:
    assert answers(change) == [(FILE, {"table": "Plant"})]


def test_a_table_that_is_not_returned_is_a_wrong_answer() -> None:
    assert answers(returned([[1], [2]], "id")) == [(RETURNED, {"table": "Plant"})]
    nothing = lambda f: f["exercise"]["steps"]["round-trip"]["value"]["returned"].clear()  # noqa: E731
    assert answers(nothing) == [(RETURNED, {"table": "Plant"})]


def test_what_the_machine_says_was_chosen_does_not_count() -> None:
    def echo(fields: Fields) -> None:
        fields["chosen"]["tables"]["Plant"]["rows"][0][1] = 2**63 - 1

    assert [where for where, _ in answers(echo)] == [RETURNED, FILE]


def test_nothing_is_compared_where_nothing_was_chosen_or_the_round_trip_failed() -> None:
    wrong = returned([[1, 21]])
    assert answers(wrong, lambda fields: fields.pop("chosen")) == []
    failed = failed_step("round-trip", "broken")
    assert answers(lambda f: f["exercise"]["steps"].update({"round-trip": failed})) == []
    assert answers(lambda fields: fields["exercise"]["steps"].pop("round-trip")) == []


def closed(**changes: object) -> CellEvidence:
    return evidence(lambda f: f["exercise"]["steps"]["closed-file"]["value"].update(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"handles": ["data.db"]},
        {"remains": ["data.db-wal"]},
        {"refused": "PermissionError: [WinError 32]"},
    ],
)
def test_a_file_that_is_still_open_is_named(changes: dict[str, object]) -> None:
    name, where, _, _ = only(open_files(closed(**changes)))
    assert (name, where) == ("file-left-open", f"{CELL}: data.db")


def test_a_closed_file_is_no_fault() -> None:
    assert list(open_files(closed())) == []
    for change in (
        lambda f: f["exercise"]["steps"]["closed-file"].update(value=None),
        lambda f: f["exercise"]["steps"].pop("closed-file"),
    ):
        assert list(open_files(evidence(change))) == []


def test_a_file_left_open_by_a_failed_round_trip_only_follows() -> None:
    observed = evidence(
        lambda f: f["exercise"]["steps"]["closed-file"]["value"].update(handles=["data.db"]),
        lambda f: f["exercise"]["steps"].update(
            {"round-trip": failed_step("round-trip", "broken")}
        ),
    )
    assert list(open_files(observed)) == []


@pytest.mark.parametrize("raised", ["", "RuntimeError"])
def test_a_call_that_does_not_raise_its_error_is_named(raised: str) -> None:
    call = failing_call(raised=raised, as_expected=False)
    observed = evidence(
        lambda f: f["exercise"]["steps"]["failing-calls"].update(value=[failing_call(), call])
    )
    name, where, _, facts = only(missing_errors(observed))
    assert (name, where) == ("error-not-raised", f"{CELL}: failing-calls")
    assert facts == {"call": call["call"], "expected": "QuiverError", "raised": raised}


def test_errors_that_are_raised_are_no_fault() -> None:
    assert list(missing_errors(evidence())) == []
    without = evidence(lambda f: f["exercise"]["steps"].pop("failing-calls"))
    assert list(missing_errors(without)) == []
