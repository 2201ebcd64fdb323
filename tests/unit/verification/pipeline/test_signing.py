"""Whether the signing of a release was rehearsed, and why not."""

from __future__ import annotations

import pytest

from tests.helpers.sample_pipeline import (
    ADDRESS,
    BUILT,
    IDENTITY,
    changed,
    evidence,
    request,
    with_index,
    with_job,
    with_run,
)
from verification.models.index_log import IndexRequest, UploadLog
from verification.models.pipeline import PipelineEvidence
from verification.models.report import NotRehearsed
from verification.pipeline.signing import signed, signing_limit, signing_record

NAME, OTHER = BUILT


def upload(name: str = NAME, **values: object) -> IndexRequest:
    """Return an accepted upload of the job that publishes, without attestations."""
    log = {"file": name, "identity": IDENTITY, **values}
    return request(upload=UploadLog.model_validate(log))


def with_uploads(*uploads: IndexRequest) -> PipelineEvidence:
    return with_index(evidence(), uploads=uploads)


def test_signing_is_rehearsed_if_each_file_has_verified_attestations() -> None:
    record = signing_record(evidence())
    assert (record.rehearsed, record.reason) == (True, None)
    assert (record.signed, record.unsigned) == ((NAME, OTHER), ())
    assert list(signed(record))
    assert "not rehearsed" not in signing_limit(record)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (with_uploads(), NotRehearsed.NO_UPLOAD),
        (with_uploads(upload(refused="400 no")), NotRehearsed.NO_UPLOAD),
        (with_uploads(upload(known=True)), NotRehearsed.NO_UPLOAD),
        (
            with_job(with_uploads(), "publish", permissions={"contents": "read"}),
            NotRehearsed.MISSING_PERMISSION,
        ),
        (with_uploads(upload(identity=None)), NotRehearsed.NO_IDENTITY),
        (with_uploads(upload()), NotRehearsed.ATTESTATIONS_OFF),
        (with_uploads(upload(attestations=1), upload(OTHER)), NotRehearsed.ATTESTATIONS_OFF),
        (
            with_job(with_uploads(upload()), "publish", address="10.0.0.9"),
            NotRehearsed.OTHER_CLIENT,
        ),
    ],
)
def test_reason_is_reported(run: PipelineEvidence, reason: NotRehearsed) -> None:
    record = signing_record(run)
    assert (record.rehearsed, record.reason) == (False, reason)
    assert "not rehearsed" in signing_limit(record)


def test_files_without_attestations_are_listed() -> None:
    record = signing_record(with_uploads(upload(attestations=1), upload(OTHER)))
    assert (record.signed, record.unsigned) == ((NAME,), (OTHER,))


def test_upload_of_a_dispatched_run_counts() -> None:
    first = with_uploads(upload())
    jobs = tuple(job for job in first.run.jobs if job.id != "publish")
    dispatched = changed(first.run, run_id=6)
    elsewhere = with_run(first, jobs=tuple(changed(job, address="10.0.0.9") for job in jobs))
    both = changed(elsewhere, dispatched=(dispatched,))
    assert {job.address for job in dispatched.jobs} == {ADDRESS}
    assert signing_record(both).reason is NotRehearsed.ATTESTATIONS_OFF
