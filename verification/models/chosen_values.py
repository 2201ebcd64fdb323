"""The values that a smoke test writes. The host chooses new values in each run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from verification.models.base import Model

ValueKind = Literal[
    "position",
    "parent",
    "label",
    "integer",
    "integer?",
    "float",
    "float?",
    "text",
    "text?",
    "flag",
    "flag?",
    "time",
    "time?",
]
"""The content of a column: the number of the row, the number of its parent, or values of a type.

With a question mark, some of the values are NULL.
"""


class TableForm(Model):
    """One table of a values file: its number of rows and the content of its columns."""

    name: str
    rows: int = Field(default=0, ge=0, le=100)
    """The number of rows of a table without a parent."""
    parent: str = ""
    """The parent table, or empty. Some of its rows have several rows of this table, others none."""
    columns: Mapping[str, ValueKind] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if bool(self.rows) == bool(self.parent):
            raise ValueError("write either `rows` or `parent`, not both")
        return self


class TableRows(Model):
    """The columns and rows of a table."""

    columns: tuple[str, ...]
    """The names of the columns."""
    rows: tuple[tuple[JsonValue, ...], ...]
    """The rows, each with one value for each column."""


class ChosenValues(Model):
    """The values that the host chose for the smoke test of a run."""

    seed: int
    """The same seed gives the same values."""
    tables: Mapping[str, TableRows]
    """The columns and rows that the package must store and return, by table."""
