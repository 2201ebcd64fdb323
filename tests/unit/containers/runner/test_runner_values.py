"""The values of `runner` in the workflow files that act reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from containers.runner.runner_values import RunnerValues, with_runner_values
from verification.models.workflow import Workflow, WorkflowJob
from verification.models.workflow_call import load_with_called
from verification.models.workflow_file import load, parse
from verification.pipeline.expressions import Context, fill, holds

ROOT = Path(__file__).parents[4]
FOLDER = Path(".github/workflows")
JOB = """\
on: {push: , workflow_call: {inputs: {os: {type: string}}}}
jobs:
  # A comment
  make:
    LABEL
    steps:
      - run: one # another
      - name: ${{ runner.os }}-${{ runner['arch'] }}
        if: CONDITION
        run: |
          make ${{ runner.os }}

          done
        env: {A: "a, \\"b\\"", if: runner.os}
      - {run: last, id: last}
"""


def with_values(
    root: Path, label: str, condition: str = "runner.os == 'Windows'", **files: str
) -> tuple[RunnerValues, Workflow]:
    """Return the result for a job with this label and a step with this condition, and the new
    workflow."""
    path = root / FOLDER / "publish.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(JOB.replace("LABEL", label).replace("CONDITION", condition), "utf-8")
    for name, text in files.items():
        path.with_name(f"{name}.yml").write_text(text, "utf-8")
    values = with_runner_values(load_with_called(path, root), root)
    new = values.texts.get(str(FOLDER / "publish.yml"), path.read_text("utf-8"))
    return values, parse(new, path)


def job_of(workflow: Workflow) -> WorkflowJob:
    return workflow.jobs["make"]


def runs(job: WorkflowJob, matrix: Mapping[str, str]) -> bool:
    return holds(job.steps[1].condition or "", Context(values={"matrix": {**matrix}}))


def variables(job: WorkflowJob, matrix: Mapping[str, str]) -> tuple[str, ...]:
    context = Context(values={"matrix": {**matrix}})
    return tuple(fill(job.env[name], context) for name in ("RUNNER_OS", "RUNNER_ARCH"))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("windows-latest", ("Windows", "X64")),
        ("[windows-latest]", ("Windows", "X64")),
        ("{labels: macos-13}", ("macOS", "X64")),
        ("macos-latest", ("macOS", "ARM64")),
        ("ubuntu-24.04-arm", ("Linux", "ARM64")),
    ],
)
def test_job_has_the_values_of_its_label(
    tmp_path: Path, label: str, expected: tuple[str, str]
) -> None:
    values, workflow = with_values(tmp_path, f"runs-on: {label}")
    job = job_of(workflow)
    assert variables(job, {}) == expected
    assert fill(job.steps[1].name or "", Context()) == "-".join(expected)
    assert fill(job.steps[1].run or "", Context()) == f"make {expected[0]}\n\ndone\n"
    assert runs(job, {}) == (expected[0] == "Windows")
    assert values.limits == ()


@pytest.mark.parametrize(
    "label",
    [
        "strategy: {matrix: {os: [ubuntu-22.04, windows-2025, macos-15]}}\n"
        "    runs-on: ${{ matrix.os }}",
        "strategy: {matrix: {include: [{os: ubuntu-22.04}, {os: windows-2025}, {os: macos-15}]}}\n"
        "    runs-on: [ '${{matrix.os}}' ]",
        "strategy: {matrix: {os: [ubuntu-22.04, windows-2025, macos-15]}}\n"
        "    runs-on: ${{ format('{0}', matrix['os']) }}",
    ],
    ids=["axis", "include", "expression"],
)
def test_job_of_a_matrix_has_the_values_of_the_combination(tmp_path: Path, label: str) -> None:
    values, workflow = with_values(tmp_path, label)
    job = job_of(workflow)
    found = {os: variables(job, {"os": os}) for os in ("ubuntu-22.04", "windows-2025", "macos-15")}
    assert found == {
        "ubuntu-22.04": ("Linux", "X64"),
        "windows-2025": ("Windows", "X64"),
        "macos-15": ("macOS", "ARM64"),
    }
    assert [runs(job, {"os": os}) for os in found] == [False, True, False]
    assert values.limits == ()


def test_label_can_have_text_around_its_expression(tmp_path: Path) -> None:
    _, workflow = with_values(
        tmp_path, "strategy: {matrix: {v: ['13', '14']}}\n    runs-on: macos-${{ matrix.v }}"
    )
    found = [variables(job_of(workflow), {"v": v}) for v in ("13", "14")]
    assert found == [("macOS", "X64"), ("macOS", "ARM64")]


def test_each_key_and_step_keeps_its_line_and_the_other_values(tmp_path: Path) -> None:
    values, workflow = with_values(tmp_path, "runs-on: windows-latest")
    old = load(tmp_path / FOLDER / "publish.yml")
    assert workflow.lines == old.lines
    assert job_of(workflow).line == job_of(old).line
    assert [step.line for step in job_of(workflow).steps] == [7, 8, 15]
    one, changed, last = job_of(workflow).steps
    assert (one.run, last.run, last.id) == ("one", "last", "last")
    assert changed.env == {"A": 'a, "b"', "if": "runner.os"}
    assert list(values.texts) == [str(FOLDER / "publish.yml")]


def test_text_that_yaml_cannot_show_plainly_stays(tmp_path: Path) -> None:
    name = "\N{HAMMER}: \u2028 #{}, ''"
    label = "runs-on: windows-latest\n    name: \"\N{HAMMER}: \\u2028 #{}, ''\""
    assert job_of(with_values(tmp_path, label)[1]).name == name


def test_file_with_only_the_values_of_the_container_stays(tmp_path: Path) -> None:
    assert with_values(tmp_path, "runs-on: ubuntu-latest")[0] == ({}, ())


@pytest.mark.parametrize(
    "condition",
    [
        "github.ref == 'runner.os'",
        "\"'it''s runner.os' == matrix.x\"",
        "inputs.os == github.event.runner.os",
        "${{ env.myrunner == 'x' }}",
        "steps.myrunner.outputs.os == 'Linux'",
        "steps.a-runner.outputs.runner == env.runner",
        "runner.temp == runner.os-x",
        "runner.name",
    ],
)
def test_text_that_only_looks_like_the_property_stays(tmp_path: Path, condition: str) -> None:
    values, workflow = with_values(tmp_path, "runs-on: windows-latest", condition)
    old = load(tmp_path / FOLDER / "publish.yml")
    assert job_of(workflow).steps[1].condition == job_of(old).steps[1].condition
    assert values.limits == ()


@pytest.mark.parametrize(
    "condition",
    [
        "RUNNER.OS == 'windows'",
        "runner . os == 'Windows'",
        "${{ runner['os'] == 'Windows' }}",
        "|\n          runner.os == 'Windows' &&\n          runner.arch == 'X64'",
        "\"'runner.os' != runner.os && startsWith(runner.os, 'Win')\"",
    ],
)
def test_each_form_of_the_property_is_replaced(tmp_path: Path, condition: str) -> None:
    _, workflow = with_values(tmp_path, "runs-on: windows-latest", condition)
    assert runs(job_of(workflow), {})
    _, workflow = with_values(tmp_path, "runs-on: macos-latest", condition)
    assert not runs(job_of(workflow), {})


@pytest.mark.parametrize("label", ["[self-hosted, '${{ inputs.os }}']", "{group: large}"])
def test_unknown_label_keeps_the_text_and_is_a_limit(tmp_path: Path, label: str) -> None:
    values, _ = with_values(tmp_path, f"runs-on: {label}")
    assert values.texts == {}
    assert any(limit.startswith("publish.yml:4: ") and "make" in limit for limit in values.limits)


def test_expression_with_all_of_runner_is_a_limit(tmp_path: Path) -> None:
    values, _ = with_values(
        tmp_path, "runs-on: windows-latest", "contains(toJSON(runner), 'Windows')"
    )
    (limit,) = values.limits
    assert limit.startswith("publish.yml:8: ")


def test_variables_of_the_job_stay(tmp_path: Path) -> None:
    label = "env: {RUNNER_OS: mine, B: 1.10}\n    runs-on: windows-latest"
    _, workflow = with_values(tmp_path, label)
    env = job_of(workflow).env
    assert variables(job_of(workflow), {}) == ("mine", "X64")
    assert set(env) == {"RUNNER_OS", "RUNNER_ARCH", "B"}
    _, workflow = with_values(tmp_path, "env:\n    runs-on: windows-latest")
    assert variables(job_of(workflow), {}) == ("Windows", "X64")


def test_called_workflow_has_the_values_of_its_input(tmp_path: Path) -> None:
    called = JOB.replace("LABEL", "runs-on: ${{ inputs.os }}").replace("CONDITION", "runner.os")
    path = tmp_path / FOLDER / "publish.yml"
    label = "runs-on: ubuntu-latest"
    text = JOB.replace("LABEL", label).replace("CONDITION", "true")
    text += "  call: {uses: ./.github/workflows/called.yml, with: {os: windows-latest}}\n"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    path.with_name("called.yml").write_text(called, "utf-8")
    texts, limits = with_runner_values(load_with_called(path, tmp_path), tmp_path)
    (new,) = (text for name, text in texts.items() if name.endswith("called.yml"))
    context = Context(values={"inputs": {"os": "windows-latest"}})
    assert fill(job_of(parse(new, path)).env["RUNNER_OS"], context) == "Windows"
    assert limits == ()
    assert list(texts) == [str(FOLDER / "called.yml")]


ACTION = """\
inputs: {os: {}}
runs:
  using: composite
  steps: [{shell: bash, run: "echo ${{ USED }}"}]
