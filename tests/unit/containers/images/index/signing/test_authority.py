"""The certificate authority: the certificates have the claims that the index checks."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from index.signing.authority import CertificateAuthority, MissingClaim
from index.signing.keys import Key

CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.invalid",
    "job_workflow_ref": "o/n/.github/workflows/upload.yml@refs/tags/v1",
    "job_workflow_sha": "b" * 40,
    "workflow_ref": "o/n/.github/workflows/publish.yml@refs/tags/v1",
    "repository": "o/n",
    "ref": "refs/tags/v1",
    "sha": "a" * 40,
    "run_id": "7",
    "run_attempt": "2",
}
ISSUER, JOB_WORKFLOW, REPOSITORY, WORKFLOW, RUN = (8, 9, 12, 18, 21)


def issued(claims: dict[str, Any] = CLAIMS) -> x509.Certificate:
    return CertificateAuthority().issue(Key().private.public_key(), claims)


def value(certificate: x509.Certificate, number: int) -> str:
    """Return the text of an extension for a claim: a short UTF8String."""
    oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
    extension = certificate.extensions.get_extension_for_oid(oid).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    assert (extension.value[0], extension.value[1]) == (0x0C, len(extension.value) - 2)
    return extension.value[2:].decode()


def test_certificate_has_the_claims_of_the_job() -> None:
    certificate = issued()
    host = "https://github.com"
    assert value(certificate, ISSUER) == "https://issuer.invalid"
    assert value(certificate, JOB_WORKFLOW) == f"{host}/{CLAIMS['job_workflow_ref']}"
    assert value(certificate, REPOSITORY) == f"{host}/o/n"
    assert value(certificate, WORKFLOW) == f"{host}/{CLAIMS['workflow_ref']}"
    assert value(certificate, RUN) == f"{host}/o/n/actions/runs/7/attempts/2"
    (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.value == f"{host}/{CLAIMS['job_workflow_ref']}"


def test_long_claim_is_encoded() -> None:
    ref = f"refs/tags/{'v' * 300}"
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.14")
    extension = issued({**CLAIMS, "ref": ref}).extensions.get_extension_for_oid(oid).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    assert extension.value == b"\x0c\x82" + len(ref).to_bytes(2, "big") + ref.encode()


def test_claim_that_some_tokens_lack_is_left_out() -> None:
    claims = {name: text for name, text in CLAIMS.items() if name != "job_workflow_sha"}
    certificate = issued(claims)
    with pytest.raises(x509.ExtensionNotFound):
        value(certificate, 10)


@pytest.mark.parametrize("name", ["iss", "workflow_ref", "repository", "sha"])
@pytest.mark.parametrize("claim", [None, 5])
def test_token_without_a_required_claim_is_refused(name: str, claim: object) -> None:
    with pytest.raises(MissingClaim, match=name):
        issued({**CLAIMS, name: claim})


def test_certificate_is_for_signing_and_expires_soon() -> None:
    authority = CertificateAuthority()
    certificate = authority.issue(Key().private.public_key(), CLAIMS)
    certificate.verify_directly_issued_by(authority.root)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CODE_SIGNING]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime == datetime.timedelta(minutes=10)
    (timestamp,) = certificate.extensions.get_extension_for_class(
        x509.PrecertificateSignedCertificateTimestamps
    ).value
    assert timestamp.log_id == authority.log_key.id
