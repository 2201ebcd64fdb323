from __future__ import annotations

import pydantic
import pytest

from verification.models.chosen_values import ChosenValues, TableForm, TableRows

COLUMNS = {"id": "position", "units": "integer?"}


def table_form(**fields: object) -> TableForm:
    return TableForm.model_validate({"name": "Plant", "columns": COLUMNS} | fields)


def test_a_table_has_a_number_of_rows_or_a_parent() -> None:
    root, child = table_form(rows=9), table_form(parent="Region")
    assert (root.rows, root.parent) == (9, "")
    assert (child.rows, child.parent) == (0, "Region")


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
        {"rows": 9, "other": 1},
    ],
)
def test_an_invalid_table_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        table_form(**fields)


def test_json_keeps_the_types_of_chosen_values() -> None:
    row = (2**63 - 1, -(2**63), 5e-324, 20.0, "e\u0301\U0001f30a", "", None)
    table = TableRows(columns=tuple("abcdefg"), rows=(row,))
    values = ChosenValues(seed=7, tables={"Plant": table})
    copy = ChosenValues.model_validate_json(values.model_dump_json())
    assert list(map(repr, copy.tables["Plant"].rows[0])) == list(map(repr, row))
