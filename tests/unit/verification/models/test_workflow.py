from __future__ import annotations

from pathlib import Path

from verification.models.workflow import Decision, Workflow
from verification.models.workflow_file import parse

STEPS = "runs-on: x, steps: [{uses: a/b@c}, {run: d}, {uses: a/b/e@c}, {uses: a/b@f}]"
TEXT = f"""
on: push
jobs:
  one: {{{STEPS}}}
  two: {{needs: one, {STEPS}}}
  three: {{needs: [two], {STEPS}}}
  four: {{needs: [one, three], {STEPS}}}
"""


def workflow() -> Workflow:
    return parse(TEXT, Path("folder/demo.yml"))


def test_the_jobs_before_a_job_include_indirect_needs() -> None:
    assert workflow().jobs_before("one") == frozenset()
    assert workflow().jobs_before("four") == {"one", "two", "three"}


def test_a_location_is_the_name_of_the_file_and_a_line() -> None:
    assert workflow().location(7) == "demo.yml:7"


def test_a_step_has_the_name_of_its_action_without_the_version() -> None:
    job = workflow().jobs["one"]

    assert [step.action for step in job.steps] == ["a/b", None, "a/b/e", "a/b"]
    assert [step.uses for step in job.steps_with("a/b")] == ["a/b@c", "a/b@f"]


def test_a_decision_is_true_if_the_workflow_starts() -> None:
    assert Decision(triggered=True, reason="x")
    assert not Decision(triggered=False, reason="x")
