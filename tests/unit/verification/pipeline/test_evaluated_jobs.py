"""Tests of which jobs and steps run, with the rules in the documentation of GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import Event, Workflow
from verification.models.workflow_file import parse
from verification.pipeline.evaluated_jobs import (
    EvaluatedJob,
    evaluate_jobs,
    known_combinations,
    runner_labels,
)
from verification.pipeline.expressions import UnknownValue, evaluate

TAG = Event(ref="refs/tags/v1.0")


def workflow(*jobs: str) -> Workflow:
    """Return a workflow. Each text is `id: settings`; a job without steps has one."""
    texts = []
    for job in jobs:
        name, _, settings = job.partition(":")
        steps = "" if "steps:" in settings else ", steps: [{run: a}]"
        runner = "" if "runs-on:" in settings else ", runs-on: ubuntu-latest"
        texts.append(f"  {name}: {{name: {name}{steps}{runner}{settings}}}")
    return parse("on: push\njobs:\n" + "\n".join(texts), Path("demo.yml"))


def runs(*jobs: str) -> dict[str, EvaluatedJob]:
    return {run.job.id: run for run in evaluate_jobs(workflow(*jobs), TAG, "me/demo")}


def decisions(*jobs: str) -> dict[str, bool | None]:
    return {name: run.decided.runs for name, run in runs(*jobs).items()}


SKIPPED = "a:, if: false"


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ("", False),
        (", if: true", False),
        (", if: success()", False),
        (", if: failure()", False),
        (", if: always()", True),
        (", if: '!failure() && !cancelled()'", True),
        (", if: always() && needs.b.result == 'skipped'", True),
        (", if: always() && needs.b.result == 'success'", False),
        (", if: always() && vars.X", None),
    ],
)
def test_a_skipped_job_skips_every_later_job_without_a_status_function(
    condition: str, result: bool | None
) -> None:
    found = decisions(SKIPPED, "b:, needs: a", f"c:, needs: b{condition}")

    assert found == {"a": False, "b": False, "c": result}


def test_a_skip_also_reaches_a_job_after_one_that_runs_always() -> None:
    # The whole chain after the skipped job is skipped, also if a job in between ran.
    found = decisions(SKIPPED, "b:, needs: a, if: always()", "c:, needs: b")

    assert found == {"a": False, "b": True, "c": False}


def test_the_condition_that_decides_is_named() -> None:
    found = runs(SKIPPED, "b:, needs: a", "c:, if: vars.X == '1'", "d:, needs: c")

    assert [condition.text for condition in found["b"].decided.because] == ["false"]
    (unknown,) = found["d"].decided.because
    assert (unknown.text, unknown.unknown) == ("vars.X == '1'", "vars.X")
    assert unknown.where == found["c"].location()


def test_jobs_are_in_an_order_in_which_they_can_run() -> None:
    found = runs("c:, needs: [a, b]", "b:, needs: a", "a:")

    assert list(found) == ["a", "b", "c"]
    assert found["c"].before == {("a",), ("b",)}


@pytest.mark.parametrize(
    ("matrix", "combinations"),
    [
        ("", ({},)),
        (", strategy: {matrix: {a: [1, 2]}}", ({"a": 1}, {"a": 2})),
        (", strategy: {matrix: {a: \"${{ fromJSON('[1, 2]') }}\"}}", ({"a": 1}, {"a": 2})),
        (", strategy: {matrix: \"${{ fromJSON('{''a'': [1]}') }}\"}", None),
        (", strategy: {matrix: {a: '${{ fromJSON(vars.X) }}'}}", None),
        (", strategy: {matrix: {a: ['${{ github.ref_name }}']}}", ({"a": "v1.0"},)),
    ],
)
def test_matrix_is_evaluated(matrix: str, combinations: object) -> None:
    run = runs(f"a:{matrix}")["a"]

    assert known_combinations(run.job, run.context) == combinations


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        (", runs-on: [self-hosted, linux]", ["self-hosted, linux"]),
        (", runs-on: '${{ github.ref_type }}'", ["tag"]),
        (", runs-on: \"${{ fromJSON('[1, 2]') }}\"", ["1, 2"]),
        (", runs-on: \"${{ fromJSON('{}') && 'b' }}\"", ["b"]),
        (", runs-on: '${{ matrix.os }}-x', strategy: {matrix: {os: [a, b]}}", ["a-x", "b-x"]),
    ],
)
def test_runner_has_the_labels_of_each_combination(settings: str, labels: list[str]) -> None:
    run = runs(f"a:{settings}")["a"]
    contexts = run.combination_contexts()

    assert [runner_labels(run.job, n, context) for n, context in enumerate(contexts)] == labels


def test_steps_know_the_results_of_earlier_steps() -> None:
    steps = (
        "{run: a, id: one}, {run: b, id: two, if: failure()}, "
        "{run: c, if: steps.one.outcome == 'success' && steps.two.conclusion == 'skipped'}, "
        "{run: d, if: steps.one.outputs.x == '1'}, {run: e, if: steps.three.outcome}, "
        "{run: f, id: three}"
    )

    found = [decided.runs for _, decided in runs(f"a:, steps: [{steps}]")["a"].steps()]

    assert found == [True, False, True, None, False, True]


@pytest.mark.parametrize(
    ("label", "system", "processor"),
    [
        ("ubuntu-24.04-arm", "Linux", "ARM64"),
        ("windows-2025", "Windows", "X64"),
        ("macos-15", "macOS", "ARM64"),
    ],
)
def test_runner_of_github_has_a_known_system(label: str, system: str, processor: str) -> None:
    (context,) = runs(f"a:, runs-on: {label}")["a"].combination_contexts()

    assert evaluate("runner.os", context) == system
    assert evaluate("runner.arch", context) == processor
    with pytest.raises(UnknownValue):
        evaluate("runner.temp", context)


def test_other_runner_has_an_unknown_system() -> None:
    (context,) = runs("a:, runs-on: [self-hosted, linux]")["a"].combination_contexts()

    with pytest.raises(UnknownValue):
        evaluate("runner.os", context)
