"""Uploads with an API token from the secrets of the repository."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent, start
from tests.helpers import wheel_builder
from tests.helpers.release_workflow import PUBLISHERS
from verification.models.pipeline import PipelineEvidence
from verification.models.workflow_file import load
from verification.pipeline import publishers
from verification.pipeline.triggers import decide
from verification.pipeline.upload_secrets import upload_secrets

PATH = ".github/workflows/publish.yml"
JOB = """
      {name}:
        runs-on: ubuntu-latest
        steps:
          - uses: actions/checkout@v7
          - uses: pypa/gh-action-pypi-publish@v1.14.0
            with: {{packages-dir: {name}, {inputs}}}
            env: {{{env}}}
"""
JOBS = {
    "right": ("password: '${{ secrets.Upload_Token }}'", ""),
    "user": ("user: me, password: '${{ secrets.UPLOAD_TOKEN }}'", ""),
    "empty": ("password: ''", ""),
    "variable": ("verbose: true", "TWINE_PASSWORD: '${{ secrets.UPLOAD_TOKEN }}'"),
    "other": ("password: '${{ secrets.GITHUB_TOKEN }}'", ""),
}
"""The inputs and the variables of the publish action in each job."""


def upload(container_engine: Engine, run: Run, root: Path) -> PipelineEvidence:
    """Run a job for each use of a token. Each uploads another wheel."""
    text = "    on: {push: {tags: ['v*']}}\n    jobs:"
    for number, (name, (inputs, env)) in enumerate(JOBS.items()):
        text += JOB.format(name=name, inputs=inputs, env=env).rstrip()
        (root / name).mkdir(parents=True)
        tag = f"cp3{10 + number}-cp3{10 + number}-manylinux_2_28_x86_64"
        wheel_builder.build(root / name, {"quiverdb/__init__.py": ""}, version="1.0", tag=tag)
    path = root / PATH
    path.parent.mkdir(parents=True)
    path.write_text(textwrap.dedent(text), "utf-8")
    secrets = upload_secrets([load(path)])
    setup = IndexSetup(
        publishers=publishers.load(PUBLISHERS),
        token_secrets=secrets.tokens,
        user_secrets=secrets.users,
    )
    event, file = StartingEvent(root=root, tags=("v1.0",)), WorkflowFile(path=PATH, seconds=300)
    with start(container_engine, run, event, file, setup, decide) as testbed:
        (first,) = testbed.start()
        return testbed.evidence(first, "quiverdb")


@pytest.mark.long
def test_index_accepts_the_token_of_the_secret_only_in_its_right_place(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    evidence = upload(container_engine, run, tmp_path)
    results = {job.id: job.result for job in evidence.run.jobs}
    logs = {
        job.id: "\n".join(line for step in job.steps for line in step.log)
        for job in evidence.run.jobs
    }
    assert results == {"right": "success"} | dict.fromkeys(set(JOBS) - {"right"}, "failure"), logs
    assert [name.split("-")[2] for name in evidence.index.files] == ["cp310"]
    uploads = evidence.index.upload_logs
    assert {log.identity for log in uploads} == {None}
    assert [bool(log.refused) for log in uploads].count(False) == 1
    assert any("UPLOAD_TOKEN" in limit for limit in evidence.run.stand_ins)
    assert not any(re.search(r"pypi-[\w-]{60}", log) for log in logs.values())
