"""The trusted publisher: what the workflow presented, and what the index made of it."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.pipeline import PipelineResult
from verification.models.verdict import Verdict
from verification.pipeline import publishers
from verification.session.session import Handover
from verification.subjects import subject as subjects

pytestmark = pytest.mark.item("publisher")


@pytest.mark.usefixtures("pipeline")
def test_the_index_took_the_identity_of_the_workflow(handover: Handover) -> None:
    facts = handover.facts.pipeline
    assert facts is not None
    found = verdict.of_causes(facts.publisher_causes, strict=handover.facts.strict)
    assert found is Verdict.VERIFIED, "\n".join(map(str, facts.publisher_causes))
    assert facts.identity_exchanged


def test_the_identity_is_the_registered_one(pipeline: PipelineResult) -> None:
    path = subjects.load().publishers
    assert path is not None
    (registered,) = publishers.load(path)
    (exchange,) = pipeline.evidence.index.exchange_logs
    assert exchange.projects == (registered.project,)
    assert f"{registered.slug}/.github/workflows/{registered.workflow}" in str(exchange.identity)
    assert pipeline.evidence.repository == registered.slug


def test_nobody_else_uploaded_anything(pipeline: PipelineResult) -> None:
    uploads = pipeline.evidence.index.upload_logs
    assert {upload.file for upload in uploads} == set(pipeline.evidence.index.files)
    assert all(upload.identity for upload in uploads)
