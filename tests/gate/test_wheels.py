"""The static inspection of the wheels, before a machine starts."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.run import SystemFacts
from verification.models.verdict import Verdict
from verification.session.session import Handover

SYSTEMS = ("linux", "windows")


@pytest.mark.parametrize(
    "system", [pytest.param(name, marks=pytest.mark.item(f"{name}-install")) for name in SYSTEMS]
)
def test_wheels_of_a_system(handover: Handover, system: str) -> None:
    facts = facts_of(handover, system)
    causes = [*facts.causes, *(cause for wheel in facts.wheels for cause in wheel.causes)]
    result = verdict.verdict_of_causes(causes, strict=handover.facts.strict)
    assert result is Verdict.VERIFIED, "\n".join(str(cause) for cause in causes)
    assert facts.wheels, f"the release has no wheel for {system}"


def test_wheels_of_platforms_without_a_machine(handover: Handover) -> None:
    causes = [
        c for platform in handover.facts.platforms if platform.counts for c in platform.causes
    ]
    result = verdict.verdict_of_causes(causes, strict=handover.facts.strict)
    assert result is Verdict.VERIFIED, "\n".join(str(cause) for cause in causes)


def facts_of(handover: Handover, system: str) -> SystemFacts:
    """Return the facts about the wheels of a system. Skip the test if the run has no machine."""
    for facts in handover.facts.systems:
        if facts.system == system:
            return facts
    pytest.skip(f"not selected: no machine of this run has {system}")
