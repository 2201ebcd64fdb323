from __future__ import annotations

import functools
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from containers.runner import action_sources as actions
from tests.helpers import small_actions
from verification.models.action import ActionDefinition, is_commit, version_number
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.workflow import Workflow
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load, parse

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"


def workflow_using(*uses: str, inputs: str = "") -> Workflow:
    steps = "".join(f"      - uses: {name}\n{inputs}" for name in uses)
    text = f"on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    return parse(text, Path("publish.yml"))


def test_stand_in_replaces_the_commit_of_its_version() -> None:
    resolved = actions.resolve(workflow_using(CHECKOUT))
    (use,) = resolved.uses
    assert (use.kind, use.version, use.where) == ("stand-in", "v7.0.1", "publish.yml:6")
    target = "/opt/runner/actions/actions-checkout"
    assert resolved.options[1:] == (f"--local-repository={CHECKOUT}={target}",)
    assert not resolved.real


UNKNOWN = "a" * 40


@pytest.mark.parametrize(
    ("uses", "version", "named", "confirmed"),
    [
        ("actions/checkout@v4", "v4.4.0", "v4", True),
        ("actions/checkout@v4.2.2", "v4.2.2", "v4.2.2", True),
        ("actions/checkout@v4.2", "v4.2.2", "v4.2", False),
        ("actions/checkout@v7.9.0", "v7.0.1", "v7.9.0", False),
        ("actions/checkout@11d5960a326750d5838078e36cf38b85af677262", "v4.4.0", "v4.4.0", True),
        (f"actions/checkout@{UNKNOWN} # v4.2.2 of October", "v4.2.2", "v4.2.2", False),
        (f"actions/checkout@{UNKNOWN} # v4", "v4.4.0", "v4", False),
        ("pypa/gh-action-pypi-publish@release/v1", "v1.14.1", "release/v1", True),
        ("pypa/gh-action-pypi-publish@v1", "v1.14.1", "v1", False),
        ("pypa/cibuildwheel@v2.5.0", "v2.5.0", "v2.5.0", True),
        ("softprops/action-gh-release@v2", "v2.6.2", "v2", True),
    ],
)
def test_stand_in_replaces_the_nearest_version_of_a_tag_a_branch_or_a_commit(
    uses: str, version: str, named: str, confirmed: bool
) -> None:
    (use,) = actions.resolve(workflow_using(uses)).uses
    assert (use.version, use.named, use.confirmed) == (version, named, confirmed)


def test_stand_ins_are_informed_about_their_versions() -> None:
    resolved = actions.resolve(
        workflow_using("actions/download-artifact@v4", "actions/upload-artifact/merge@v4.3.0")
    )
    name, _, text = resolved.options[0].partition("=")
    variable, _, table = text.partition("=")
    assert (name, variable) == ("--env", "E2E_ACTIONS")
    replaced = json.loads(table)
    assert replaced["actions/download-artifact@v4"]["version"] == "v4.3.0"
    assert replaced["actions/download-artifact@v4"]["absent"] == {
        "skip-decompress": "false",
        "digest-mismatch": "warn",
    }
    assert replaced["actions/upload-artifact@v4.3.0"]["absent"] == {
        "include-hidden-files": "true",
        "archive": "true",
    }


def test_action_in_a_subfolder_has_the_stand_in_of_its_repository() -> None:
    resolved = actions.resolve(
        workflow_using("actions/upload-artifact/merge@v7", "actions/upload-artifact@v7")
    )
    assert [use.folder for use in resolved.uses] == ["actions-upload-artifact"] * 2
    assert len(resolved.options) == 2


@pytest.mark.parametrize(
    ("uses", "fact"),
    [
        ("actions/checkout@v3", "v4, v5, v6, v7"),
        ("actions/checkout@v8", "v4, v5, v6, v7"),
        ("actions/checkout@main", "v4, v5, v6, v7"),
        (f"actions/checkout@{'a' * 40}", "# v1.2.3"),
        ("actions/upload-artifact@v3", "v4, v5, v6, v7"),
        ("actions/upload-artifact/merge@v4.2.0", "merge since v4.3.0"),
        ("someone/else@v1", "actions/checkout"),
        ("docker://alpine:3", "docker://alpine:3"),
        ("actions", "OWNER/NAME@REF"),
        ("actions/upload-artifact/nothing@v7", "action.yml"),
    ],
)
def test_unavailable_action_is_a_testbed_failure_at_its_line(uses: str, fact: str) -> None:
    with pytest.raises(TestbedFailure) as caught:
        actions.resolve(workflow_using(uses))
    assert caught.value.cause == "action-unavailable"
    assert caught.value.where == "publish.yml:6"
    assert uses in caught.value.message
    assert fact in caught.value.message


