from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.release_workflow import PLAN, PLANNED, PUBLISHERS
from verification.models.base import DataError
from verification.pipeline import publishers
from verification.pipeline.plan import load


def test_the_plan_and_the_registration_name_the_same_workflow_and_environment() -> None:
    (registered,) = publishers.load(PUBLISHERS)

    assert PLANNED.workflow == registered.workflow
    assert PLANNED.environment == registered.environment


def test_every_action_of_the_plan_has_a_pin_that_is_a_commit() -> None:
    for job in PLANNED.jobs.values():
        for action in job.all_actions:
            pin = PLANNED.pin(action)
            assert pin is not None, action
            assert re.fullmatch(r"[0-9a-f]{40}", pin.commit)
            assert re.fullmatch(r"v\d+\.\d+\.\d+", pin.version)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "workflow = ", r"^pipeline\.toml is not TOML"),
        (
            'workflow = "publish.yml"',
            'flow = "publish.yml"',
            r"^pipeline\.toml: flow: unknown key; there are: called_publisher, claims, ",
        ),
        (
            "independent_of = []\n",
            "",
            r"^pipeline\.toml: jobs\.build\.independent_of: Field required",
        ),
        ("after = []", "after = 5", r"^pipeline\.toml: jobs\.build\.after: "),
        ('environment = "pypi"', 'environment = "pypi"\nx = 1', r"^pipeline\.toml: x: "),
        ('shown_by = "jobs"', 'shown_by = "page"', r"^pipeline\.toml: files\."),
        ("claim = 5", "claim = 7", r"^pipeline\.toml: .*claim 7"),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused_in_one_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    text = PLAN.read_text("utf-8")
    assert old in text
    path = tmp_path / "pipeline.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "none.toml")
