from __future__ import annotations

import json

import pytest
from pydantic import JsonValue

from tests.helpers.sample_provenance import (
    DIGEST,
    PUBLISHER,
    STAND_IN,
    UPLOADER,
    WHEELS,
    provenance,
)
from verification.models.pipeline import LivePublisherCheck
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.pipeline.provenance import ProvenanceFile, check_provenance

RIGHT = provenance(WHEELS[0])
NEWER: JsonValue = {**RIGHT, "version": 2} if isinstance(RIGHT, dict) else None
NO_BASE64: JsonValue = json.loads(json.dumps(RIGHT).replace('"statement": "', '"statement": "!'))


def check(
    *answers: JsonValue,
    publisher: TrustedPublisher = PUBLISHER,
    uploader: JsonValue = UPLOADER,
    fault: str = "",
) -> LivePublisherCheck:
    """Check a release whose first wheels have these provenance files. The rest is correct."""
    objects = [*answers, *(provenance(name, uploader) for name in WHEELS[len(answers) :])]
    files = [ProvenanceFile(name, DIGEST) for name in WHEELS]
    bodies = [json.dumps(answer).encode() for answer in objects]
    answered = dict(zip(files, bodies, strict=True))
    return check_provenance(publisher, "1.2.0", answered, lambda *_: fault)


def test_release_of_the_registered_publisher_is_verified() -> None:
    result = check()
    assert result.verdict is Verdict.VERIFIED
    assert result.version == "1.2.0"
    assert result.publishers == dict.fromkeys(
        WHEELS, "kind=GitHub repository=octo-org/quiver2 workflow=publish.yml environment=pypi"
    )
    assert result.reason == ""


def test_release_with_an_unverified_signature_is_unverified() -> None:
    result = check(fault="expired")
    assert (result.verdict, result.reason) == (Verdict.UNVERIFIED, f"{WHEELS[0]}: expired")
    other = UPLOADER | {"workflow": "other.yml"}
    assert check(uploader=other, fault="expired").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repository", "octo-org/quiver"),
        ("repository", "other/quiver2"),
        ("workflow", "release.yml"),
        ("environment", "release"),
        ("environment", None),
        ("kind", "GitLab"),
    ],
)
def test_release_of_another_publisher_is_failed(key: str, value: str | None) -> None:
    result = check(provenance(WHEELS[0]), provenance(WHEELS[1], UPLOADER | {key: value}))
    assert result.verdict is Verdict.FAILED
    (cause,) = result.causes
    assert (cause.name, cause.where) == ("publisher-mismatch", WHEELS[1])
    assert repr(value) in cause.message
    assert cause.facts == {"differing": (key,)}


def test_case_of_names_is_ignored() -> None:
    uploader = UPLOADER | {"repository": "Octo-Org/Quiver2", "environment": "PyPI"}
    assert check(uploader=uploader).verdict is Verdict.VERIFIED


def test_stand_in_owner_is_not_compared_and_the_reason_mentions_it() -> None:
    result = check(publisher=STAND_IN)
    assert result.verdict is Verdict.VERIFIED
    assert result.reason != check().reason
    other = UPLOADER | {"repository": "octo-org/quiver"}
    assert check(publisher=STAND_IN, uploader=other).verdict is Verdict.FAILED


def test_registration_without_environment_matches_a_provenance_without_environment() -> None:
    without_environment = PUBLISHER.model_copy(update={"environment": ""})
    uploader = UPLOADER | {"environment": None}
    assert check(publisher=without_environment, uploader=uploader).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"version": 1},
        {"version": 1, "attestation_bundles": []},
        {"version": 1, "attestation_bundles": [{"publisher": UPLOADER, "attestations": []}]},
        {"version": 1, "attestation_bundles": [{"attestations": [{}]}]},
        {"version": 1, "attestation_bundles": "text"},
        {"version": 2, "attestation_bundles": []},
        NEWER,
        NO_BASE64,
        provenance(WHEELS[0], uploader=5),
        provenance(WHEELS[0], digest="cd" * 32),
        provenance("another-1.0-py3-none-any.whl"),
    ],
    ids=str,
)
def test_unusable_answer_is_unverified(answer: JsonValue) -> None:
    result = check(answer)
    assert result.verdict is Verdict.UNVERIFIED
    assert WHEELS[0] in result.reason


def test_difference_before_an_unusable_answer_is_reported() -> None:
    result = check(provenance(WHEELS[0], UPLOADER | {"workflow": "release.yml"}), {})
    assert result.verdict is Verdict.UNVERIFIED
    assert [cause.where for cause in result.causes] == [WHEELS[0]]
    assert set(result.publishers) == {WHEELS[0]}
