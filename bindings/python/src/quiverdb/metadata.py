"""What a database tells about its own shape, and the constants of its interface."""

from dataclasses import dataclass
from enum import IntEnum


class DataType(IntEnum):
    """The type of an attribute."""

    INTEGER = 0
    FLOAT = 1
    STRING = 2
    DATE_TIME = 3
    """Text in a column named ``date_*``."""
    NULL = 4


class LogLevel(IntEnum):
    """From which level on a database speaks on standard error."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3
    OFF = 4


@dataclass(frozen=True)
class ScalarMetadata:
    """One column: a scalar attribute of a collection, or a value column of a group."""

    name: str
    data_type: DataType
    not_null: bool
    primary_key: bool
    default_value: str | None
    """The default as the schema writes it; None where there is none."""
    is_foreign_key: bool
    references_collection: str | None
    references_column: str | None


@dataclass(frozen=True)
class GroupMetadata:
    """One vector, set or time series group of a collection."""

    group_name: str
    dimension_column: str
    """The date column of a time series; empty for vectors and sets."""
    value_columns: list[ScalarMetadata]
