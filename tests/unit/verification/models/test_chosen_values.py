from __future__ import annotations

import pydantic
import pytest

from verification.models.chosen_values import ChosenValues, TableForm, TableRows

COLUMNS = {"id": "position", "units": "integer?"}


def form(**fields: object) -> TableForm:
    return TableForm.model_validate({"name": "Plant", "columns": COLUMNS} | fields)


def test_a_table_has_a_number_of_rows_or_a_parent() -> None:
    assert (form(rows=9).rows, form(rows=9).parent) == (9, "")
    assert (form(parent="Region").rows, form(parent="Region").parent) == (0, "Region")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rows": 9, "parent": "Region"},
        {"rows": -1},
        {"rows": 101},
        {"rows": 9, "columns": {}},
        {"rows": 9, "columns": {"id": "number"}},
        {"rows": 9, "columns": {"id": "position?"}},
        {"rows": 9, "more": 1},
    ],
)
def test_another_form_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        form(**fields)


def test_the_types_of_chosen_values_are_kept_in_json() -> None:
    row = (2**63 - 1, -(2**63), 5e-324, 20.0, "e\u0301\U0001f30a", "", None)
    table = TableRows(columns=tuple("abcdefg"), rows=(row,))
    values = ChosenValues(seed=7, tables={"Plant": table})
    again = ChosenValues.model_validate_json(values.model_dump_json())
    assert list(map(repr, again.tables["Plant"].rows[0])) == list(map(repr, row))
