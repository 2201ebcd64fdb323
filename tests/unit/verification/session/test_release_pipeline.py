from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from containers import images, workflow_testbed
from containers.engine import Engine, Run
from containers.runner.runs import WorkflowFile
from containers.workflow_testbed import IndexSetup, TagPush
from tests.helpers.release_workflow import PLANNED, ROOT, SUBJECT, edited, repository
from tests.helpers.sample_pipeline import evidence, with_failed
from verification.models.errors import TestbedFailure
from verification.models.pipeline import (
    LivePublisherCheck,
    PipelineEvidence,
    PipelineFailure,
    PipelineResult,
)
from verification.models.verdict import Verdict
from verification.pipeline.triggers import decide
from verification.session import release_pipeline
from verification.session.release_pipeline import PublishedRelease

ENGINE = Engine(url="unix:///none", version="1", os="linux", origin="a test")
RUN = Run(id="1", owner="a:b:c:d")
LIVE = LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason="none")
FILES = {"a.whl": b"a"}


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "ensure", lambda *_: None)
    monkeypatch.setattr(release_pipeline, "check_live_publisher", lambda _: LIVE)


def released(
    monkeypatch: pytest.MonkeyPatch, root: Path, shown: PipelineEvidence | TestbedFailure
) -> PublishedRelease:
    """Return what comes of a run of the workflow that shows this."""

    @contextlib.contextmanager
    def start(
        engine: Engine,
        run: Run,
        push: TagPush,
        file: WorkflowFile,
        setup: IndexSetup,
        how: object,
    ) -> Iterator[SimpleNamespace]:
        assert (engine, run, how) == (ENGINE, RUN, decide)
        assert push.tags == ("v1.2.0",)
        assert file.path == ".github/workflows/publish.yml"
        assert file.actions_from == root
        assert [one.project for one in setup.publishers] == ["quiverdb"]
        if isinstance(shown, TestbedFailure):
            raise shown
        yield SimpleNamespace(
            start=lambda: [shown.run], evidence=lambda *_: shown, files=lambda _: FILES
        )

    monkeypatch.setattr(workflow_testbed, "start", start)
    push = TagPush(root=root, tags=("v1.2.0",))
    return release_pipeline.run(ENGINE, RUN, SUBJECT, push, root)


def test_a_good_run_publishes_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release = released(monkeypatch, repository(tmp_path), evidence())

    assert release.files == FILES
    assert release.outcome == PipelineResult(static=(), evidence=evidence(), dynamic=(), live=LIVE)


def test_a_run_with_a_fault_has_its_cause_and_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = with_failed(evidence(), "release")
    release = released(monkeypatch, repository(tmp_path), shown)

    assert release.files == {}
    assert isinstance(release.outcome, PipelineResult)
    assert [cause.name for cause in release.outcome.dynamic] == ["release-missing"]


def test_a_testbed_that_fails_is_the_outcome_beside_the_causes_of_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = repository(tmp_path, edited("contents: write", "contents: read"))
    release = released(monkeypatch, root, TestbedFailure("machine-lost", "act", "no job"))

    assert release.files == {}
    assert isinstance(release.outcome, PipelineFailure)
    assert [cause.name for cause in release.outcome.static] == ["permission-missing"]
    assert release.outcome.testbed.model_dump() == {
        "cause": "machine-lost",
        "where": "act",
        "observed": "no job",
    }


def test_the_real_repository_has_no_fault() -> None:
    assert release_pipeline.examine(ROOT, PLANNED, SUBJECT) == ()


def test_the_validate_job_is_tried(tmp_path: Path) -> None:
    root = repository(tmp_path, edited("sys.exit(1)", "sys.exit(0)"))

    causes = release_pipeline.examine(root, PLANNED, SUBJECT)

    assert {cause.name for cause in causes} == {"validation-wrong"}
