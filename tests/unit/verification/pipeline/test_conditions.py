"""Tests of triggers, conditions and interruptions, with the event of the release."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.cause import Cause
from verification.models.workflow import BadWorkflow, Event, Workflow
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load, parse
from verification.pipeline.conditions import check_conditions, check_interruption, check_triggers
from verification.pipeline.evaluated_jobs import EvaluatedJob

TAG = Event(ref="refs/tags/v1.0")
RELEASE = Event(name="release", type="published", ref="refs/tags/v1.0")
DISPATCH = Event(name="workflow_dispatch", ref="refs/heads/main", inputs={"publish": "true"})
BUILD = "{uses: pypa/cibuildwheel@v3}"
UPLOAD = "{uses: pypa/gh-action-pypi-publish@release/v1}"
REPOSITORY = "me/demo"


def workflow(
    *,
    on: str = "{push: {tags: ['v*']}}",
    head: str = "",
    build: str = "",
    build_steps: str = BUILD,
    publish: str = "needs: build",
    publish_steps: str = UPLOAD,
    more: str = "",
) -> Workflow:
    """Return a workflow that builds and publishes. Each text is a part of it."""

    def job(name: str, settings: str, steps: str) -> str:
        lines = [f"  {name}:", f"    steps: [{steps}]"]
        if "runs-on" not in settings:
            lines.append("    runs-on: ubuntu-latest")
        return "\n".join((*lines, *(f"    {line}" for line in settings.splitlines()), ""))

    text = f"on: {on}\n{head}jobs:\n{job('build', build, build_steps)}"
    return parse(f"{text}{job('publish', publish, publish_steps)}{more}", Path("release.yml"))


def named(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.name, cause.severity) for cause in causes]


def conditions(workflow: Workflow, event: Event = TAG) -> list[tuple[str, str]]:
    return named(list(check_conditions(workflow, event, REPOSITORY)))


BROKEN_SKIP = [("job-skipped", "broken")]
UNKNOWN = [("not-evaluated", "note")]


# -- conditions that are true ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "event"),
    [
        ("startsWith(github.ref, 'refs/tags/')", TAG),
        ("github.event_name == 'push' && contains(github.ref, 'refs/tags/v')", TAG),
        ("github.repository == 'me/demo' && github.ref_type == 'tag'", TAG),
        ("github.repository_owner == 'Me'", TAG),
        ("github.event_name == 'release' && github.event.action == 'published'", RELEASE),
        ("github.event_name != 'pull_request' || secrets_x", TAG),
        ("inputs.publish", DISPATCH),
        ("github.event.inputs.publish == 'true'", DISPATCH),
        ("needs.build.result == 'success'", TAG),
        ("success() && !cancelled()", TAG),
        ("${{ !failure() && !cancelled() }}", TAG),
        ("always() && needs.build.result == 'success'", TAG),
    ],
)
def test_condition_that_is_true_for_the_event_is_silent(condition: str, event: Event) -> None:
    condition = condition.replace("secrets_x", "vars.X")
    on = "{push: , release: , workflow_dispatch: {inputs: {publish: {type: boolean}}}}"

    assert conditions(workflow(on=on, publish=f"needs: build\nif: {condition!r}"), event) == []


def test_condition_of_a_step_uses_matrix_runner_and_earlier_steps() -> None:
    steps = (
        "{run: a, id: a}, {run: b, id: b, if: matrix.os == 'windows-2022'}, "
        "{uses: pypa/cibuildwheel@v3, if: runner.os == 'Linux' && steps.a.outcome == 'success'}"
    )
    matrix = "runs-on: ${{ matrix.os }}\nstrategy: {matrix: {os: [ubuntu-24.04, windows-2022]}}"

    assert conditions(workflow(build=matrix, build_steps=steps)) == []


def test_condition_in_a_job_without_a_task_for_the_release_is_silent() -> None:
    more = "  docs: {runs-on: x, if: false, steps: [{run: a, if: vars.A, continue-on-error: true}]}"

    assert conditions(workflow(more=more)) == []


def test_one_of_several_jobs_that_publish_is_enough() -> None:
    more = f"  again: {{needs: build, runs-on: x, if: false, steps: [{UPLOAD}]}}\n"

    assert conditions(workflow(more=more)) == []


def test_upload_to_a_test_index_can_be_skipped() -> None:
    test_index = "{uses: pypa/gh-action-pypi-publish@v1, with: {repository-url: 'https://test.x'}}"
    more = f"  test: {{needs: build, runs-on: x, if: false, steps: [{test_index}]}}\n"

    assert conditions(workflow(more=more)) == []


# -- conditions that are false --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "event"),
    [
        ("false", TAG),
        ("github.ref == 'refs/heads/main'", TAG),
        ("github.event_name == 'release'", TAG),
        ("github.event_name == 'push'", RELEASE),
        ("github.event.action == 'created'", RELEASE),
        ("inputs.publish == 'true'", DISPATCH),
        ("github.repository == 'other/demo'", TAG),
        ("failure()", TAG),
        ("vars.X && false", TAG),
    ],
)
def test_condition_that_is_false_keeps_the_release_from_its_users(
    condition: str, event: Event
) -> None:
    on = "{push: , release: , workflow_dispatch: {inputs: {publish: {type: boolean}}}}"
    text = f"needs: build\nif: {condition!r}"
    steps = f"{{run: a}}, {UPLOAD[:-1]}, if: {condition!r}}}"

    assert conditions(workflow(on=on, publish=text), event) == BROKEN_SKIP
    assert conditions(workflow(on=on, publish_steps=steps), event) == BROKEN_SKIP


def test_the_cause_is_at_the_condition_that_skips_the_other_jobs() -> None:
    skipped = workflow(build="if: github.event_name == 'release'")

    (cause,) = check_conditions(skipped, TAG)

    assert cause.name == "job-skipped"
    assert cause.where == f"release.yml:{skipped.jobs['build'].line} (build)"
    assert cause.facts["condition"] == "github.event_name == 'release'"


@pytest.mark.parametrize(("publish", "result"), [("", BROKEN_SKIP), ("needs: build", [])])
def test_an_upload_of_other_files_does_not_replace_the_upload_of_a_job(
    publish: str, result: list[tuple[str, str]]
) -> None:
    build_steps = f"{BUILD}, {UPLOAD[:-1]}, if: github.event_name == 'release'}}"
    publish_steps = f"{{run: python -m build}}, {UPLOAD}"

    several = workflow(build_steps=build_steps, publish=publish, publish_steps=publish_steps)

    assert conditions(several) == result


def test_an_upload_to_a_test_index_does_not_replace_the_release() -> None:
    test_index = "{uses: pypa/gh-action-pypi-publish@v1, with: {repository-url: 'https://test.x'}}"
    more = f"  test: {{needs: build, runs-on: x, steps: [{test_index}]}}\n"

    assert conditions(workflow(publish="needs: build\nif: false", more=more)) == BROKEN_SKIP


def test_a_skipped_check_is_flawed() -> None:
    check = (
        "  check:\n    runs-on: x\n    if: github.event_name == 'release'\n    steps:\n"
        '    - run: |\n        test "$GITHUB_REF_NAME" = "v$(hatch version)"\n'
    )

    assert conditions(workflow(more=check)) == [("job-skipped", "flawed")]


def test_a_release_page_is_not_needed_if_the_release_starts_the_run() -> None:
    more = "  page: {runs-on: x, if: github.event_name == 'push', steps: [{uses: P@v2}]}\n"
    more = more.replace("P", "softprops/action-gh-release")

    assert conditions(workflow(on="release", more=more), RELEASE) == []
    assert conditions(workflow(on="{push: , workflow_dispatch: }", more=more), DISPATCH)


@pytest.mark.parametrize(
    ("condition", "unknown"),
    [
        ("vars.PUBLISH == 'yes'", "vars.PUBLISH"),
        ("needs.build.outputs.version != ''", "needs.build.outputs.version"),
        ("github.actor == 'me'", "github.actor"),
    ],
)
def test_condition_that_only_a_run_can_decide_is_a_note(condition: str, unknown: str) -> None:
    (cause,) = check_conditions(workflow(publish=f"needs: build\nif: {condition!r}"), TAG)

    assert (cause.name, cause.severity) == ("not-evaluated", "note")
    assert cause.facts["unknown"] == unknown


def test_condition_that_fails_makes_the_workflow_invalid() -> None:
    wrong = workflow(publish="needs: build\nif: fromJSON(github.ref)")

    with pytest.raises(BadWorkflow, match=r"release\.yml:\d+: .*fromJSON"):
        conditions(wrong)


# -- called workflows -----------------------------------------------------------------------------


CALLED = """
on: {workflow_call: {inputs: {live: {type: boolean, default: false}}}}
jobs:
  upload:
    runs-on: ubuntu-latest
    if: inputs.live && github.event_name == 'push'
    steps: [{uses: pypa/gh-action-pypi-publish@v1}]
