"""The trusted publisher: what the workflow presented, and what the index made of it."""

from __future__ import annotations

from tests.gate.expect import no_cause
from verification.pipeline import publishers
from verification.pipeline.result import PUBLISHER, Piped
from verification.session.suite import Suite


def test_the_index_took_the_workflows_identity(suite: Suite, pipeline: Piped) -> None:
    no_cause(pipeline.causes, *PUBLISHER, strict=suite.selection.strict)
    assert pipeline.publisher()["refused"] == []
    assert pipeline.publisher()["proved"]


def test_the_identity_is_the_registered_one(pipeline: Piped) -> None:
    (registered,) = publishers.load()
    (exchange,) = [line["oidc"] for line in pipeline.evidence["index"]["exchanges"]]
    assert exchange["projects"] == [registered.project]
    assert f"{registered.slug}/.github/workflows/{registered.workflow}" in str(exchange["identity"])
    assert pipeline.evidence["repository"] == registered.slug


def test_nobody_else_uploaded_anything(pipeline: Piped) -> None:
    uploads = [line["upload"] for line in pipeline.evidence["index"]["uploads"]]
    assert {told["file"] for told in uploads} == set(pipeline.evidence["index"]["files"])
    assert all(told.get("identity") for told in uploads)
