"""The values that a smoke test writes. The host chooses them anew in each run."""

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
"""What a column holds: the number of the row or of its parent, or values of a type.

With a question mark, some of the values are NULL.
"""


class TableForm(Model):
    """One table of a values file: how many rows it has, and what its columns hold."""

    name: str
    rows: int = Field(default=0, ge=0, le=100)
    """The number of rows of a table without a parent."""
    parent: str = ""
    """The table to whose rows the rows of this one belong: several to some, none to others."""
    columns: Mapping[str, ValueKind] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if bool(self.rows) == bool(self.parent):
            raise ValueError("give either the number of rows or a parent")
        return self


class TableRows(Model):
    """The columns and rows of a table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]


class ChosenValues(Model):
    """The values that the host chose for the smoke test of a run."""

    seed: int
    """The same seed gives the same values."""
    tables: Mapping[str, TableRows]
    """The columns and rows that the package must store and return, by table."""
