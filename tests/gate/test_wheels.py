"""The static inspection of the wheels, before a machine starts."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.run import SystemSummary
from verification.models.verdict import Verdict
from verification.session.session import Handover

SYSTEMS = ("linux", "windows")


@pytest.mark.parametrize(
    "system", [pytest.param(name, marks=pytest.mark.item(f"{name}-install")) for name in SYSTEMS]
)
def test_wheels_of_a_system(handover: Handover, system: str) -> None:
    summary = system_summary(handover, system)
    causes = [*summary.causes, *(cause for wheel in summary.wheels for cause in wheel.causes)]
    result = verdict.verdict_of_causes(causes, strict=handover.run_plan.strict)
    assert result is Verdict.VERIFIED, "\n".join(str(cause) for cause in causes)
    assert summary.wheels, f"the release has no wheel for {system}"


def test_wheels_of_platforms_without_a_machine(handover: Handover) -> None:
    causes = [
        c for platform in handover.run_plan.platforms if platform.counts for c in platform.causes
    ]
    result = verdict.verdict_of_causes(causes, strict=handover.run_plan.strict)
    assert result is Verdict.VERIFIED, "\n".join(str(cause) for cause in causes)


def system_summary(handover: Handover, system: str) -> SystemSummary:
    """Return the summary of the wheels of a system. Skip the test if the run has no machine."""
    for summary in handover.run_plan.systems:
        if summary.system == system:
            return summary
    pytest.skip(f"not selected: no machine of this run has {system}")