@pytest.mark.parametrize("name", ["actions/checkout", CHECKOUT])
def test_checkout_of_a_real_action_replaces_its_stand_in(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text("inputs: {ref: {}}\nruns: {using: node24}\n", "utf-8")
    inputs = "        with: {REF: x, path: y}\n"
    resolved = actions.resolve(workflow_using(CHECKOUT, inputs=inputs), tmp_path)
    (use,) = resolved.uses
    assert (use.kind, use.folder, use.unknown) == ("real", str(folder), ("path",))
    (target,) = resolved.real
    assert resolved.real[target] == folder
    assert resolved.options[1:] == (f"--local-repository={CHECKOUT}={target}",)


def test_inputs_of_an_action_are_listed_and_the_unknown_ones_named() -> None:
    inputs = "        with: {depth: 1, fetch-depth: '${{ github.run_id }}'}\n"
    (use,) = actions.resolve(workflow_using(CHECKOUT, inputs=inputs)).uses
    assert use.inputs == {"depth": "1", "fetch-depth": "${{ github.run_id }}"}
    assert use.unknown == ("depth",)


@pytest.mark.parametrize(
    ("uses", "name", "unknown"),
    [
        ("actions/checkout@v4.0.0", "filter", True),
        ("actions/checkout@v4.1.0", "filter", False),
        ("actions/checkout@v5.0.1", "allow-unsafe-pr-checkout", True),
        ("actions/checkout@v5", "allow-unsafe-pr-checkout", False),
        ("actions/setup-python@v5", "pip-install", True),
        ("actions/setup-python@v6", "pip-install", False),
        ("actions/setup-python@v7", "pip-install", True),
        ("actions/upload-artifact@v6", "archive", True),
        ("actions/upload-artifact@v7", "archive", False),
        ("actions/download-artifact@v7", "skip-decompress", True),
        ("actions/download-artifact@v8", "skip-decompress", False),
        ("pypa/cibuildwheel@v2.23.3", "extras", True),
        ("pypa/cibuildwheel@v4", "extras", False),
        ("softprops/action-gh-release@v2.5.3", "previous_tag", True),
        ("softprops/action-gh-release@v2", "previous_tag", False),
        ("pypa/gh-action-pypi-publish@v1.8.14", "attestations", True),
        ("pypa/gh-action-pypi-publish@v1.14.0", "attestations", False),
    ],
)
def test_inputs_are_those_of_the_version(uses: str, name: str, unknown: bool) -> None:
    inputs = f"        with: {{{name}: x}}\n"
    (use,) = actions.resolve(workflow_using(uses, inputs=inputs)).uses
    assert use.unknown == ((name,) if unknown else ())


def test_missing_folder_of_actions_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=str(tmp_path / "none")):
        actions.resolve(workflow_using(CHECKOUT), tmp_path / "none")


def test_actions_of_the_repository_need_no_stand_in() -> None:
    assert actions.resolve(workflow_using("./.github/actions/own")).uses == ()


@pytest.mark.parametrize(
    "stand_in", actions.stand_in_actions().values(), ids=lambda stand_in: stand_in.action
)
def test_stand_in_is_complete(stand_in: actions.StandInAction) -> None:
    assert (stand_in.folder / "stand-in.toml").is_file(), "its folder has the name of the action"
    assert all(is_commit(commit) for commit in stand_in.tags.values())
    assert {version_number(tag)[0] for tag in stand_in.tags} == set(stand_in.majors)
    for path in stand_in.folder.rglob("action.yml"):
        runs = yaml.safe_load(path.read_text("utf-8"))["runs"]
        # In a composite action, act compares the case of the inputs.
        assert runs["using"].startswith("node")
        main = (path.parent / runs["main"]).read_text("utf-8")
        if match := re.search(r"\bpython\('(\w+)'", main):
            assert (actions.STAND_INS.parent / "stand_ins" / f"{match[1]}.py").is_file()
        else:
            assert f"action('{path.parent.relative_to(actions.STAND_INS)}'" in main
        assert (path.parent / "inputs.toml").is_file(), "all inputs are listed"
        assert ActionDefinition.load(path.parent).inputs


