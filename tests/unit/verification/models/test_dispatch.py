"""The inputs of dispatches, by the rules of GitHub's API."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.dispatch import complete_inputs, dispatch_targets
from verification.models.workflow import WorkflowInput

INPUTS = {
    "version": WorkflowInput(required=True),
    "dry": WorkflowInput(type="boolean"),
    "kind": WorkflowInput(type="choice", options=("final", "candidate"), default="final"),
}


def test_missing_inputs_have_their_defaults() -> None:
    inputs, refusal = complete_inputs(INPUTS, {"version": "1"})
    assert (inputs, refusal) == ({"version": "1", "dry": "false", "kind": "final"}, "")


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({}, "'version'"),
        ({"version": ""}, "'version'"),
        ({"version": "1", "other": "2"}, "'other'"),
        ({"version": "1", "dry": "yes"}, "'yes'"),
        ({"version": "1", "kind": "beta"}, "'beta'"),
    ],
)
def test_wrong_inputs_are_refused(inputs: dict[str, str], word: str) -> None:
    complete, refusal = complete_inputs(INPUTS, inputs)
    assert complete == {}
    assert word in refusal


def test_targets_are_the_valid_workflow_files(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    jobs = "jobs: {a: {runs-on: x, steps: [{run: a}]}}\n"
    inputs = "{a: {type: number, default: 1, required: true}}"
    (folder / "a.yml").write_text(
        f"name: A\non: {{workflow_dispatch: {{inputs: {inputs}}}}}\n{jobs}"
    )
    (folder / "b.yaml").write_text(f"on: push\n{jobs}")
    (folder / "c.yml").write_text("on: push\n")
    first, second = dispatch_targets(tmp_path)
    assert (first.path, first.name, first.dispatchable) == (".github/workflows/a.yml", "A", True)
    assert first.inputs == {"a": WorkflowInput(type="number", default="1", required=True)}
    assert (second.path, second.dispatchable) == (".github/workflows/b.yaml", False)
