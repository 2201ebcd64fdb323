"""A sample expectation, and the parts of a cause that tests compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.helpers.sample_evidence import WHEEL
from verification.models.cause import Cause, FactValue
from verification.models.expectation import Conditions, Expectation
from verification.models.verdict import ExpectationKind

EXPECTATION = Expectation(
    project="quiverdb",
    version="1.2.0",
    digests={WHEEL: "a" * 64},
    locked={"cffi": "2.0.0"},
    libraries=("libquiver.so", "libquiver_c.so"),
)
WINDOWS = EXPECTATION.model_copy(update={"libraries": ("libquiver.dll", "libquiver_c.dll")})

Summary = tuple[str, str, Mapping[str, FactValue]]


def refuses(refusal: str = "unsupported-python") -> Expectation:
    """Return the expectation that the installer refuses the release with this cause."""
    return EXPECTATION.model_copy(update={"kind": ExpectationKind.REFUSES, "refusal": refusal})


def with_conditions(conditions: Conditions) -> Expectation:
    """Return the expectation of a cell with these conditions."""
    return EXPECTATION.model_copy(update={"conditions": conditions})


def summary(cause: Cause) -> Summary:
    """Return name, location and facts of a cause."""
    return cause.name, cause.where, cause.facts


def only_cause(causes: Iterable[Cause]) -> Summary:
    """Return name, location and facts of the only cause."""
    (cause,) = causes
    return summary(cause)


def names(causes: Iterable[Cause]) -> list[str]:
    """Return the names of the causes."""
    return [cause.name for cause in causes]