CALLER = "on: push\njobs:\n  a:\n    uses: x/y/.github/workflows/b.yml@v1\n"
CALLED = "on: workflow_call\njobs: {b: {runs-on: c, steps: [{uses: USES}]}}"


def calling_workflow(root: Path, checkouts: Path | None = None, text: str = CALLER) -> Workflow:
    path = root / ".github" / "workflows" / "a.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    find = functools.partial(actions.find_checkout, checkouts)
    (path.parent / "b.yml").write_text(CALLED.replace("USES", CHECKOUT), "utf-8")
    return with_called_workflows(load(path), root, find)


def test_actions_of_a_called_workflow_are_resolved(tmp_path: Path) -> None:
    text = "on: push\njobs: {a: {uses: ./.github/workflows/b.yml}}"
    (use,) = actions.resolve(calling_workflow(tmp_path, text=text)).uses
    assert (use.uses, use.where) == (CHECKOUT, "b.yml:2")


def test_called_workflow_of_another_repository_needs_its_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "x" / "y@v1"
    (checkout / ".github" / "workflows").mkdir(parents=True)
    called = checkout / ".github" / "workflows" / "b.yml"
    called.write_text(CALLED.replace("USES", CHECKOUT), "utf-8")
    resolved = actions.resolve(calling_workflow(tmp_path / "root", tmp_path), tmp_path)
    assert resolved.options[-1] == "--local-repository=x/y@v1=/opt/real/x-y@v1"
    assert resolved.real == {"/opt/real/x-y@v1": checkout}
    called_use = resolved.uses[1]
    assert [use.uses for use in resolved.uses] == [CHECKOUT, "x/y/.github/workflows/b.yml@v1"]
    assert called_use.identity.startswith("sha256 ")


