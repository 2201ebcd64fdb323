"""The one way in which a test of the suite says that causes are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

from tests.support.causes import Cause
from tests.support.verdict import fails


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
