from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.release_workflow import PLAN, PLANNED, PUBLISHERS
from verification.models.base import DataError
from verification.models.workflow_file import parse
from verification.pipeline import publishers
from verification.pipeline.plan import RunFact, for_workflows, load
from verification.rules.catalogue import catalogue


def test_plan_and_registration_have_the_same_workflow() -> None:
    (registered,) = publishers.load(PUBLISHERS)

    assert PLANNED.workflow == registered.workflow


@pytest.mark.parametrize(
    ("old", "new", "location"),
    [
        ("", "workflow = ", ""),
        ('workflow = "publish.yml"', 'flow = "publish.yml"', "flow: "),
        ('workflow = "publish.yml"', 'workflow = "publish.yml"\nx = 1', "x: "),
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


STEPS = {
    "build": "python -m build",
    "check-version": 'test "$GITHUB_REF_NAME" = "v$(hatch version)"',
    "create-release": "gh release create v1",
    "publish": "twine upload dist/*",
}
CLAIMS: dict[str, RunFact] = {
    "build": "build",
    "check-version": "version",
    "create-release": "release",
    "publish": "upload",
}


@pytest.mark.parametrize("missing", [*STEPS, ""])
def test_default_plan_has_a_claim_for_each_task_of_the_workflow(missing: str) -> None:
    steps = [f"      - run: {command}" for task, command in STEPS.items() if task != missing]
    lines = ["on: release", "jobs:", "  all:", "    runs-on: x", "    steps:", *steps]
    workflow = parse("\n".join(lines), Path("release.yml"))

    plan = for_workflows([workflow], "python")

    shown = [CLAIMS[task] for task in STEPS if task != missing]
    assert [claim.shown_by for claim in plan.claims] == ["trigger", *shown]
    assert (plan.workflow, plan.package_dir) == ("release.yml", "python")
    assert all(catalogue()[name] for claim in plan.claims for name in claim.refuted_by)


def test_default_plan_claims_the_version_of_the_tag_only_if_the_build_reads_it() -> None:
    text = "on: push\njobs:\n  all:\n    runs-on: x\n    steps: [{run: python -m build}]\n"
    workflow = parse(text, Path("release.yml"))

    claims = for_workflows([workflow], ".", version_from_tag=True).claims

    assert len(claims) == len(for_workflows([workflow], ".").claims) + 1
    assert frozenset({"version-mismatch"}) in {claim.refuted_by for claim in claims}


def test_default_plan_has_the_tasks_of_the_dispatched_workflows() -> None:
    head = "on: {{workflow_dispatch: }}\njobs: {{all: {{runs-on: x, steps: [{{run: {}}}]}}}}\n"
    first = parse(head.format("gh workflow run publish.yml"), Path("release.yml"))
    second = parse(head.format("twine upload dist/*"), Path("publish.yml"))

    plan = for_workflows([first, second], ".")

    assert plan.workflow == "release.yml"
    assert [claim.shown_by for claim in plan.claims] == ["trigger", "upload"]
    assert set(plan.files) == {".github/workflows/release.yml", ".github/workflows/publish.yml"}
