from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import Event, Workflow
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load
from verification.pipeline.dispatches import check_dispatches, workflow_chain

EVENT = Event(name="workflow_dispatch", ref="refs/heads/main", inputs={"file": "python.yml"})
PYTHON = """
name: Publish for Python
on:
  workflow_dispatch:
    inputs:
      ref: {required: true}
      dry: {type: boolean}
      index: {type: choice, options: [test, live]}
jobs: {one: {runs-on: x, steps: [{run: a}]}}
"""
RELEASE = """
on: {workflow_dispatch: {inputs: {file: }}}
jobs:
  dispatch:
    runs-on: x
    steps:
    - CONDITION
      run: |
        COMMAND
"""


def loaded(folder: Path, command: str, python: str = PYTHON, condition: str = "") -> Workflow:
    workflows = folder / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "python.yml").write_text(python, "utf-8")
    (workflows / "broken.yml").write_text("on: push", "utf-8")
    text = RELEASE.replace("COMMAND", command).replace("CONDITION", f"if: {condition or 'true'}")
    (workflows / "release.yml").write_text(text, "utf-8")
    return with_called_workflows(load(workflows / "release.yml"), folder)


@pytest.mark.parametrize(
    "command",
    [
        'gh workflow run python.yml --ref "$TAG" -f ref="$TAG"',
        "gh workflow run python.yml -f ref=v1 -F dry=$DRY --field=index=live",
        "gh workflow run 'Publish for Python' --raw-field ref=v1 -f index=${{ vars.INDEX }}",
        "gh workflow run ${{ inputs.file }} -f ref=v1",
        'gh workflow run python.yml -R "$GITHUB_REPOSITORY" -f ref=v1',
        "gh workflow run python.yml --repo ${{ github.repository }} -f ref=v1",
        "gh workflow run release.yml",
        # These are not judged.
        "gh workflow run other.yml --repo another/repository",
        'gh workflow run "$NAME"',
        "gh workflow list",
        "echo gh workflow run other.yml",
    ],
)
def test_dispatch_that_starts_a_workflow_is_silent(command: str, tmp_path: Path) -> None:
    assert list(check_dispatches(loaded(tmp_path, command), EVENT, "me/demo")) == []


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("gh workflow run other.yml", "other.yml"),
        ("gh workflow run broken.yml", "broken.yml"),
        ("gh workflow run python.yml", "python.yml"),
        ("gh workflow run python.yml -f ref=v1 -f other=x", "python.yml"),
        ("gh workflow run python.yml -f ref=v1 -f index=another", "python.yml"),
        ("gh workflow run other.yml --repo ${{ github.repository }}", "other.yml"),
    ],
)
def test_dispatch_that_starts_no_workflow_is_broken(
    command: str, name: str, tmp_path: Path
) -> None:
    (cause,) = check_dispatches(loaded(tmp_path, command), EVENT, "me/demo")

    assert (cause.name, cause.severity) == ("workflow-not-triggered", "broken")
    assert cause.facts["workflow"] == name
    assert cause.where.startswith("release.yml:7 ")


def test_dispatched_workflow_needs_the_event(tmp_path: Path) -> None:
    python = PYTHON.replace("workflow_dispatch", "workflow_call").replace(
        "{required: true}", "{type: string}"
    )
    python = python.replace("{type: choice, options: [test, live]}", "{type: string}")

    (cause,) = check_dispatches(loaded(tmp_path, "gh workflow run python.yml", python), EVENT)

    assert cause.name == "workflow-not-triggered"


def test_dispatch_that_a_condition_skips_is_silent(tmp_path: Path) -> None:
    skipped = loaded(tmp_path, "gh workflow run other.yml", condition="inputs.file == 'x'")

    assert list(check_dispatches(skipped, EVENT)) == []


def chain(folder: Path, command: str, tag: str = "v9", event: Event = EVENT) -> list[Event]:
    """Return the events of the workflows that a command dispatches."""
    release = loaded(folder, command)
    read = {"release.yml": release, "python.yml": release.others[0]}.get
    first, *dispatched = workflow_chain("release.yml", event, read, repository="me/demo", tag=tag)
    assert (first.name, first.event) == ("release.yml", event)
    assert all(link.name == "python.yml" for link in dispatched)
    return [link.event for link in dispatched]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("", "refs/heads/main"),
        ("--ref v1.2", "refs/tags/v1.2"),
        ("--ref=py-v1.2.0rc1", "refs/tags/py-v1.2.0rc1"),
        ("-r v9", "refs/tags/v9"),
        ('--ref "$TAG"', "refs/tags/v9"),
        ("--ref ${{ vars.TAG }}", "refs/tags/v9"),
        ("--ref stable", "refs/heads/stable"),
        ("--ref refs/heads/1.x", "refs/heads/1.x"),
        ("--ref ${{ github.ref_name }}", "refs/heads/main"),
    ],
)
def test_dispatched_run_has_the_ref_of_the_command(tmp_path: Path, ref: str, expected: str) -> None:
    (event,) = chain(tmp_path, f'gh workflow run python.yml {ref} -f ref="$TAG"')
    assert event.ref == expected
    assert dict(event.inputs) == {"ref": "v9"}
    assert event.by_workflow


@pytest.mark.parametrize(
    ("create", "tag"),
    [
        ("gh release create py-v1.0 --notes x", "py-v1.0"),
        ("gh release create py-${{ inputs.file }}", "py-python.yml"),
        ('gh release create "$TAG"', "v9"),
        ("gh release create --draft x", "v9"),
    ],
)
def test_tag_of_the_release_page_is_that_of_the_dispatch(
    tmp_path: Path, create: str, tag: str
) -> None:
    command = f'{create}\n        gh workflow run python.yml --ref "$TAG" -f ref="$TAG"'
    (event,) = chain(tmp_path, command)
    assert (event.ref, event.inputs["ref"]) == (f"refs/tags/{tag}", tag)


def test_workflow_that_dispatches_itself_is_read_once(tmp_path: Path) -> None:
    assert chain(tmp_path, "gh workflow run release.yml") == []
