"""Where the release cannot work, a user is told so in clear words and nothing is left behind.

Every test here reads the evidence of a cell whose machine or scenario must refuse the release. A
release may have a wheel for such a machine all the same; then it must work there.
"""

from __future__ import annotations

import pytest

from tests.gate.expect import no_other_cause, reached, succeeded
from verification import rules as diagnosis
from verification.rules import refusal
from verification.session.suite import Seen, Suite

pytestmark = pytest.mark.refusal


def test_it_is_refused_cleanly_or_an_older_release_is_named(suite: Suite, seen: Seen) -> None:
    no_other_cause(seen.causes, (), strict=suite.selection.strict)
    if _taken(suite, seen):
        succeeded(seen.evidence, seen.causes, "round-trip")
    elif seen.evidence["install"]["code"] == 0:
        assert {cause.name for cause in seen.causes} == {"silent-fallback"}
    else:
        assert refusal.words(seen.evidence), "a refusal says why"


def test_it_is_fetched_only_where_it_is_installed(suite: Suite, seen: Seen) -> None:
    assert suite.prepared is not None
    wheels = suite.prepared.wheelhouse.digests()
    asked = reached(seen.evidence, seen.causes, "requests")
    paths = [line["path"] for line in asked if line.get("file") in wheels]
    fetched = [path for path in paths if not path.endswith(".metadata")]
    fits = any(cause.name == "dependency-not-fitting" for cause in seen.causes)
    assert not fetched or fits or _taken(suite, seen), fetched


def _taken(suite: Suite, seen: Seen) -> bool:
    assert suite.prepared is not None
    system = seen.evidence.get("os", "linux")
    return diagnosis.taken(seen.evidence, suite.prepared.expected(suite.subject, system))
