"""Check which publisher uploaded the last release, by the provenance from the live index.

The provenance objects have the structure of PEP 740. They are compared with a registration in
`publishers.toml`. The names and digests in the attestations are checked here; the caller checks
their signatures.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pydantic

from verification.models.cause import Cause
from verification.models.pipeline import LivePublisherCheck
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.pipeline.workflow_causes import cause


class UnusableAnswer(Exception):
    """The live index has no usable answer. The message is one line: the file and the reason."""


@dataclass(frozen=True)
class ProvenanceFile:
    """A file of the release, as the live index lists it."""

    name: str
    sha256: str


class _Answer(pydantic.BaseModel):
    """A part of an answer of the live index. Unknown keys are ignored."""


class _Publisher(_Answer):
    kind: str | None = None
    repository: str | None = None
    workflow: str | None = None
    environment: str | None = None

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self)


class _Envelope(_Answer):
    statement: str


class _Attestation(_Answer):
    envelope: _Envelope


class _Bundle(_Answer):
    publisher: _Publisher
    attestations: tuple[_Attestation, ...]


class _Provenance(_Answer):
    version: int
    attestation_bundles: tuple[_Bundle, ...]


class _Digest(_Answer):
    sha256: str


class _Subject(_Answer):
    name: str
    digest: _Digest


class _Statement(_Answer):
    subject: tuple[_Subject, ...]


def check_provenance(
    publisher: TrustedPublisher,
    version: str,
    answers: Mapping[ProvenanceFile, bytes],
    verify: Callable[[ProvenanceFile, bytes], str],
) -> LivePublisherCheck:
    """Compare the provenance object of each file of a release with a registration.

    ``answers`` has the provenance object of each file, as the index sent it. ``verify`` returns why
    the signatures in a provenance object are not verified, or an empty string. Without verified
    signatures, the publisher is what the index reports, and the release is not verified.
    """
    causes: list[Cause] = []
    publishers: dict[str, str] = {}
    reason = ""
    if publisher.stand_in_owner:
        reason = "the owner is not compared, because publishers.toml has a stand-in for it"
    verdict = Verdict.VERIFIED
    unverified = ""
    for file, answer in answers.items():
        try:
            file_publishers = _publishers(answer, file)
        except UnusableAnswer as error:
            verdict, reason = Verdict.UNVERIFIED, str(error)
            break
        publishers[file.name] = "; ".join(map(str, file_publishers))
        causes += _differences(publisher, file, file_publishers)
        if not causes and not unverified and (fault := verify(file, answer)):
            unverified = f"{file.name}: {fault}"
    if causes and verdict is Verdict.VERIFIED:
        verdict = Verdict.FAILED
    elif unverified and verdict is Verdict.VERIFIED:
        verdict, reason = Verdict.UNVERIFIED, unverified
    return LivePublisherCheck(
        verdict=verdict,
        causes=tuple(causes),
        reason=reason,
        version=version,
        publishers=publishers,
    )


def _differences(
    publisher: TrustedPublisher, file: ProvenanceFile, file_publishers: Iterable[_Publisher]
) -> Iterator[Cause]:
    registered = {
        "kind": "GitHub",
        "repository": publisher.repository if publisher.stand_in_owner else publisher.slug,
        "workflow": publisher.workflow,
        "environment": publisher.environment,
    }
    for file_publisher in file_publishers:
        values = file_publisher.model_dump()
        compared = {key: value or "" for key, value in values.items()}
        if publisher.stand_in_owner:
            compared["repository"] = compared["repository"].rpartition("/")[2]
        # The index compares names of repositories and environments without regard to case.
        differing = [key for key in registered if compared[key].lower() != registered[key].lower()]
        if differing:
            differences = ", ".join(
                f"{key} {values[key]!r} instead of {registered[key]!r}" for key in differing
            )
            message = f"was published with {differences}, according to the index"
            yield cause("publisher-mismatch", file.name, message, differing=tuple(differing))


def _publishers(answer: bytes, file: ProvenanceFile) -> list[_Publisher]:
    """Check the attestations of a file, and return the publishers in its provenance.

    Raises:
        UnusableAnswer: the answer does not have the structure of PEP 740, or attests another file.
    """
    try:
        provenance = _Provenance.model_validate_json(answer)
        if provenance.version != 1:
            raise UnusableAnswer(f"{file.name}: unknown provenance version {provenance.version}")
        attested = [
            subject
            for bundle in provenance.attestation_bundles
            for attestation in bundle.attestations
            for subject in _statement(attestation).subject
        ]
    except ValueError:  # the errors of pydantic are ValueErrors too
        raise UnusableAnswer(
            f"{file.name}: the answer is not a provenance object (PEP 740)"
        ) from None
    if not attested:
        raise UnusableAnswer(f"{file.name}: its provenance has no attestation")
    for subject in attested:
        if (subject.name, subject.digest.sha256) != (file.name, file.sha256):
            raise UnusableAnswer(
                f"{file.name}: its provenance attests another file, {subject.name}"
            )
    return [bundle.publisher for bundle in provenance.attestation_bundles]


def _statement(attestation: _Attestation) -> _Statement:
    data = base64.b64decode(attestation.envelope.statement, validate=True)
    return _Statement.model_validate_json(data)
