from __future__ import annotations

import json

import pytest
from pydantic import JsonValue

from tests.helpers.sample_provenance import (
    DIGEST,
    NAMED,
    PUBLISHER,
    STAND_IN,
    WHEELS,
    provenance,
)
from verification.models.pipeline import LivePublisherCheck
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.pipeline.provenance import PublishedFile, check_provenance

RIGHT = provenance(WHEELS[0])
NEWER: JsonValue = {**RIGHT, "version": 2} if isinstance(RIGHT, dict) else None
NO_BASE64: JsonValue = json.loads(json.dumps(RIGHT).replace('"statement": "', '"statement": "!'))


def judged(
    *answers: JsonValue, publisher: TrustedPublisher = PUBLISHER, named: JsonValue = NAMED
) -> LivePublisherCheck:
    """Judge these answers for the first wheels; the others have the right one."""
    objects = [*answers, *(provenance(name, named) for name in WHEELS[len(answers) :])]
    files = [PublishedFile(name, DIGEST) for name in WHEELS]
    bodies = [json.dumps(answer).encode() for answer in objects]
    return check_provenance(publisher, "1.2.0", dict(zip(files, bodies, strict=True)))


def test_a_release_of_the_registered_publisher_is_verified_by_structure() -> None:
    found = judged()
    assert found.verdict is Verdict.VERIFIED
    assert found.version == "1.2.0"
    assert found.publishers == dict.fromkeys(
        WHEELS, "kind=GitHub repository=octo-org/quiver2 workflow=publish.yml environment=pypi"
    )
    assert "signatures are not verified" in found.reason
    assert "owner is not compared" not in found.reason


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
def test_a_release_of_another_publisher_fails_by_name(key: str, value: str | None) -> None:
    found = judged(provenance(WHEELS[0]), provenance(WHEELS[1], NAMED | {key: value}))
    assert found.verdict is Verdict.FAILED
    (cause,) = found.causes
    assert (cause.name, cause.where) == ("publisher-mismatch", WHEELS[1])
    assert f"{key} {value!r} instead of" in cause.message
    assert cause.facts == {"differing": (key,)}


def test_names_are_compared_without_regard_to_case() -> None:
    named = NAMED | {"repository": "Octo-Org/Quiver2", "environment": "PyPI"}
    assert judged(named=named).verdict is Verdict.VERIFIED


def test_an_owner_that_is_a_stand_in_is_not_compared_and_this_is_said() -> None:
    found = judged(publisher=STAND_IN)
    assert found.verdict is Verdict.VERIFIED
    assert "the repository's owner is not compared" in found.reason
    other = NAMED | {"repository": "octo-org/quiver"}
    assert judged(publisher=STAND_IN, named=other).verdict is Verdict.FAILED


def test_a_registration_without_environment_fits_a_provenance_without_one() -> None:
    anywhere = PUBLISHER.model_copy(update={"environment": ""})
    named = NAMED | {"environment": None}
    assert judged(publisher=anywhere, named=named).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"version": 1},
        {"version": 1, "attestation_bundles": []},
        {"version": 1, "attestation_bundles": [{"publisher": NAMED, "attestations": []}]},
        {"version": 1, "attestation_bundles": [{"attestations": [{}]}]},
        {"version": 1, "attestation_bundles": "text"},
        {"version": 2, "attestation_bundles": []},
        NEWER,
        NO_BASE64,
        provenance(WHEELS[0], named=5),
        provenance(WHEELS[0], digest="cd" * 32),
        provenance("another-1.0-py3-none-any.whl"),
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_of_the_file_is_unverified(answer: JsonValue) -> None:
    found = judged(answer)
    assert found.verdict is Verdict.UNVERIFIED
    assert WHEELS[0] in found.reason


def test_a_difference_before_an_unusable_answer_is_kept() -> None:
    found = judged(provenance(WHEELS[0], NAMED | {"workflow": "release.yml"}), {})
    assert found.verdict is Verdict.UNVERIFIED
    assert [cause.where for cause in found.causes] == [WHEELS[0]]
    assert set(found.publishers) == {WHEELS[0]}
