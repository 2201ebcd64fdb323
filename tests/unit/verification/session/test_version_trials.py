from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import WorkflowJob
from verification.models.workflow_file import parse
from verification.pipeline.repository_files import Project
from verification.pipeline.trials import TrialRelease, Trials
from verification.session.version_trials import try_releases

PROJECT = Project(text='version = "1.0"\n', version="1.0", build=(), skip=(), is_tested=True)
RELEASE = TrialRelease(
    title="the release", tag="v2.0", version="2.0", files=("a.whl", "b.whl"), valid=True
)


def job(script: str, *, interpreter: str = "bash", job_keys: str = "") -> WorkflowJob:
    lines = "".join(f"          {line}\n" for line in script.splitlines())
    text = (
        "on: push\njobs:\n  validate:\n    runs-on: ubuntu-latest\n"
        "    outputs: {result: '${{ steps.script.outputs.result }}'}\n"
        f"{job_keys}    steps:\n"
        "      - uses: actions/download-artifact@v8\n        with: {path: wheels}\n"
        f"      - id: script\n        shell: {interpreter}\n        run: |\n{lines}"
    )
    return parse(text, Path("publish.yml")).jobs["validate"]


def try_release(script: str, *, interpreter: str = "bash", job_keys: str = "") -> Trials:
    return try_releases(
        job(script, interpreter=interpreter, job_keys=job_keys), [RELEASE], PROJECT, "package"
    )


def test_script_can_read_the_wheels_the_project_and_the_tag() -> None:
    (trial,) = try_release("ls wheels; cat package/pyproject.toml; echo $GITHUB_REF_NAME").results

    assert trial.exit_code == 0
    assert trial.output.split("\n") == ["a.whl", "b.whl", 'version = "2.0"', "v2.0", ""]


def test_expressions_are_filled_in() -> None:
    (trial,) = try_release(
        "echo ${{ github.ref_name }} $EVENT",
        job_keys="    env: {EVENT: '${{ github.event_name }}'}\n",
    ).results

    assert trial.output == "v2.0 push\n"


@pytest.mark.parametrize(
    "script",
    ["echo result=x=y >> $GITHUB_OUTPUT", "printf 'result<<E\\nx=y\\nE\\n' >> $GITHUB_OUTPUT"],
)
def test_outputs_of_the_job_are_read(script: str) -> None:
    (trial,) = try_release(script).results

    assert trial.outputs == {"result": "x=y"}


def test_failed_script_ends_the_trial_with_its_exit_code() -> None:
    (trial,) = try_release("echo no; exit 7").results

    assert (trial.exit_code, trial.output) == (7, "no\n")


def test_python_script_runs() -> None:
    (trial,) = try_release("import sys; sys.exit(3)", interpreter="python").results

    assert trial.exit_code == 3


@pytest.mark.parametrize(
    ("script", "interpreter", "job_keys", "obstacle"),
    [
        ("true", "pwsh", "", "pwsh"),
        ("echo ${{ github.actor }}", "bash", "", "${{ github.actor }}"),
        ("true", "bash", "    defaults: {run: {working-directory: src}}\n", "src/"),
    ],
    ids=["shell", "expression", "folder"],
)
def test_script_that_needs_a_run_is_not_tried(
    script: str, interpreter: str, job_keys: str, obstacle: str
) -> None:
    trials = try_release(script, interpreter=interpreter, job_keys=job_keys)
    assert trials.results == ()
    assert obstacle in trials.not_tried_reason
