"""A finding: a named fault and the facts that show it, before its place is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence
from verification.rules.catalogue import catalogue


@dataclass(frozen=True)
class Finding:
    """A named fault that a rule found."""

    name: str
    observed: str
    facts: Mapping[str, FactValue] = field(default_factory=dict)
    risk: bool = False
    """Whether the fault is possible and not proven, or not this release's."""

    def as_risk(self) -> Finding:
        """Return the same fault as one that is possible and not proven."""
        return replace(self, risk=True)

    def at(self, evidence: CellEvidence, location: str = "") -> Cause:
        """Return the cause at this place of the cell, or of the cell as a whole."""
        cell = evidence.cell.id
        return catalogue().cause(
            self.name,
            where=f"{cell}: {location}" if location else cell,
            observed=self.observed,
            risk=self.risk,
            **self.facts,
        )


def finding(name: str, observed: str, **facts: FactValue) -> Finding:
    """Return a finding; ``facts`` are the values in ``observed``."""
    return Finding(name, observed, facts)