"""


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("with: {live: true}", []),
        ("with: {live: '${{ github.ref_type == ''tag'' }}'}", []),
        ("", BROKEN_SKIP),
        ("with: {live: '${{ vars.LIVE }}'}", UNKNOWN),
        ("with: {live: true}\n    if: false", BROKEN_SKIP),
        ("with: {live: '${{ matrix.live }}'}\n    strategy: {matrix: {live: [false, true]}}", []),
        (
            "with: {live: '${{ matrix.live }}'}\n    strategy: {matrix: {live: [false, 0]}}",
            BROKEN_SKIP,
        ),
    ],
)
def test_condition_of_a_called_workflow_uses_the_inputs_of_the_call(
    call: str, result: list[tuple[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "upload.yml").write_text(CALLED, "utf-8")
    caller = f"on: push\njobs:\n  call:\n    uses: ./.github/workflows/upload.yml\n    {call}\n"
    (folder / "release.yml").write_text(caller, "utf-8")

    called = with_called_workflows(load(folder / "release.yml"), tmp_path)

    assert conditions(called) == result


# -- after a failure ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        "always()",
        "!cancelled()",
        "success() || failure()",
        "always() && github.ref_type == 'tag'",
        "always() && needs.other.result == 'success'",
    ],
)
def test_publishing_after_a_failure_is_broken(condition: str) -> None:
    publish = f"needs: [build, other]\nif: {condition!r}"
    more = "  other: {runs-on: x, steps: [{run: a}]}\n"

    (cause,) = check_conditions(workflow(publish=publish, more=more), TAG)

    assert (cause.name, cause.severity) == ("job-order", "broken")
    assert cause.facts["other"] == "build"


@pytest.mark.parametrize(
    ("first", "severity"), [(BUILD, "broken"), ("{run: twine check dist}", "flawed")]
)
def test_a_step_that_publishes_after_a_failed_step_is_reported(first: str, severity: str) -> None:
    steps = f"{first}, {UPLOAD[:-1]}, if: always()}}"

    assert conditions(workflow(publish_steps=steps)) == [("job-order", severity)]


def test_publishing_after_a_failed_job_that_neither_builds_nor_checks_is_flawed() -> None:
    condition = "always() && needs.build.result == 'success'"
    publish = f"needs: [build, lint]\nif: {condition!r}"
    more = "  lint: {runs-on: x, steps: [{run: ruff check}]}\n"

    assert conditions(workflow(publish=publish, more=more)) == [("job-order", "flawed")]


def test_publishing_after_a_failed_build_of_an_earlier_job_is_broken() -> None:
    more = "  tests: {needs: build, runs-on: x, steps: [{run: pytest}]}\n"

    assert conditions(workflow(publish="needs: tests\nif: always()", more=more)) == [
        ("job-order", "broken")
    ]


GATE = """\
  gate:
    needs: build
    if: always()
    runs-on: x
    steps: [STEP]
