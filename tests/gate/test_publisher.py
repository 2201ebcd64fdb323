"""The trusted publisher: the identity of the workflow, and the answer of the index."""

from __future__ import annotations

import pytest

from verification import verdict
from verification.models.pipeline import PipelineResult
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.session.session import Handover

pytestmark = pytest.mark.item("publisher")


@pytest.fixture
def registered(handover: Handover) -> TrustedPublisher:
    """Return the registration of the publisher. Without one, the item is unverified."""
    if not handover.publishers:
        pytest.skip("unverified: there is no registration of the publisher; see --publisher")
    return handover.publishers[0]


@pytest.mark.usefixtures("pipeline", "registered")
def test_index_accepted_the_identity_of_the_workflow(handover: Handover) -> None:
    pipeline = handover.run_plan.pipeline
    assert pipeline is not None
    result = verdict.verdict_of_causes(pipeline.publisher_causes, strict=handover.run_plan.strict)
    assert result is Verdict.VERIFIED, "\n".join(map(str, pipeline.publisher_causes))
    assert pipeline.identity_exchanged


def test_identity_is_the_registered_one(
    registered: TrustedPublisher, pipeline: PipelineResult
) -> None:
    exchanges = pipeline.evidence.index.exchange_logs
    assert exchanges
    for exchange in exchanges:
        assert exchange.projects == (registered.project,)
        assert f"{registered.slug}/.github/workflows/{registered.workflow}" in str(
            exchange.identity
        )
    assert pipeline.evidence.repository == registered.slug


@pytest.mark.usefixtures("registered")
def test_only_the_registered_publisher_uploaded_files(pipeline: PipelineResult) -> None:
    uploads = pipeline.evidence.index.upload_logs
    assert {upload.file for upload in uploads} >= set(pipeline.evidence.index.files)
    assert all(upload.identity for upload in uploads if not upload.refused)
