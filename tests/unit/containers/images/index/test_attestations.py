"""Attestations: the index verifies them, stores them and serves the provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pypi_attestations import GitHubPublisher, Provenance

from tests.helpers.index_front import PASSWORD, wheel
from tests.helpers.local_sigstore import PUBLISH, SLSA, LocalSigstore
from tests.helpers.oidc import PublishingIndex, publisher, publishing_index

ISSUER = "https://token.actions.githubusercontent.com"
SUPPLIED = "Invalid attestations supplied during upload: "
UNVERIFIED = (
    f"{SUPPLIED}Could not verify the uploaded artifact using the included attestation: "
    "Verification failed: "
)
SIGSTORE, OTHER_SIGSTORE = LocalSigstore(), LocalSigstore()
OTHER_LOG = LocalSigstore(authority=SIGSTORE.authority)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingIndex]:
    """A running index that trusts the authorities of the test."""
    folder = tmp_path_factory.mktemp("attestations")
    (folder / "root.json").write_bytes(SIGSTORE.trust_root())
    active = [publisher("strict", "strict")]
    with publishing_index(
        folder, active=active, pending=[], trust_root=str(folder / "root.json")
    ) as index:
        yield index


def claims(index: PublishingIndex, **changes: Any) -> dict[str, Any]:
    return {**index.claims(), "iss": ISSUER, **changes}


def send(index: PublishingIndex, file: tuple[str, bytes], attestations: Any) -> tuple[int, str]:
    text = attestations if isinstance(attestations, str) else json.dumps(attestations)
    response = index.front.send_upload(file, password=index.mint(), attestations=text)
    return response.status_code, response.reason


def test_attestations_are_verified_stored_and_served(index: PublishingIndex) -> None:
    file = filename, content = wheel("strict", "1.0")
    attestations = [
        SIGSTORE.attest(filename, content, claims(index), kind) for kind in (PUBLISH, SLSA)
    ]
    assert send(index, file, attestations) == (200, "OK")

    url = index.front.listed_files("strict")[filename]["provenance"]
    assert url == f"{index.front.index}/integrity/strict/1.0/{filename}/provenance"
    assert f'data-provenance="{url}"' in index.front.get("/simple/strict/").text
    response = index.front.get(url)
    assert response.headers["Content-Type"] == "application/vnd.pypi.integrity.v1+json"
    (bundle,) = Provenance.model_validate_json(response.content).attestation_bundles
    assert bundle.publisher == GitHubPublisher(
        repository="octo-org/strict", workflow="publish.yml", environment="pypi"
    )
    assert [item.statement["predicateType"] for item in bundle.attestations] == [PUBLISH, SLSA]
    plain = index.front.get(url, headers={"Accept": "application/json"})
    assert plain.headers["Content-Type"] == "application/json"
    assert index.front.get(url, headers={"Accept": "text/html"}).status_code == 406


def test_file_without_attestations_has_no_provenance(index: PublishingIndex) -> None:
    filename, content = wheel("strict", "2.0")
    assert index.upload(index.mint(), (filename, content)).status_code == 200
    assert index.front.listed_files("strict")[filename]["provenance"] is None
    response = index.front.get(f"/integrity/strict/2.0/{filename}/provenance")
    assert response.status_code == 404
    assert response.json() == {"message": f"No provenance available for {filename}"}
    assert index.front.get(f"/integrity/strict/3.0/{filename}/provenance").status_code == 404


FILENAME, CONTENT = wheel("strict", "5.0")


@pytest.mark.parametrize(
    ("attestations", "answer"),
    [
        ("no json", f"{SUPPLIED}Malformed attestations: 1 validation error for list["),
        ("{}", f"{SUPPLIED}Malformed attestations: 1 validation error for list["),
        ("[{}]", f"{SUPPLIED}Malformed attestations: 3 validation errors for list["),
        (
            "[]",
            f"{SUPPLIED}Malformed attestations: an empty attestation set is not permitted",
        ),
    ],
)
def test_malformed_attestations_are_refused(
    index: PublishingIndex, attestations: str, answer: str
) -> None:
    status, reason = send(index, (FILENAME, CONTENT), attestations)
    assert (status, reason[: len(answer)]) == (400, answer)
    assert not (index.front.store / FILENAME).exists()


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"filename": "strict-6.0-py3-none-any.whl"}, "subject does not match distribution name"),
        ({"content": b"other"}, "subject does not match distribution digest"),
        ({"predicate": "https://example.invalid/v1"}, "unknown attestation type: https://example"),
        ({"sigstore": OTHER_SIGSTORE}, "failed to build timestamp certificate chain"),
        ({"sigstore": OTHER_LOG}, "invalid log entry: "),
        ({"repository": "octo-org/other"}, "Certificate's OIDCSourceRepositoryURI does not match"),
        ({"iss": "https://issuer.invalid"}, "Certificate's OIDCIssuerV2 does not match"),
        (
            {"workflow_ref": "octo-org/strict/.github/workflows/other.yml@refs/tags/v1.0.0"},
            "Certificate's Build Config URI",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_attestations_that_do_not_verify_are_refused(
    index: PublishingIndex, changes: dict[str, Any], answer: str
) -> None:
    sigstore = changes.pop("sigstore", SIGSTORE)
    filename = changes.pop("filename", FILENAME)
    content = changes.pop("content", CONTENT)
    predicate = changes.pop("predicate", PUBLISH)
    attestation = sigstore.attest(filename, content, claims(index, **changes), predicate)
    expected = UNVERIFIED + answer
    status, reason = send(index, (FILENAME, CONTENT), [attestation])
    assert (status, reason[: len(expected)]) == (400, expected)
    assert not (index.front.store / FILENAME).exists()


@pytest.mark.parametrize(
    ("count", "answer"),
    [
        (2, "Multiple attestations for the same file with the same predicate type"),
        (3, "A maximum of 2 attestations per file are supported"),
    ],
)
def test_repeated_attestations_are_refused(index: PublishingIndex, count: int, answer: str) -> None:
    attestation = SIGSTORE.attest(FILENAME, CONTENT, claims(index))
    status, reason = send(index, (FILENAME, CONTENT), [attestation] * count)
    assert status == 400
    assert reason.startswith(SUPPLIED + answer)


def test_api_token_cannot_upload_attestations(index: PublishingIndex) -> None:
    attestation = SIGSTORE.attest(FILENAME, CONTENT, claims(index))
    response = index.front.send_upload(
        (FILENAME, CONTENT), password=PASSWORD, attestations=json.dumps([attestation])
    )
    assert (response.status_code, response.reason) == (
        400,
        f"{SUPPLIED}Attestations are only supported when using Trusted Publishing",
    )


def test_local_attestation_is_refused_by_an_index_that_trusts_the_live_authorities(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with publishing_index(tmp_path_factory.mktemp("live"), pending=[]) as index:
        attestation = SIGSTORE.attest(FILENAME, CONTENT, claims(index))
        status, reason = send(index, (FILENAME, CONTENT), [attestation])
    assert (status, reason[: len(UNVERIFIED)]) == (400, UNVERIFIED)
