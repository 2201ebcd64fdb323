"""An expectation, and a cause as a test compares it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.helpers.sample_evidence import WHEEL
from verification.models.cause import Cause, FactValue
from verification.models.expectation import Expectation

EXPECTATION = Expectation(
    project="quiverdb",
    version="1.2.0",
    digests={WHEEL: "a" * 64},
    locked={"cffi": "2.0.0"},
    libraries=("libquiver.so", "libquiver_c.so"),
)

Shown = tuple[str, str, str, Mapping[str, FactValue]]


def shown(cause: Cause) -> Shown:
    """Return name, place, what was observed, and the facts."""
    return cause.name, cause.where, cause.message.rpartition("; expected ")[0], cause.facts