"""


@pytest.mark.parametrize(("used", "is_limited"), [("runner.os", True), ("inputs.os", False)])
def test_composite_action_that_reads_the_property_is_a_limit(
    tmp_path: Path, used: str, *, is_limited: bool
) -> None:
    action = tmp_path / "action" / "action.yml"
    action.parent.mkdir()
    action.write_text(ACTION.replace("USED", used), "utf-8")
    step = "steps: [{uses: ./action, with: {os: '${{ runner.os }}'}}]"
    for label, expected in (("windows-latest", is_limited), ("ubuntu-latest", False)):
        path = tmp_path / FOLDER / "publish.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"on: push\njobs: {{make: {{runs-on: {label}, {step}}}}}\n", "utf-8")
        values = with_runner_values(load(path), tmp_path)
        assert bool(values.limits) == expected


def test_anchor_has_the_values_of_each_job(tmp_path: Path) -> None:
    text = """\
on: push
jobs:
  one:
    runs-on: windows-latest
    steps: &steps
      - {run: one, if: runner.os == 'Windows'}
  two:
    runs-on: macos-latest
    steps: *steps
"""
    path = tmp_path / FOLDER / "publish.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    (new,) = with_runner_values(load(path), tmp_path).texts.values()
    jobs = parse(new, path).jobs.values()
    conditions = [job.steps[0].condition or "" for job in jobs]
    assert [holds(condition, Context()) for condition in conditions] == [True, False]


WORKFLOWS = sorted((ROOT / "tests" / "faults" / "release_workflows").rglob(f"{FOLDER}/*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_release_workflow_changes_only_where_it_reads_the_runner(path: Path) -> None:
    root = path.parents[2]
    for name, text in with_runner_values(load_with_called(path, root), root).texts.items():
        old, new = load(root / name), parse(text, root / name)
        assert new.lines == old.lines
        for id_, job in old.jobs.items():
            found = new.jobs[id_]
            assert (found.line, found.combinations) == (job.line, job.combinations)
            assert found.env.items() >= job.env.items()
            for step, new_step in zip(job.steps, found.steps, strict=True):
                plain = step.model_copy(update={"comment": ""})
                assert new_step.line == step.line
                assert "runner." in str(step) or new_step == plain