"""
CHECKS = "{uses: re-actors/alls-green@release/v1, with: {jobs: '${{ toJSON(needs) }}'}}"


@pytest.mark.parametrize(
    ("needs", "condition"),
    [
        ("gate", "always() && needs.gate.result == 'success'"),
        ("[build, gate]", "always() && github.ref_type == 'tag' && needs.gate.result == 'success'"),
        ("[build, gate]", "!cancelled() && !contains(needs.*.result, 'failure')"),
    ],
)
def test_publishing_after_a_job_that_checks_the_results_is_silent(
    needs: str, condition: str
) -> None:
    publish = f"needs: {needs}\nif: {condition!r}"
    script = "{run: 'test \"${{ needs.build.result }}\" = success'}"

    for step in (CHECKS, script):
        assert conditions(workflow(publish=publish, more=GATE.replace("STEP", step))) == []


@pytest.mark.parametrize(
    ("needs", "condition", "step"),
    [
        ("gate", "always() && needs.gate.result == 'success'", "{run: a}"),
        ("gate", "always() && needs.gate.result == 'success'", "{run: exit 1, if: vars.X}"),
        (
            "gate",
            "always() && needs.gate.result == 'success'",
            f"{CHECKS[:-1]}, continue-on-error: true}}",
        ),
        ("gate", "always() && startsWith(github.ref, 'refs/tags/')", CHECKS),
        ("[build, gate]", "always() && needs.gate.result != 'skipped'", CHECKS),
    ],
)
def test_publishing_after_a_failure_that_no_job_checks_is_broken(
    needs: str, condition: str, step: str
) -> None:
    publish = f"needs: {needs}\nif: {condition!r}"

    (cause,) = [
        cause
        for cause in check_conditions(
            workflow(publish=publish, more=GATE.replace("STEP", step)), TAG, REPOSITORY
        )
        if cause.name == "job-order"
    ]

    assert (cause.severity, cause.facts["other"]) == ("broken", "build")


@pytest.mark.parametrize(("first", "result"), [(CHECKS, []), ("{run: a}", ["job-order"])])
def test_the_publishing_job_itself_can_check_the_results(first: str, result: list[str]) -> None:
    publish = workflow(publish="needs: build\nif: always()", publish_steps=f"{first}, {UPLOAD}")

    assert [name for name, _ in conditions(publish)] == result


def test_a_skipped_job_does_not_fail() -> None:
    more = "  other: {if: false, runs-on: x, steps: [{run: python -m build}]}\n"
    condition = "always() && needs.build.result == 'success'"
    publish = f"needs: [build, other]\nif: {condition!r}"

    assert conditions(workflow(publish=publish, more=more)) == []


@pytest.mark.parametrize(
    "steps",
    [
        f"{BUILD}, {{uses: actions/upload-artifact@v4, if: always()}}",
        f"{BUILD}, {{run: cat log, if: failure()}}",
    ],
)
def test_other_steps_after_a_failure_are_silent(steps: str) -> None:
    assert conditions(workflow(build_steps=steps)) == []


# -- ignored failures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "severity"),
    [
        ({"build_steps": f"{BUILD[:-1]}, continue-on-error: true}}"}, "broken"),
        ({"publish_steps": f"{UPLOAD[:-1]}, continue-on-error: true}}"}, "broken"),
        ({"build": "continue-on-error: true"}, "broken"),
        ({"publish_steps": f"{{run: pytest, continue-on-error: true}}, {UPLOAD}"}, "flawed"),
        (
            {
                "build": "strategy: {matrix: {new: [true, false]}}\n"
                "continue-on-error: ${{ matrix.new }}"
            },
            "flawed",
        ),
        ({"build": "continue-on-error: ${{ github.ref_type == 'tag' }}"}, "broken"),
    ],
)
def test_ignored_failure_has_the_severity_of_its_effect(
    parts: dict[str, str], severity: str
) -> None:
    assert conditions(workflow(**parts)) == [("failure-ignored", severity)]


MATRIX = """\
strategy:
  matrix:
    include:
    - {os: ubuntu-latest, experimental: false}
    - {os: windows-latest, experimental: WINDOWS}
