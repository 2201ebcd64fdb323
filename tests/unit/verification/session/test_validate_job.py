from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.workflow import WorkflowJob
from verification.models.workflow_file import parse
from verification.pipeline.repository_files import Project
from verification.pipeline.trials import TrialRelease, Trials
from verification.session.validate_job import try_releases

PROJECT = Project(text='version = "1.0"\n', version="1.0", build=(), skip=(), is_tested=True)
RELEASE = TrialRelease(
    title="the release", tag="v2.0", version="2.0", files=("a.whl", "b.whl"), valid=True
)


def job(script: str, *, by: str = "bash", more: str = "") -> WorkflowJob:
    lines = "".join(f"          {line}\n" for line in script.splitlines())
    text = (
        "on: push\njobs:\n  validate:\n    runs-on: ubuntu-latest\n"
        "    outputs: {it: '${{ steps.one.outputs.it }}'}\n"
        f"{more}    steps:\n"
        "      - uses: actions/download-artifact@v8\n        with: {path: wheels}\n"
        f"      - id: one\n        shell: {by}\n        run: |\n{lines}"
    )
    return parse(text, Path("publish.yml")).jobs["validate"]


def tried(script: str, *, by: str = "bash", more: str = "") -> Trials:
    return try_releases(job(script, by=by, more=more), [RELEASE], PROJECT, "package")


def test_the_script_has_the_wheels_the_project_and_the_tag() -> None:
    (trial,) = tried("ls wheels; cat package/pyproject.toml; echo $GITHUB_REF_NAME").done

    assert trial.code == 0
    assert trial.output.split("\n") == ["a.whl", "b.whl", 'version = "2.0"', "v2.0", ""]


def test_expressions_are_filled_in() -> None:
    (trial,) = tried(
        "echo ${{ github.ref_name }} $OWN",
        more="    env: {OWN: '${{ github.event_name }}'}\n",
    ).done

    assert trial.output == "v2.0 push\n"


@pytest.mark.parametrize(
    "script", ["echo it=x=y >> $GITHUB_OUTPUT", "printf 'it<<E\\nx=y\\nE\\n' >> $GITHUB_OUTPUT"]
)
def test_the_outputs_of_the_job_are_read(script: str) -> None:
    (trial,) = tried(script).done

    assert trial.outputs == {"it": "x=y"}


def test_a_script_that_fails_ends_the_trial_with_its_code() -> None:
    (trial,) = tried("echo no; exit 7").done

    assert (trial.code, trial.output) == (7, "no\n")


def test_a_script_may_be_python() -> None:
    (trial,) = tried("import sys; sys.exit(3)", by="python").done

    assert trial.code == 3


@pytest.mark.parametrize(
    ("script", "by", "more", "reason"),
    [
        ("true", "pwsh", "", "runs its script in pwsh, which is not tried here"),
        (
            "echo ${{ github.actor }}",
            "bash",
            "",
            "uses ${{ github.actor }}, which is not known before a run",
        ),
        (
            "true",
            "bash",
            "    defaults: {run: {working-directory: src}}\n",
            "runs its script in src/, which is not there",
        ),
    ],
)
def test_what_only_a_run_has_is_not_tried(script: str, by: str, more: str, reason: str) -> None:
    assert tried(script, by=by, more=more) == Trials(not_tried_reason=reason)
