from __future__ import annotations

from verification.pipeline import publishers
from verification.pipeline.plan import plan


def test_the_plan_and_the_registration_name_the_same_workflow_and_environment() -> None:
    (registered,) = publishers.load()

    assert plan().workflow == registered.workflow
    assert plan().environment == registered.environment
