from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import yaml

from containers.runner import action_sources as actions
from verification.models.action import ActionDefinition
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.workflow import Workflow
from verification.models.workflow_call import with_called
from verification.models.workflow_file import load, parse

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"


def using(*uses: str, given: str = "") -> Workflow:
    steps = "".join(f"      - uses: {name}\n{given}" for name in uses)
    text = f"on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    return parse(text, Path("publish.yml"))


def test_a_commit_that_a_stand_in_stands_for_is_played_by_it() -> None:
    found = actions.resolve(using(CHECKOUT))
    (use,) = found.uses
    assert (use.kind, use.version, use.where) == ("stand-in", "v7.0.1", "publish.yml:6")
    assert found.options == (f"--local-repository={CHECKOUT}=/opt/runner/actions/actions-checkout",)
    assert not found.real


def test_a_part_of_an_action_is_in_its_repository() -> None:
    found = actions.resolve(using("actions/upload-artifact/merge@v7", "actions/upload-artifact@v7"))
    assert [use.folder for use in found.uses] == ["actions-upload-artifact"] * 2
    assert len(found.options) == 1


@pytest.mark.parametrize(
    ("uses", "told"),
    [
        ("actions/checkout@v1", "v7.0.1"),
        ("someone/else@v1", "actions/checkout"),
        ("docker://alpine:3", "image of its own"),
        ("actions/upload-artifact/nothing@v7", "has no action.yml"),
    ],
)
def test_an_action_that_nobody_plays_is_named_with_its_place(uses: str, told: str) -> None:
    with pytest.raises(TestbedFailure) as caught:
        actions.resolve(using(uses))
    assert caught.value.cause == "action-unavailable"
    assert caught.value.where == "publish.yml:6"
    assert uses in caught.value.observed
    assert told in caught.value.observed


@pytest.mark.parametrize("name", ["actions/checkout", CHECKOUT])
def test_a_real_action_goes_before_its_stand_in(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text("inputs: {ref: {}}\n", "utf-8")
    given = "        with: {REF: x, path: y}\n"
    found = actions.resolve(using(CHECKOUT, given=given), tmp_path)
    (use,) = found.uses
    assert (use.kind, use.folder, use.unknown) == ("real", str(folder), ("path",))
    (place,) = found.real
    assert found.real[place] == folder
    assert found.options == (f"--local-repository={CHECKOUT}={place}",)


def test_inputs_that_an_action_does_not_have_are_told() -> None:
    given = "        with: {depth: 1, fetch-depth: 0}\n"
    (use,) = actions.resolve(using(CHECKOUT, given=given)).uses
    assert use.unknown == ("depth",)


def test_a_folder_of_actions_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such folder"):
        actions.resolve(using(CHECKOUT), tmp_path / "none")


def test_actions_of_the_repository_itself_need_nobody() -> None:
    assert actions.resolve(using("./.github/actions/own")).uses == ()


@pytest.mark.parametrize(
    "stand_in", actions.stand_in_actions().values(), ids=lambda found: found.action
)
def test_each_stand_in_is_whole(stand_in: actions.StandInAction) -> None:
    assert (stand_in.folder / "stand-in.toml").is_file(), "its folder is named as the action"
    assert all(len(version.commit) == 40 for version in stand_in.versions)
    for path in stand_in.folder.rglob("action.yml"):
        runs = yaml.safe_load(path.read_text("utf-8"))["runs"]
        # act finds the inputs of a composite action only as action.yml spells them.
        assert runs["using"].startswith("node")
        main = (path.parent / runs["main"]).read_text("utf-8")
        if match := re.search(r"\bpython\('(\w+)'\)", main):
            assert (actions.STAND_INS.parent / "stand_ins" / f"{match[1]}.py").is_file()
        else:
            assert f"action('{path.parent.relative_to(actions.STAND_INS)}'" in main
        assert (path.parent / "inputs.toml").is_file(), "every input is known"
        assert ActionDefinition.load(path.parent).inputs


CALLER = "on: push\njobs:\n  a:\n    uses: x/y/.github/workflows/b.yml@v1\n"
CALLED = "on: workflow_call\njobs: {b: {runs-on: c, steps: [{uses: USES}]}}"


def calling(root: Path, checkouts: Path | None = None, text: str = CALLER) -> Workflow:
    path = root / ".github" / "workflows" / "a.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    find = functools.partial(actions.find_checkout, checkouts)
    (path.parent / "b.yml").write_text(CALLED.replace("USES", CHECKOUT), "utf-8")
    return with_called(load(path), root, find)


def test_the_actions_of_a_called_workflow_are_found(tmp_path: Path) -> None:
    text = "on: push\njobs: {a: {uses: ./.github/workflows/b.yml}}"
    (use,) = actions.resolve(calling(tmp_path, text=text)).uses
    assert (use.uses, use.where) == (CHECKOUT, "b.yml:2")


def test_a_called_workflow_of_another_repository_is_in_its_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "x" / "y@v1"
    (checkout / ".github" / "workflows").mkdir(parents=True)
    called = checkout / ".github" / "workflows" / "b.yml"
    called.write_text(CALLED.replace("USES", CHECKOUT), "utf-8")
    found = actions.resolve(calling(tmp_path / "root", tmp_path), tmp_path)
    assert found.options[-1] == "--local-repository=x/y@v1=/opt/real/x-y@v1"
    assert found.real == {"/opt/real/x-y@v1": checkout}
    assert [use.uses for use in found.uses] == [CHECKOUT]


def test_a_called_workflow_without_a_checkout_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(TestbedFailure) as caught:
        actions.resolve(calling(tmp_path))
    assert (caught.value.cause, caught.value.where) == ("action-unavailable", "a.yml:3")
    assert "FOLDER/x/y@v1" in caught.value.observed
