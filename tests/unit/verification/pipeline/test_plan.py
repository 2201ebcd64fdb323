from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.release_workflow import PLAN, PLANNED, PUBLISHERS
from verification.models.base import DataError
from verification.pipeline import publishers
from verification.pipeline.plan import load


def test_plan_and_registration_have_the_same_workflow_and_environment() -> None:
    (registered,) = publishers.load(PUBLISHERS)

    assert PLANNED.workflow == registered.workflow
    assert PLANNED.environment == registered.environment


def test_each_planned_action_is_pinned_to_a_commit() -> None:
    for job in PLANNED.jobs.values():
        for action in job.all_actions:
            pin = PLANNED.pin(action)
            assert pin is not None, action
            assert re.fullmatch(r"[0-9a-f]{40}", pin.commit)
            assert re.fullmatch(r"v\d+\.\d+\.\d+", pin.version)


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ("", "workflow = ", ""),
        ('workflow = "publish.yml"', 'flow = "publish.yml"', "flow: "),
        ("independent_of = []\n", "", "jobs.build.independent_of: "),
        ("after = []", "after = 5", "jobs.build.after: "),
        ('environment = "pypi"', 'environment = "pypi"\nx = 1', "x: "),
        ('shown_by = "jobs"', 'shown_by = "page"', "files."),
        ("claim = 5", "claim = 7", "7"),
    ],
)
def test_invalid_plan_is_refused_in_one_line(
    old: str, new: str, location: str, tmp_path: Path
) -> None:
    text = PLAN.read_text("utf-8")
    assert old in text
    path = tmp_path / "pipeline.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(DataError) as refused:
        load(path)
    message = str(refused.value)
    assert message.startswith("pipeline.toml")
    assert location in message
    assert "\n" not in message


def test_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml"):
        load(tmp_path / "none.toml")
