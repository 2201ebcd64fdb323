"""The engine runs the release workflows that build quiverdb, from the event to the index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from containers import workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, StartingEvent
from tests.helpers import release_cases
from tests.helpers.release_cases import ROOT, WORKFLOWS, ReleaseCase
from verification.models.cause import Cause, Severity
from verification.models.pipeline import PipelineEvidence
from verification.models.verdict import Verdict
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load as load_workflow
from verification.pipeline.execution import diagnose_pipeline
from verification.pipeline.plan import Plan
from verification.pipeline.signing import signing_record
from verification.pipeline.triggers import decide
from verification.verdict import verdict_of_causes

pytestmark = pytest.mark.long

VERSION = "0.5.0"
TAG = f"v{VERSION}"
WHEELS = {
    f"quiverdb-{VERSION}-cp313-cp313-manylinux_2_28_x86_64.whl",
    f"quiverdb-{VERSION}-cp313-cp313-win_amd64.whl",
}
ACTIONS = Path(__file__).with_name("release_actions")
"""Actions of our own in place of actions without a stand-in."""


def run_case(
    container_engine: Engine, run: Run, case: ReleaseCase, files: tuple[Path, ...] = ()
) -> tuple[PipelineEvidence, tuple[Cause, ...]]:
    """Run a case in this repository. Return the evidence, and the causes of file and run.

    ``files`` are on the index before the run.
    """
    is_push = case.event.name == "push"
    event = StartingEvent(
        root=ROOT,
        kind="tag" if is_push else "workflow_dispatch",
        tags=(TAG,) if is_push else (),
        inputs=case.event.inputs,
        overlays={str(WORKFLOWS): case.folder / WORKFLOWS},
    )
    file = WorkflowFile(path=str(WORKFLOWS / case.workflow), actions_from=ACTIONS)
    setup = IndexSetup(publishers=case.publishers(case.folder), files=files)
    with workflow_testbed.start(container_engine, run, event, file, setup, decide) as testbed:
        first, *dispatched = testbed.start()
        evidence = testbed.evidence(first, "quiverdb", dispatched)
    workflows = {
        one.workflow: with_called_workflows(load_workflow(case.folder / one.workflow), case.folder)
        for one in evidence.runs
    }
    plan = Plan(workflow=case.workflow, package_dir=case.package_dir)
    return evidence, diagnose_pipeline(evidence, workflows, plan, version=VERSION)


def check_released(evidence: PipelineEvidence, causes: tuple[Cause, ...]) -> None:
    """Check that all jobs passed, and that the index has the wheels by the identity of the job.

    The index verified an attestation of each wheel.
    """
    for workflow_run in evidence.runs:
        steps = [job.failed_step for job in workflow_run.jobs if job.failed_step]
        assert workflow_run.result == "success", (workflow_run.decision, steps)
    assert workflow_run.unsupported == ()
    assert set(evidence.index.files) == WHEELS
    assert all(exchange.status == 200 for exchange in evidence.index.exchanges)
    assert evidence.index.exchanges
    signing = signing_record(evidence)
    assert signing.rehearsed, signing
    assert set(signing.signed) == WHEELS
    (release,) = evidence.releases
    assert release.tag == TAG
    assert not [cause for cause in causes if cause.severity in (Severity.BROKEN, Severity.TESTBED)]
    assert verdict_of_causes(causes, strict=False) is Verdict.VERIFIED


def test_seed_releases_with_its_own_action_versions(
    container_engine: Engine, run: Run, tmp_path: Path
) -> None:
    case = release_cases.load("seed")

    evidence, causes = run_case(container_engine, run, case)

    check_released(evidence, causes)
    (release,) = evidence.releases
    assert {asset.name for asset in release.assets} == WHEELS
    assert release.body
    used = {action.uses for action in evidence.run.actions}
    assert {"actions/checkout@v6", "pypa/gh-action-pypi-publish@release/v1"} <= used
    static = release_cases.causes(case, release_cases.checkout(case, tmp_path))
    assert release_cases.own_names((*static, *causes)) == case.expected


def test_dispatched_workflow_releases(container_engine: Engine, run: Run, tmp_path: Path) -> None:
    case = release_cases.load("dispatched")

    evidence, causes = run_case(container_engine, run, case, twine(tmp_path))

    check_released(evidence, causes)
    first, second = evidence.runs
    assert first.event.name == second.event.name == "workflow_dispatch"
    assert second.workflow == str(WORKFLOWS / "publish-python.yml")
    assert dict(second.event.inputs) == {"ref": TAG}
    assert second.event.by_workflow


def twine(folder: Path) -> tuple[Path, ...]:
    """Return the wheels of twine and of its dependencies, from the configured package index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    command += ["--python-version", "3.13", "--dest", str(folder), "twine"]
    subprocess.run(command, check=True)
    return tuple(sorted(folder.glob("*.whl")))
