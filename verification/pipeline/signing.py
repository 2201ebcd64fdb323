"""Whether a run of the release workflow rehearsed the signing of the release (PEP 740)."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.index_log import IndexRequest, UploadLog
from verification.models.pipeline import PipelineEvidence
from verification.models.report import NotRehearsed, SigningRecord
from verification.pipeline.publishing import PUBLISH_ACTION

_REASONS = {
    NotRehearsed.MISSING_PERMISSION: "the job that publishes has no permission `id-token: write`",
    NotRehearsed.NO_UPLOAD: "the workflow uploaded no file",
    NotRehearsed.NO_IDENTITY: "a stored token uploaded a file, without an identity",
    NotRehearsed.ATTESTATIONS_OFF: "the publish action makes no attestations in this workflow",
    NotRehearsed.OTHER_CLIENT: "another client than the publish action uploaded a file",
}


def signing_record(evidence: PipelineEvidence) -> SigningRecord:
    """Return whether the index verified attestations of each file that the runs uploaded."""
    uploads = [(line, line.upload) for line in evidence.index.uploads if line.upload]
    accepted = [(line, log) for line, log in uploads if not log.refused and not log.known]
    signed = tuple(log.file for _, log in accepted if log.attestations)
    unsigned = [(line, log) for line, log in accepted if not log.attestations]
    rehearsed = bool(signed) and not unsigned
    return SigningRecord(
        rehearsed=rehearsed,
        reason=None if rehearsed else _reason(evidence, unsigned),
        signed=signed,
        unsigned=tuple(log.file for _, log in unsigned),
    )


def _reason(
    evidence: PipelineEvidence, unsigned: list[tuple[IndexRequest, UploadLog]]
) -> NotRehearsed:
    publishing = [
        job
        for run in evidence.runs
        for job in run.jobs
        if any(step.action == PUBLISH_ACTION for step in job.steps)
    ]
    if not unsigned:
        refused = any(job.permissions.get("id-token") != "write" for job in publishing)
        return NotRehearsed.MISSING_PERMISSION if refused else NotRehearsed.NO_UPLOAD
    if any(log.identity is None for _, log in unsigned):
        return NotRehearsed.NO_IDENTITY
    addresses = {job.address for job in publishing}
    if all(line.client in addresses for line, _ in unsigned):
        return NotRehearsed.ATTESTATIONS_OFF
    return NotRehearsed.OTHER_CLIENT


def signed(record: SigningRecord) -> Iterator[str]:
    """Yield the proved statement about the signing, for the report."""
    if record.signed:
        yield f"the index verified the attestations of {', '.join(record.signed)}"


def signing_limit(record: SigningRecord) -> str:
    """Return the limit of what a run shows about the signing, for the report."""
    if record.reason is not None:
        return f"signing not rehearsed: {_REASONS[record.reason]}"
    return "a CA and a transparency log of the run replace those of sigstore"