continue-on-error: VALUE"""
BY_MATRIX = "${{ matrix.experimental }}"


@pytest.mark.parametrize(
    ("windows", "value", "platforms", "result"),
    [
        ("true", BY_MATRIX, ("linux", "windows"), ["broken"]),
        ("true", BY_MATRIX, ("linux", ""), ["flawed"]),
        ("true", BY_MATRIX, ("linux", "linux"), ["flawed"]),
        ("false", BY_MATRIX, ("linux", "windows"), []),
        ("true", "${{ matrix.experimental && github.ref_type == 'branch' }}", ("a", "b"), []),
        ("false", "true", ("linux", "windows"), ["broken"]),
        ("false", "true", ("", ""), ["flawed"]),
    ],
)
def test_ignored_failure_of_a_build_is_broken_if_a_platform_can_be_lost(
    windows: str, value: str, platforms: tuple[str, ...], result: list[str]
) -> None:
    build = MATRIX.replace("WINDOWS", windows).replace("VALUE", value)
    of_job = workflow(build=build)
    of_step = workflow(
        build=build.rpartition("\n")[0],
        build_steps=f'{BUILD[:-1]}, continue-on-error: "{value}"}}',
    )

    def built(run: EvaluatedJob, number: int) -> frozenset[str]:
        is_build = run.job.id == "build" and platforms[number]
        return frozenset((platforms[number],)) if is_build else frozenset()

    for file in (of_job, of_step):
        found = named(list(check_conditions(file, TAG, REPOSITORY, built)))
        assert found == [("failure-ignored", severity) for severity in result]


def test_continue_on_error_that_fails_makes_the_workflow_invalid() -> None:
    with pytest.raises(BadWorkflow, match=r"release\.yml:\d+: .*fromJSON"):
        conditions(workflow(build="continue-on-error: ${{ fromJSON(github.ref) }}"))


@pytest.mark.parametrize(
    "parts",
    [
        {"build": "continue-on-error: false"},
        {"build": "continue-on-error: ${{ github.event_name == 'pull_request' }}"},
        {"build_steps": f"{BUILD}, {{uses: codecov/codecov-action@v5, continue-on-error: true}}"},
    ],
)
def test_failure_that_is_not_ignored_or_has_no_effect_is_silent(parts: dict[str, str]) -> None:
    assert conditions(workflow(**parts)) == []


def test_failure_that_is_perhaps_ignored_is_a_note() -> None:
    assert conditions(workflow(build="continue-on-error: ${{ vars.X == '1' }}")) == UNKNOWN


# -- runners --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runner", "result"),
    [
        ("runs-on: ${{ matrix.os }}\nstrategy: {matrix: {os: [a, [b, c]]}}", []),
        ("runs-on: ${{ github.ref_type == 'tag' && 'a' || 'b' }}", []),
        ('runs-on: ${{ fromJSON(\'["self-hosted", "linux"]\') }}', []),
        ("runs-on: {group: big, labels: '${{ github.job }}'}", []),
        ("runs-on: ${{ matrix.os }}\nstrategy: {matrix: '${{ fromJSON(vars.M) }}'}", UNKNOWN),
        ("runs-on: ${{ vars.RUNNER }}", UNKNOWN),
        (
            "runs-on: ${{ matrix.os }}\nstrategy: {matrix: {os: \"${{ fromJSON('[1, 2]') }}\"}}",
            [],
        ),
    ],
)
def test_runner_is_evaluated(runner: str, result: list[tuple[str, str]]) -> None:
    assert conditions(workflow(build=runner)) == result


# -- triggers -------------------------------------------------------------------------------------


def triggers(workflow: Workflow, event: Event = TAG) -> list[tuple[str, str]]:
    return named(list(check_triggers(workflow, event, REPOSITORY)))


@pytest.mark.parametrize(
    ("on", "event"),
    [
        ("{push: {tags: ['V*']}}", TAG),
        ("{release: {types: [created]}}", RELEASE),
        ("push", RELEASE),
        ("workflow_call", TAG),
        ("{workflow_dispatch: {inputs: {other: {required: true}}}}", DISPATCH),
    ],
)
def test_event_of_the_release_must_start_the_workflow(on: str, event: Event) -> None:
    assert ("workflow-not-triggered", "broken") in triggers(workflow(on=on), event)


@pytest.mark.parametrize(
    ("on", "condition"),
    [
        ("{push: {tags: ['v*']}, workflow_dispatch: , workflow_call: }", "true"),
        ("{push: {tags: ['v*']}, release: , repository_dispatch: }", "true"),
        (
            "{push: , pull_request: , schedule: [{cron: x}]}",
            "startsWith(github.ref, 'refs/tags/v')",
        ),
        ("{push: , pull_request_target: }", "startsWith(github.ref, 'refs/tags/v')"),
        ("{push: , issue_comment: }", "github.event_name == 'push' && github.ref_name == 'v1.0'"),
        ("{push: , pull_request_target: }", "vars.X && github.ref_name == 'v1.0'"),
    ],
)
def test_other_event_that_does_not_reach_publishing_is_silent(on: str, condition: str) -> None:
    assert triggers(workflow(on=on, publish=f"needs: build\nif: {condition!r}")) == []


FOREIGN = "{uses: actions/checkout@v4, with: {ref: '${{ github.event.pull_request.head.sha }}'}}"


@pytest.mark.parametrize(
    ("on", "steps", "severity", "event"),
    [
        ("{push: {tags: ['v*']}, pull_request_target: }", FOREIGN, "broken", "pull_request_target"),
        ("{push: {tags: ['v*']}, pull_request_target: }", BUILD, "flawed", "pull_request_target"),
        (
            "{push: {tags: ['v*']}, issue_comment: }",
            "{run: gh pr checkout 1}",
            "broken",
            "issue_comment",
        ),
        ("{push: {tags: ['v*']}, pull_request: }", BUILD, "flawed", "pull_request"),
        ("{push: {tags: ['v*']}, schedule: [{cron: x}]}", BUILD, "flawed", "schedule"),
        ("{push: {tags: ['v*'], branches: ['rel/**']}}", BUILD, "flawed", "push"),
        ("{push: {tags: ['v*'], branches: ['!x', '[0-9]+.[a-z]*']}}", BUILD, "flawed", "push"),
        ("{push: {branches: [main], tags: ['v*'], paths: [src/**]}}", BUILD, "flawed", "push"),
        ("{push: {tags: ['*']}}", BUILD, "flawed", "push"),
    ],
)
def test_other_event_that_publishes_is_reported(
    on: str, steps: str, severity: str, event: str
) -> None:
    (cause,) = check_triggers(workflow(on=on, build_steps=steps), TAG, REPOSITORY)

    assert (cause.name, cause.severity) == ("untrusted-trigger", severity)
    assert cause.facts["event"] == event


def test_other_event_that_perhaps_publishes_is_a_note() -> None:
    unknown = workflow(
        on="{push: , pull_request_target: }",
        publish="needs: build\nif: github.ref_name == 'v1.0' || github.actor == 'me'",
    )

    assert ("not-evaluated", "note") in triggers(unknown)


def test_every_tag_may_start_a_workflow_that_checks_the_version() -> None:
    check = '{run: \'test "$GITHUB_REF_NAME" = "v$(hatch version)"\'}'

    assert triggers(workflow(on="{push: {tags: ['*']}}", build_steps=f"{check}, {BUILD}")) == []


def test_other_event_that_publishes_to_a_test_index_is_silent() -> None:
    upload = "{uses: pypa/gh-action-pypi-publish@v1, with: {repository-url: 'https://test.x'}}"

    assert (
        triggers(workflow(on="{push: {tags: ['v*'], branches: [a]}}", publish_steps=upload)) == []
    )


def test_branch_push_that_is_the_release_is_silent() -> None:
    event = Event(ref="refs/heads/main")

    assert triggers(workflow(on="{push: {branches: [main]}}"), event) == []


# -- interruption ---------------------------------------------------------------------------------


def interruption(workflow: Workflow, event: Event) -> list[tuple[str, str]]:
    return named(list(check_interruption(workflow, event, REPOSITORY)))


@pytest.mark.parametrize(
    ("concurrency", "event", "result"),
    [
        ("{group: '${{ github.ref }}', cancel-in-progress: true}", TAG, []),
        ("{group: '${{ github.workflow }}-${{ github.ref_name }}'}", TAG, []),
        ("{group: '${{ github.run_id }}', cancel-in-progress: true}", DISPATCH, []),
        ("{group: a, cancel-in-progress: false, queue: max}", TAG, []),
        ("{group: '${{ github.event.release.tag_name }}'}", RELEASE, []),
        ("{group: '${{ github.event.ref }}', cancel-in-progress: true}", TAG, []),
        ("{group: '${{ github.ref }}', cancel-in-progress: true}", DISPATCH, ["flawed"]),
        (
            "{group: a, queue: max, cancel-in-progress: \"${{ github.ref_type == 'branch' }}\"}",
            TAG,
            [],
        ),
        (
            "{group: a, queue: max, cancel-in-progress: \"${{ github.ref_type == 'tag' }}\"}",
            TAG,
            ["flawed"],
        ),
        ("a", TAG, ["flawed"]),
        ("{group: '${{ github.workflow }}'}", RELEASE, ["flawed"]),
        ("{group: '${{ vars.G }}'}", TAG, ["note"]),
    ],
)
def test_a_later_release_must_not_end_this_one(
    concurrency: str, event: Event, result: list[str]
) -> None:
    names = {"flawed": "release-interrupted", "note": "not-evaluated"}
    expected = [(names[severity], severity) for severity in result]
    of_workflow = workflow(on="{push: , release: , workflow_dispatch: }").model_copy(
        update={"concurrency": workflow(head=f"concurrency: {concurrency}\n").concurrency}
    )
    of_job = workflow(publish=f"needs: build\nconcurrency: {concurrency}")

    assert interruption(of_workflow, event.model_copy(update={"inputs": {}})) == expected
    if event is TAG:
        assert interruption(of_job, event) == expected


def test_concurrency_of_a_job_without_a_task_is_silent() -> None:
    more = "  docs: {runs-on: x, concurrency: docs, steps: [{run: a}]}\n"

    assert interruption(workflow(more=more), TAG) == []


@pytest.mark.parametrize(
    ("condition", "severity"),
    [
        ("startsWith(github.ref, 'refs/heads/rel-')", "flawed"),
        ("github.ref_name == 'stable'", "flawed"),
        ("startsWith(github.ref, 'refs/tags/')", "broken"),
        ("false", "broken"),
    ],
)
def test_dispatch_can_be_on_another_branch(condition: str, severity: str) -> None:
    file = workflow(on="workflow_dispatch", publish=f"needs: build\nif: {condition}")
    event = Event(name="workflow_dispatch", ref="refs/heads/main")
    assert conditions(file, event) == [("job-skipped", severity)]
