from __future__ import annotations

import json

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    Change,
    Fields,
    evidence,
    failed_step,
    failing_call,
)
from tests.helpers.sample_expectation import only_cause
from verification.models.evidence import CellEvidence
from verification.rules.round_trip import (
    forged_use,
    missing_errors,
    open_files,
    wrong_answers,
)

RETURNED, FILE = f"{CELL}: round-trip", f"{CELL}: database file"


def returned(rows: list[list[object]], *columns: str) -> Change:
    table = {"columns": list(columns or ("id", "units")), "rows": rows}
    return lambda f: f["exercise"]["steps"]["round-trip"]["value"].update(returned={"Plant": table})


def stored(table: Fields) -> Change:
    return lambda fields: fields["on_disk"]["tables"].update(Plant=table)


def answers(*changes: Change) -> list[tuple[str, dict[str, object]]]:
    """Return location and facts of each wrong answer."""
    causes = list(wrong_answers(evidence(*changes)))
    assert {cause.name for cause in causes} <= {"round-trip-failed"}
    return [(cause.where, dict(cause.facts)) for cause in causes]


def test_right_answers_in_any_order_have_no_cause() -> None:
    assert answers() == []
    assert answers(returned([[2, None], [1, 20]])) == []
    assert answers(returned([[20, 1], [None, 2]], "units", "id")) == []


@pytest.mark.parametrize(
    ("rows", "facts"),
    [
        ([[1, 20.0], [2, None]], {"column": "units", "actual": "20.0", "written": "20"}),
        ([[1, "20"], [2, None]], {"column": "units", "actual": '"20"', "written": "20"}),
        ([[1, True], [2, None]], {"column": "units", "actual": "true", "written": "20"}),
        ([[1, 20], [2, 0]], {"column": "units", "actual": "0", "written": "null"}),
        (
            [[1, None], [2, 20]],
            {"column": "units", "actual": "null", "written": "20", "rows": 2},
        ),
        ([[1, 20]], {"row": "2, null"}),
        ([[1, 20], [2, None], [2, None]], {"row": "2, null"}),
    ],
)
def test_other_value_type_or_row_is_a_wrong_answer(
    rows: list[list[object]], facts: dict[str, object]
) -> None:
    table = {"columns": ["id", "units"], "rows": rows}
    facts = {"table": "Plant", "rows": 1, "total": 2} | facts
    assert answers(returned(rows)) == [(RETURNED, facts)]
    assert answers(stored(table)) == [(FILE, facts)]
    assert answers(returned(rows), stored(table)) == [(RETURNED, facts), (FILE, facts)]


@pytest.mark.parametrize(("first", "second"), [(20, -1), ("é", "e\u0301"), (0.1, 0.10000000149)])
def test_wrong_answer_names_the_column_and_both_values(first: object, second: object) -> None:
    def choose(fields: Fields) -> None:
        fields["chosen"]["tables"]["Plant"]["rows"][0][1] = first
        fields["on_disk"]["tables"]["Plant"] = fields["chosen"]["tables"]["Plant"]

    (cause,) = wrong_answers(evidence(choose, returned([[2, None], [1, second]])))
    values = {"actual": json.dumps(second), "written": json.dumps(first)}
    assert cause.where == RETURNED
    assert cause.facts.items() >= {"table": "Plant", "column": "units", **values}.items()


def test_long_values_are_shortened() -> None:
    ((_, facts),) = answers(returned([[1, "x" * 200], [2, None]]))
    assert 80 < len(str(facts["actual"])) < 100


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda fields: fields.pop("on_disk"), ""),
        (
            lambda fields: fields.update(on_disk={"read_by": "x", "error": "not a database"}),
            "not a database",
        ),
        (lambda fields: fields.update(on_disk={"read_by": "x", "tables": {}}), ""),
    ],
)
def test_file_without_the_table_is_a_wrong_answer(change: Change, error: str) -> None:
    ((where, facts),) = answers(change)
    assert (where, facts["table"]) == (FILE, "Plant")
    assert error in str(facts["error"])


