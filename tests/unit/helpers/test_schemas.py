"""The pages and the JSON schemas that are generated from models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from tests.helpers import schemas
from verification.models.base import Model
from verification.models.evidence import CellEvidence
from verification.models.report import Report


class _Inner(Model):
    """A model in a model."""

    size: int | None = None


class _Outer(Model):
    names: tuple[str, ...] = Field(description="Some | names.")
    pair: tuple[str, int]
    inner: _Inner = Field(alias="in")
    word: Literal["a", "b"] = "a"
    by_name: Mapping[str, _Inner] = {}


def test_a_page_has_each_field_with_its_type_and_description() -> None:
    lines = schemas.page(_Outer, "Outer").splitlines()

    assert lines[0] == "## Outer"
    assert "| `names` | list of string | Some \\| names. |" in lines
    assert "| `pair` | list of string, integer |  |" in lines
    assert "| `in` | [_Inner](#_inner) |  |" in lines
    assert "| `word` | `a` or `b` |  |" in lines
    assert "| `by_name` | [_Inner](#_inner) by name |  |" in lines
    assert lines[lines.index("## _Inner") + 2] == "A model in a model."
    assert "| `size` | integer or null |  |" in lines


def test_a_table_escapes_bars_and_joins_lines_in_its_cells() -> None:
    lines = schemas.table(("a", "b"), [("x|y", "one\ntwo")]).splitlines()
    assert lines[2] == "| x\\|y | one two |"


def test_a_schema_requires_all_fields_or_those_without_a_default() -> None:
    assert schemas.schema(_Outer)["required"] == ["names", "pair", "in", "word", "by_name"]
    assert schemas.schema(_Outer, all_required=False)["required"] == ["names", "pair", "in"]


def test_a_docstring_below_a_field_is_its_description() -> None:
    definitions = schemas.schema(CellEvidence)["$defs"]
    assert isinstance(definitions, dict)
    for name in ("CommandRun", "ImportRun"):  # its own field, and an inherited one
        properties = schemas._schema_of(schemas._schema_of(definitions[name])["properties"])
        code = schemas._schema_of(properties["code"])
        assert str(code["description"]).startswith("The exit code")


def test_the_published_schema_allows_no_unknown_keys() -> None:
    assert schemas.schema(Report)["additionalProperties"] is False
