"""A finding: a named fault with the facts that show it, without its location."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence
from verification.rules.catalogue import catalogue


@dataclass(frozen=True)
class Finding:
    """A named fault that a rule reports."""

    name: str
    message: str
    facts: Mapping[str, FactValue] = field(default_factory=dict)
    risk: bool = False
    """Whether the fault is only possible, or belongs to another release."""

    def as_risk(self) -> Finding:
        """Return the same fault with the lesser severity of its cause."""
        return replace(self, risk=True)

    def at(self, evidence: CellEvidence, location: str = "") -> Cause:
        """Return the cause at this location of the cell, or of the cell as a whole."""
        cell = evidence.cell.id
        return self.cause(f"{cell}: {location}" if location else cell)

    def cause(self, where: str) -> Cause:
        """Return the cause at a location."""
        return catalogue().cause(self.name, where, self.message, risk=self.risk, **self.facts)


def finding(name: str, form: str, /, **facts: FactValue) -> Finding:
    """Return a finding. Its message is the template ``form`` of the cause, filled with the facts.

    Raises:
        CatalogueError: the cause has no such form, or a placeholder of it has no fact.
    """
    return Finding(name, catalogue()[name].message(form, facts), facts)
