from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from containers import images, workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, TagPush
from tests.helpers.release_workflow import PLANNED, REGISTERED, ROOT, SUBJECT, edited, repository
from tests.helpers.sample_pipeline import evidence, with_failed
from verification.models.cause import Cause
from verification.models.errors import TestbedFailure
from verification.models.pipeline import (
    LivePublisherCheck,
    PipelineEvidence,
    PipelineFailure,
    PipelineResult,
)
from verification.models.verdict import Verdict
from verification.models.workflow import Event, WorkflowJob
from verification.pipeline import repository_files
from verification.pipeline.trials import Trials
from verification.pipeline.triggers import decide
from verification.session import release_pipeline
from verification.session.release_pipeline import PublishedRelease
from verification.session.validate_job import try_releases

ENGINE = Engine(url="unix:///none", version="1", os="linux", origin="a test")
RUN = Run(id="1", owner="a:b:c:d")
LIVE = LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason="none")
FILES = {"a.whl": b"a"}


@pytest.fixture(scope="module")
def trials() -> dict[str, Trials]:
    """Return the trials that the tests of this module share. The key is the job as JSON."""
    return {}


@pytest.fixture(autouse=True)
def no_containers(monkeypatch: pytest.MonkeyPatch, trials: dict[str, Trials]) -> None:
    """Replace images and requests to the live index. Try each validate job only once."""

    def try_once(job: WorkflowJob, *arguments: Any) -> Trials:
        key = job.model_dump_json()
        if key not in trials:
            trials[key] = try_releases(job, *arguments)
        return trials[key]

    monkeypatch.setattr(images, "ensure", lambda *_: None)
    monkeypatch.setattr(release_pipeline, "check_live_publisher", lambda _: LIVE)
    monkeypatch.setattr(release_pipeline, "try_releases", try_once)


def run_workflow(
    monkeypatch: pytest.MonkeyPatch, root: Path, outcome: PipelineEvidence | TestbedFailure
) -> PublishedRelease:
    """Run a fake workflow that gives this evidence or fails. Return the published release."""

    @contextlib.contextmanager
    def start(
        engine: Engine,
        run: Run,
        push: TagPush,
        file: WorkflowFile,
        setup: IndexSetup,
        decision: object,
    ) -> Iterator[SimpleNamespace]:
        assert (engine, run, decision) == (ENGINE, RUN, decide)
        assert push.tags == ("v1.2.0",)
        assert file.path == ".github/workflows/publish.yml"
        assert file.actions_from == root
        assert [publisher.project for publisher in setup.publishers] == ["quiverdb"]
        if isinstance(outcome, TestbedFailure):
            raise outcome
        yield SimpleNamespace(
            start=lambda: [outcome.run], evidence=lambda *_: outcome, files=lambda _: FILES
        )

    monkeypatch.setattr(workflow_testbed, "start", start)
    push = TagPush(root=root, tags=("v1.2.0",))
    return release_pipeline.run(ENGINE, RUN, SUBJECT, push, root)


def test_successful_run_publishes_its_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path)
    release = run_workflow(monkeypatch, root, evidence())
    read = repository_files.load(root, PLANNED)

    assert release.files == FILES
    assert release.outcome == PipelineResult(
        static=(), evidence=evidence(), dynamic=(), live=LIVE, workflow=read.workflow
    )


def test_failed_run_has_its_cause_and_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = with_failed(evidence(), "release")
    release = run_workflow(monkeypatch, repository(tmp_path), failed)

    assert release.files == {}
    assert isinstance(release.outcome, PipelineResult)
    assert [cause.name for cause in release.outcome.dynamic] == ["release-missing"]


def test_testbed_failure_is_the_outcome_with_the_causes_of_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path, edited("contents: write", "contents: read"))
    release = run_workflow(monkeypatch, root, TestbedFailure("machine-lost", "act", "no job"))

    assert release.files == {}
    assert isinstance(release.outcome, PipelineFailure)
    assert [cause.name for cause in release.outcome.static] == ["permission-missing"]
    assert release.outcome.testbed.model_dump() == {
        "cause": "machine-lost",
        "where": "act",
        "observed": "no job",
    }


def examined(root: Path) -> tuple[Cause, ...]:
    files = repository_files.load(root, PLANNED)
    event = Event(ref=f"refs/tags/v{files.project.version}")
    return release_pipeline.examine(root, PLANNED, SUBJECT, event, REGISTERED)


def test_files_of_this_repository_have_no_cause() -> None:
    assert examined(ROOT) == ()


def test_validate_job_is_tried(tmp_path: Path) -> None:
    root = repository(tmp_path, edited("sys.exit(1)", "sys.exit(0)"))

    assert {cause.name for cause in examined(root)} == {"validation-wrong"}
