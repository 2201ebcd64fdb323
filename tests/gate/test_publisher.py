"""The trusted publisher: what the workflow presented, and what the index made of it."""

from __future__ import annotations

from tests.gate.expect import no_cause
from verification.models.pipeline import PipelineResult
from verification.pipeline import publishers
from verification.pipeline.result import PUBLISHER_CAUSES, is_identity_exchanged
from verification.session.suite import Suite


def test_the_index_took_the_workflows_identity(suite: Suite, pipeline: PipelineResult) -> None:
    no_cause(pipeline.causes, *PUBLISHER_CAUSES, strict=suite.selection.strict)
    assert not any(log.code for log in pipeline.evidence.index.exchange_logs)
    assert is_identity_exchanged(pipeline.evidence)


def test_the_identity_is_the_registered_one(suite: Suite, pipeline: PipelineResult) -> None:
    assert suite.subject.publishers is not None
    (registered,) = publishers.load(suite.subject.publishers)
    (exchange,) = pipeline.evidence.index.exchange_logs
    assert exchange.projects == (registered.project,)
    assert f"{registered.slug}/.github/workflows/{registered.workflow}" in str(exchange.identity)
    assert pipeline.evidence.repository == registered.slug


def test_nobody_else_uploaded_anything(pipeline: PipelineResult) -> None:
    uploads = pipeline.evidence.index.upload_logs
    assert {log.file for log in uploads} == set(pipeline.evidence.index.files)
    assert all(log.identity for log in uploads)