def test_called_workflow_without_a_checkout_is_a_testbed_failure(tmp_path: Path) -> None:
    with pytest.raises(TestbedFailure) as caught:
        actions.resolve(calling_workflow(tmp_path))
    assert (caught.value.cause, caught.value.where) == ("action-unavailable", "a.yml:3")
    assert "FOLDER/x/y@v1" in caught.value.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with actions of each kind."""
    return small_actions.write(tmp_path / "actions", "base:1")


def find_image(name: str) -> str | None:
    """Return the id of the only image of the engine."""
    return "sha256:0" if name == "base:1" else None


def resolve(folder: Path, *uses: str, root: Path | None = None) -> actions.ResolvedActions:
    return actions.resolve(workflow_using(*uses), folder, root=root, find_image=find_image)


def test_actions_that_a_composite_action_uses_are_mapped(folder: Path) -> None:
    resolved = resolve(folder, "own/composite@v1")
    assert [(use.uses, use.kind, use.used_by) for use in resolved.uses] == [
        ("own/composite@v1", "real", ()),
        ("own/node@v1", "real", ("own/composite@v1",)),
        ("actions/checkout@v7", "stand-in", ("own/composite@v1",)),
    ]
    folders = [option for option in resolved.options if option.startswith("--local-repository=")]
    names = {option.partition("=")[2].partition("=")[0] for option in folders}
    assert names == {"own/composite@v1", "own/node@v1", "actions/checkout@v7"}


def test_actions_of_the_repository_are_read_recursively(folder: Path, tmp_path: Path) -> None:
    files = {
        "outer/action.yml": "runs: {using: composite, steps: [{run: x}, {uses: ./inner}]}",
        "inner/action.yaml": "runs: {using: composite, steps: [{uses: own/node@v1}]}",
        "file/action.yml": "runs: {using: docker, image: docker/Dockerfile}",
        "plain/Dockerfile": "FROM base:1",
        "Dockerfile": "FROM base:1",
    }
    small_actions.write_files(tmp_path, files, "")
    resolved = resolve(folder, "./outer", "./file", "./plain", "./made-later", "./", root=tmp_path)
    (node,) = resolved.uses
    assert (node.uses, node.used_by) == ("own/node@v1", ("./outer", "./inner"))
    assert resolved.dockerfiles == {
        "file/docker/Dockerfile": "publish.yml:7: ./file",
        "plain/Dockerfile": "publish.yml:8: ./plain",
        "Dockerfile": "publish.yml:10: ./",
    }


def test_chain_of_an_unavailable_action_is_named(folder: Path, tmp_path: Path) -> None:
    composite = "runs: {using: composite, steps: [{uses: own/composite@v1}]}"
    inner = "runs: {using: composite, steps: [{uses: other/none@v3}]}"
    small_actions.write_files(tmp_path, {"outer/action.yml": composite}, "")
    small_actions.write_files(folder, {"own/composite/action.yml": inner}, "")
    with pytest.raises(TestbedFailure) as caught:
        resolve(folder, "./outer", root=tmp_path)
    assert (caught.value.cause, caught.value.where) == ("action-unavailable", "publish.yml:6")
    message = caught.value.message
    assert message.index("other/none@v3") < message.index("./outer")
    assert message.index("./outer") < message.index("own/composite@v1")


def test_circle_of_actions_ends(folder: Path) -> None:
    text = "runs: {using: composite, steps: [{uses: own/composite@v1}]}"
    small_actions.write_files(folder, {"own/composite/action.yml": text}, "")
    assert len(resolve(folder, "own/composite@v1").uses) == 1


def test_image_of_the_engine_is_identified(folder: Path) -> None:
    step, action = resolve(folder, "docker://base:1", "own/docker@v1").uses
    assert (step.kind, step.identity) == ("real", "image sha256:0")
    assert action.identity.startswith("sha256 ")


@pytest.mark.parametrize("uses", ["docker://none:1", "own/docker@v1"])
def test_image_that_the_engine_does_not_have_is_unavailable(folder: Path, uses: str) -> None:
    text = small_actions.docker_action("docker://none:1")
    small_actions.write_files(folder, {"own/docker/action.yml": text}, "")
    with pytest.raises(TestbedFailure, match="none:1") as caught:
        resolve(folder, uses)
    assert caught.value.cause == "action-unavailable"


def test_dockerfile_of_a_real_action_is_known(folder: Path) -> None:
    resolved = resolve(folder, "own/dockerfile@v1")
    assert list(resolved.dockerfiles) == ["/opt/real/own-dockerfile@v1/Dockerfile"]


def test_unreadable_definition_is_unavailable(folder: Path) -> None:
    small_actions.write_files(folder, {"own/node/action.yml": "runs: {}"}, "")
    with pytest.raises(TestbedFailure, match=r"action\.yml"):
        resolve(folder, "own/node@v1")


def test_checkout_is_reported_as_its_commit(folder: Path) -> None:
    checkout = folder / "own" / "node"
    first, second = commit(checkout), commit(checkout)
    git(checkout, "tag", "v1", first)
    git(checkout, "tag", "v1.0.1", second)
    uses = ("own/node@v1", f"own/node@{second}", f"own/node@{first}", "own/node@v9")
    by_tag, same, other, unknown = resolve(folder, *uses).uses
    assert {use.identity for use in (by_tag, same, other, unknown)} == {f"commit {second}"}
    assert {use.version for use in (by_tag, same, other, unknown)} == {"v1.0.1"}
    assert [use.pinned for use in (by_tag, same, other, unknown)] == [first, second, first, ""]
    assert [use.is_pinned for use in (by_tag, same, other, unknown)] == [False, True, False, True]


def test_changed_checkout_is_reported_by_its_content(folder: Path) -> None:
    checkout = folder / "own" / "node"
    pinned = commit(checkout)
    (checkout / "main.js").write_text("changed", "utf-8")
    (use,) = resolve(folder, f"own/node@{pinned}").uses
    assert use.identity.startswith("sha256 ")
    assert not use.is_pinned


def commit(checkout: Path) -> str:
    """Make a commit with all files of a folder, and return it."""
    git(checkout, "init", "--quiet")
    git(checkout, "add", "--all")
    author = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    git(checkout, *author, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(checkout, "rev-parse", "HEAD")


def git(checkout: Path, *arguments: str) -> str:
    command = ("git", "-C", str(checkout), *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
