"""What the evidence of a cell shows: the outcome and its causes."""

from __future__ import annotations

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.verdict import Outcome


class Diagnosis(Model):
    """The outcome of a cell, and its causes, the heaviest first."""

    outcome: Outcome
    causes: tuple[Cause, ...] = ()
    reason: str = ""
    """Why it is unverified."""
