"""No expression of a workflow file ends the static examination with a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.release_workflow import REGISTERED, SUBJECT
from verification.models.cause import Cause
from verification.models.workflow import Event
from verification.pipeline.plan import Plan
from verification.session import release_pipeline

PLACES = (
    *("name", "run-name", "top-env", "top-shell", "group", "cancels", "job-name", "job-if"),
    *("needs-if", "runs-on", "environment", "url", "job-group", "job-cancels", "matrix", "axis"),
    *("include", "exclude", "fail-fast", "max-parallel", "job-continue", "minutes", "image"),
    *("job-env", "output", "step-name", "step-if", "step-continue", "step-minutes", "step-env"),
    *("run", "shell", "folder", "with", "index", "script-index", "repository", "tag-name"),
    *("call-input", "call-number", "called-environment", "called-if", "dispatch"),
)
"""The places of an expression in `WORKFLOW` and `CALLED`."""
WORKFLOW = """
name: "[name]"
run-name: "[run-name]"
on: {push: {tags: ["v*"]}}
env: {TOP: "[top-env]"}
defaults: {run: {shell: "[top-shell]"}}
concurrency: {group: "[group]", cancel-in-progress: "[cancels]"}
jobs:
  build:
    name: "[job-name]"
    if: "[job-if]"
    runs-on: "[runs-on]"
    environment: {name: "[environment]", url: "[url]"}
    concurrency: {group: "[job-group]", cancel-in-progress: "[job-cancels]"}
    continue-on-error: "[job-continue]"
    timeout-minutes: "[minutes]"
    container: {image: "[image]"}
    env: {JOB: "[job-env]"}
    outputs: {version: "[output]"}
    strategy:
      fail-fast: "[fail-fast]"
      max-parallel: "[max-parallel]"
      matrix: {os: "[axis]", include: "[include]", exclude: "[exclude]"}
    steps:
      - {id: one, name: "[step-name]", if: "[step-if]", run: "[run]", shell: "[shell]"}
      - {uses: pypa/cibuildwheel@v3, with: {package-dir: "[with]"}, env: {A: "[step-env]"}}
      - {run: "gh release create [tag-name]", working-directory: "[folder]"}
      - {run: "gh workflow run [dispatch]", continue-on-error: "[step-continue]"}
  more:
    runs-on: ubuntu-latest
    strategy: {matrix: "[matrix]"}
    steps: [{run: make, timeout-minutes: "[step-minutes]"}]
  publish:
    needs: [build, more]
    if: "[needs-if]"
    runs-on: ubuntu-latest
    steps:
      - {uses: pypa/gh-action-pypi-publish@v1, with: {repository-url: "[index]"}}
      - {run: "twine upload -r [script-index] dist/*", env: {TWINE_REPOSITORY: "[repository]"}}
  call:
    needs: build
    uses: ./.github/workflows/called.yml
    with: {text: "[call-input]", count: "[call-number]"}
"""
CALLED = """
on: {workflow_call: {inputs: {text: {type: string}, count: {type: number}}}}
jobs:
  upload:
    if: "[called-if]"
    runs-on: ubuntu-latest
    environment: "[called-environment]"
    steps: [{uses: pypa/gh-action-pypi-publish@v1}]
"""
DEFAULTS = {
    "runs-on": "ubuntu-latest",
    "matrix": "${{ fromJSON('{\\\"a\\\": [1]}') }}",
    "axis": "${{ fromJSON('[1]') }}",
    "include": "${{ fromJSON('[]') }}",
    "exclude": "${{ fromJSON('[]') }}",
    "call-number": "1",
    "dispatch": "other.yml",
}
"""The texts of the places without the expression of a test."""
EVALUATED = {
    *("group", "cancels", "job-if", "needs-if", "runs-on", "job-group", "job-cancels"),
    *("job-continue", "step-if", "step-continue", "called-if"),
}
"""The places in which an expression decides something about the release."""


def examine(root: Path, text: str, *places: str) -> tuple[Cause, ...]:
    """Return the causes of a workflow with a text in these places."""
    folder = root / ".github" / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text("[project]\nname = 'quiverdb'\nversion = '1.0'\n")
    for name, template in (("publish.yml", WORKFLOW), ("called.yml", CALLED)):
        content = template
        for other in PLACES:
            value = text if other in places else DEFAULTS.get(other, "true")
            content = content.replace(f"[{other}]", json.dumps(value)[1:-1])
        (folder / name).write_text(content, "utf-8")
    plan, event = Plan(workflow="publish.yml"), Event(ref="refs/tags/v1.0")
    started = release_pipeline.started_workflows(root, plan, event, REGISTERED)
    return release_pipeline.examine(started, SUBJECT, REGISTERED)


@pytest.mark.parametrize("place", sorted(EVALUATED))
def test_expression_that_fails_is_reported_if_it_decides_something(
    tmp_path: Path, place: str
) -> None:
    names = {cause.name for cause in examine(tmp_path, "${{ fromJSON('x') }}", place)}
    assert "workflow-invalid" in names


def test_expression_that_fails_elsewhere_is_no_fault_of_the_release(tmp_path: Path) -> None:
    places = set(PLACES) - EVALUATED
    names = {cause.name for cause in examine(tmp_path, "${{ fromJSON('x') }}", *places)}
    assert "workflow-invalid" not in names


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
EXPRESSIONS = st.one_of(
    st.sampled_from(
        (
            "fromJSON('x')",
            "format('{9}')",
            "format('{0', 1)",
            f"format('{{{'9' * 5000}}}')",
            "case(1, 2, 3)",
            f"fromJSON('{'[' * 900}')",
            f"fromJSON('{'[' * 5000}{']' * 5000}')",
            f"fromJSON('{'1' * 400}')",
            f"fromJSON('{'1' * 5000}')",
            f"fromJSON('1e{'9' * 400}')",
            f"0x{'f' * 400} > 1",
            f"{' || '.join(['github.ref'] * 3000)}",
            f"{' == '.join(['github.ref'] * 3000)}",
            f"{'!' * 3000}true",
            f"{'(' * 3000}true",
            "github" + ".a" * 3000,
            "github.*.*[github]",
            "join(github, github)",
            "toJSON(needs)",
            "matrix[matrix[matrix]]",
            "",
            "'",
        )
    ),
    VALUES.map(lambda value: "fromJSON('" + json.dumps(value).replace("'", "''") + "')"),
    st.text(alphabet="github.envms[]()!=&|'0x1, ", max_size=20),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=(HealthCheck.function_scoped_fixture,)
)
@given(place=st.sampled_from(PLACES), expression=EXPRESSIONS)
def test_any_expression_ends_in_causes(tmp_path: Path, place: str, expression: str) -> None:
    examine(tmp_path, f"${{{{ {expression} }}}}", place)
