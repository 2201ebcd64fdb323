"""The diagnosis of a cell: its outcome and causes, computed from its evidence."""

from __future__ import annotations

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.verdict import Outcome


class Diagnosis(Model):
    """The outcome of a cell, and its causes, the heaviest first."""

    outcome: Outcome
    causes: tuple[Cause, ...] = ()
    reason: str = ""
    """Why the cell is unverified; empty for other outcomes."""
