from __future__ import annotations

from containers import publishers
from tests.support.pipeline.plan import plan


def test_the_plan_and_the_registration_name_the_same_workflow_and_environment() -> None:
    (registered,) = publishers.load()

    assert plan().workflow == registered.workflow
    assert plan().environment == registered.environment
