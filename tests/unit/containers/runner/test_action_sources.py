from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from containers.runner import action_sources as actions
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.workflow import Workflow
from verification.models.workflow_file import parse

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
    told = yaml.safe_load((stand_in.folder / "action.yml").read_text("utf-8"))
    assert (stand_in.folder / "stand-in.toml").is_file(), "its folder is named as the action"
    assert all(len(version.commit) == 40 for version in stand_in.versions)
    if told["runs"]["using"] == "composite":
        (step,) = told["runs"]["steps"]
        module = step["run"].split(" -m ")[1].split(".")
        assert (actions.STAND_INS.parent / "/".join(module)).with_suffix(".py").is_file()
    else:
        assert (stand_in.folder / told["runs"]["main"]).is_file()
