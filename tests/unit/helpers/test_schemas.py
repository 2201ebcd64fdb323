from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from tests.helpers import schemas
from verification.models.base import Model
from verification.models.evidence import CellEvidence
from verification.models.report import Report


class _Inner(Model):
    """What is inside."""

    size: int | None = None


class _Outer(Model):
    names: tuple[str, ...] = Field(description="Some | names.")
    pair: tuple[str, int]
    inner: _Inner = Field(alias="in")
    word: Literal["a", "b"] = "a"
    by_name: Mapping[str, _Inner] = {}


def test_a_page_has_each_field_with_its_kind_and_meaning() -> None:
    lines = schemas.page(_Outer, "Outer").splitlines()

    assert lines[0] == "## Outer"
    assert "| `names` | list of string | Some \\| names. |" in lines
    assert "| `pair` | list of string, integer |  |" in lines
    assert "| `in` | [_Inner](#_inner) |  |" in lines
    assert "| `word` | `a` or `b` |  |" in lines
    assert "| `by_name` | [_Inner](#_inner) by name |  |" in lines
    assert lines[lines.index("## _Inner") + 2] == "What is inside."
    assert "| `size` | integer or null |  |" in lines


def test_a_table_keeps_bars_and_breaks_inside_its_cells() -> None:
    lines = schemas.table(("a", "b"), [("x|y", "one\ntwo")]).splitlines()
    assert lines[2] == "| x\\|y | one two |"


def test_every_field_is_required_of_what_is_written_whole() -> None:
    assert schemas.schema(_Outer)["required"] == ["names", "pair", "in", "word", "by_name"]
    assert schemas.schema(_Outer, every_field=False)["required"] == ["names", "pair", "in"]


def test_a_docstring_below_a_field_is_its_description() -> None:
    definitions = schemas.schema(CellEvidence)["$defs"]
    assert isinstance(definitions, dict)
    for name in ("CommandRun", "ImportRun"):  # its own, and one that is inherited
        properties = schemas._schema_of(schemas._schema_of(definitions[name])["properties"])
        code = schemas._schema_of(properties["code"])
        assert str(code["description"]).startswith("The exit code")


def test_an_unknown_key_is_refused_by_the_published_schema() -> None:
    assert schemas.schema(Report)["additionalProperties"] is False
