"""A cause: one finding with its name, location, message and remedy."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from pydantic import Field

from verification.models.base import Model

UNCLASSIFIED = "unclassified"
FactValue = str | int | float | bool | tuple[str, ...]


class Severity(enum.StrEnum):
    """The weight of a cause, the heaviest first."""

    TESTBED = "testbed"
    BROKEN = "broken"
    FLAWED = "flawed"
    NOTE = "note"


class Cause(Model):
    """One finding."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    """The class of the failure: a key of causes.toml."""
    severity: Severity
    """The weight of the cause."""
    where: str
    """The file, cell or job."""
    message: str
    """What was observed."""
    remedy: str
    """What the maintainer can do."""
    facts: Mapping[str, FactValue] = Field(default_factory=dict)
    """The values that the message contains: a library, a symbol, a path, an exit code."""
    follows: str = ""
    """The name of a cause of the same cell, if this cause only follows from it. Such a cause does
    not count."""

    def __str__(self) -> str:
        return f"{self.name}: {self.where}: {self.message}. {self.remedy}"

    def __hash__(self) -> int:
        return hash((self.name, self.severity, self.where, self.message, self.remedy))


def sorted_causes(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the causes without duplicates, the heaviest first.

    `unclassified` comes before all others, because no rule explains it. A cause that only follows
    from another cause comes last.
    """
    return tuple(sorted(set(causes), key=_rank))


def _rank(cause: Cause) -> tuple[bool, bool, int, str, str, str]:
    severity = list(Severity).index(cause.severity)
    weight = (cause.name != UNCLASSIFIED, bool(cause.follows), severity)
    return (*weight, cause.name, cause.where, cause.message)
