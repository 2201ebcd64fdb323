"""How a test of the suite says that causes are there, or that a cell did not come so far."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pytest

from verification.models.cause import Cause
from verification.verdict import fails


def no_cause(causes: Iterable[Cause], *names: str, strict: bool) -> None:
    """Fail with every cause of these names that makes the package or the testbed fail."""
    found = [
        cause
        for cause in causes
        if cause.name in names and (fails(cause, strict=strict) or cause.severity == "testbed")
    ]
    if found:
        pytest.fail("\n".join(str(cause) for cause in found), pytrace=False)


def no_other_cause(causes: Iterable[Cause], known: Collection[str], *, strict: bool) -> None:
    """Fail with every cause that no other test of the same file looks for."""
    causes = list(causes)
    no_cause(causes, *({cause.name for cause in causes} - set(known)), strict=strict)


def reached(evidence: Mapping[str, Any], causes: Iterable[Cause], *path: str) -> Any:
    """Return what the evidence has at ``path``; fail with the first cause where it has nothing.

    What follows a failure has no evidence, and needs no other explanation.
    """
    found: Any = evidence
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        pytest.fail(f"there is no {' '.join(path)}: {_first(causes)}", pytrace=False)
    return found


def succeeded(evidence: Mapping[str, Any], causes: Iterable[Cause], step: str) -> None:
    """Fail with the first cause where this step of the exercise failed, or never began."""
    causes = list(causes)
    told = reached(evidence, causes, "exercise", "steps", step)
    if not told.get("ok"):
        pytest.fail(f"{step} did not succeed: {_first(causes)}", pytrace=False)


def _first(causes: Iterable[Cause]) -> str:
    return next((str(c) for c in causes if c.severity in ("broken", "testbed")), "no cause")
