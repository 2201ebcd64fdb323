"""Where the release cannot work, a user is told so in clear words and nothing is left behind.

Every test here reads the evidence of a cell whose machine or scenario must refuse the release.
"""

from __future__ import annotations

import pytest

from tests.support import refusal
from tests.support.expect import no_other_cause
from tests.support.plugin import Seen, Suite

pytestmark = pytest.mark.refusal


def test_it_is_refused_cleanly_or_an_older_release_is_named(suite: Suite, seen: Seen) -> None:
    no_other_cause(seen.causes, (), strict=suite.selection.strict)
    if seen.evidence["install"]["code"] == 0:
        assert {cause.name for cause in seen.causes} == {"silent-fallback"}
    else:
        assert refusal.words(seen.evidence), "a refusal says why"


def test_the_release_under_test_is_not_fetched(suite: Suite, seen: Seen) -> None:
    assert suite.prepared is not None
    wheels = suite.prepared.wheelhouse.digests()
    paths = [line["path"] for line in seen.evidence["requests"] if line.get("file") in wheels]
    assert all(path.endswith(".metadata") for path in paths), paths
