from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import Event
from verification.models.workflow_call import with_called_workflows, with_local_actions
from verification.models.workflow_file import load, parse
from verification.pipeline.contexts import for_event, job_combinations, known_text
from verification.pipeline.tasks import tasks_of

TEXT = """
on: [push, release]
jobs:
  build:
    strategy: {matrix: {os: [ubuntu-latest, windows-latest]}}
    runs-on: ${{ matrix.os }}
    steps:
      - run: one
      - {run: two, if: "runner.os == 'Linux'"}
      - {run: three, if: "runner.os == 'macOS'"}
  publish:
    if: github.event_name == 'release'
    runs-on: ubuntu-latest
    steps: [{run: four}]
  after:
    needs: publish
    runs-on: ubuntu-latest
    steps: [{run: five}]
"""


@pytest.mark.parametrize(
    ("event", "steps"),
    [
        ("push", {"build": 2, "publish": 0, "after": 0}),
        ("release", {"build": 2, "publish": 1, "after": 1}),
    ],
)
def test_only_what_can_run_for_the_event_is_left(event: str, steps: dict[str, int]) -> None:
    workflow, _ = for_event(parse(TEXT, Path("w.yml")), Event(name=event, ref="refs/tags/v1"), "")

    assert {name: len(job.steps) for name, job in workflow.jobs.items()} == steps


def test_each_combination_has_its_runner_and_its_values() -> None:
    workflow, runs = for_event(parse(TEXT, Path("w.yml")), Event(ref="refs/tags/v1"), "")
    build, *_ = workflow.running_jobs

    combinations = job_combinations(build, runs)

    assert [label for label, _ in combinations] == ["ubuntu-latest", "windows-latest"]
    text = "${{ matrix.os }} ${{ github.ref_name }}"
    assert known_text(text, combinations[1][1]) == "windows-latest v1"
    assert known_text("${{ secrets.TOKEN }}", combinations[0][1]) is None


def test_inputs_of_a_call_and_of_a_local_action_are_known(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "main.yml").write_text(
        "on: push\njobs:\n  call:\n    uses: ./.github/workflows/called.yml\n"
        "    with: {name: wheels}\n"
    )
    (folder / "called.yml").write_text(
        "on: {workflow_call: {inputs: {name: {type: string}}}}\njobs:\n  inner:\n"
        "    runs-on: ubuntu-latest\n    steps:\n"
        "      - {uses: ./action, with: {command: '${{ inputs.name }}'}}\n"
    )
    (tmp_path / "action").mkdir()
    (tmp_path / "action" / "action.yml").write_text(
        "runs:\n  using: composite\n  steps:\n"
        "    - {run: 'echo ${{ inputs.command }} ${{ inputs.other }}', shell: bash}\n"
        "    - {run: python -m build, shell: bash}\n"
    )
    read = with_called_workflows(load(folder / "main.yml"), tmp_path)
    workflow, runs = for_event(with_local_actions(read, tmp_path), Event(ref="refs/heads/m"), "")
    (running,) = workflow.running_jobs
    ((_, context),) = job_combinations(running, runs)
    (step,) = running.job.steps

    assert tasks_of(running.job) == {"build"}
    assert known_text(step.with_["command"], context) == "wheels"
    # An input that the step does not set has no known value.
    assert [known_text(inner.run or "", context) for inner in step.steps] == [
        None,
        "python -m build",
    ]