def test_table_without_a_column_is_a_wrong_answer() -> None:
    facts = {"table": "Plant", "columns": ("units",)}
    assert answers(stored({"columns": ["id"], "rows": [[1], [2]]})) == [(FILE, facts)]
    assert answers(returned([[1], [2]], "id")) == [(RETURNED, facts)]


def test_table_that_is_not_returned_is_a_wrong_answer() -> None:
    change = [lambda f: f["exercise"]["steps"]["round-trip"]["value"]["returned"].clear()]
    assert answers(*change) == [(RETURNED, {"table": "Plant"})]


def test_values_are_compared_with_the_choice_of_the_host() -> None:
    def echo(fields: Fields) -> None:
        fields["chosen"]["tables"]["Plant"]["rows"][0][1] = 2**63 - 1

    assert [where for where, _ in answers(echo)] == [RETURNED, FILE]


def test_no_comparison_without_a_choice_or_after_a_failed_round_trip() -> None:
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
        {"handles": ("data.db",)},
        {"remains": ("data.db-wal",)},
        {"refused": "PermissionError: [WinError 32]"},
    ],
)
def test_open_file_is_reported(changes: dict[str, object]) -> None:
    facts = {"handles": (), "remains": (), "refused": "", **changes}
    expected = ("file-left-open", f"{CELL}: data.db", facts)
    assert only_cause(open_files(closed(**changes))) == expected


def test_closed_file_has_no_cause() -> None:
    assert list(open_files(closed())) == []
    for change in (
        lambda f: f["exercise"]["steps"]["closed-file"].update(value=None),
        lambda f: f["exercise"]["steps"].pop("closed-file"),
    ):
        assert list(open_files(evidence(change))) == []


def test_open_file_after_a_failed_round_trip_is_ignored() -> None:
    observed = evidence(
        lambda f: f["exercise"]["steps"]["closed-file"]["value"].update(handles=["data.db"]),
        lambda f: f["exercise"]["steps"].update(
            {"round-trip": failed_step("round-trip", "broken")}
        ),
    )
    assert list(open_files(observed)) == []


@pytest.mark.parametrize("raised", ["", "RuntimeError"])
def test_call_without_its_error_is_reported(raised: str) -> None:
    call = failing_call(raised=raised, as_expected=False)
    observed = evidence(
        lambda f: f["exercise"]["steps"]["failing-calls"].update(value=[failing_call(), call])
    )
    facts = {name: call[name] for name in ("call", "expected", "raised", "message")}
    expected = ("error-not-raised", f"{CELL}: failing-calls", facts)
    assert only_cause(missing_errors(observed)) == expected


def test_raised_errors_have_no_cause() -> None:
    assert list(missing_errors(evidence())) == []
    without = evidence(lambda f: f["exercise"]["steps"].pop("failing-calls"))
    assert list(missing_errors(without)) == []


# ---- steps that the probe did not observe ----


def separate(fields: Fields) -> None:
    fields["isolation"] = {"separate": True}


def read(libraries: list[str] | None, error: str = "") -> Change:
    return lambda fields: fields["exercise"].update(maps={"libraries": libraries, "error": error})


def empty_database(fields: Fields) -> None:
    fields["on_disk"] = {"read_by": "SQLite 3", "error": "the project's folder has no data.db"}


def forged(*changes: Change) -> set[str]:
    return {cause.name for cause in forged_use(evidence(*changes))}


def test_steps_that_the_probe_did_not_observe_are_refused() -> None:
    assert forged(separate) == {"evidence-refused"}
    assert forged(separate, read(None, "PermissionError")) == {"evidence-refused"}


def test_database_file_decides_about_steps_that_the_probe_did_not_observe() -> None:
    assert forged(separate, empty_database) == {"round-trip-failed"}


def test_observed_steps_have_no_cause() -> None:
    assert forged(separate, read([])) == set()
    assert forged() == set(), "not recorded"
    assert forged(lambda fields: fields.update(isolation={"separate": False})) == set()
    unfinished: Change = lambda fields: fields["exercise"]["steps"].pop("mapped")  # noqa: E731
    assert forged(separate, unfinished) == set()
