"""The signing servers: sigstore's client signs with them, and pypi-attestations verifies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from index.signing.keys import Key, base64_text
from pypi_attestations import Attestation, Distribution
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from tests.helpers.index_front import sha256, wheel
from tests.helpers.issuer import new_key, sign
from tests.helpers.oidc import PublishingIndex


@pytest.fixture(autouse=True)
def folder_of_sigstore(
    signing_index: PublishingIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder in which sigstore stores what it fetches by TUF."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(signing_index.front.ca))
    return tmp_path


def config(signing_index: PublishingIndex) -> ClientTrustConfig:
    response = signing_index.front.get(f"{signing_index.front.upload}/client-trust-config.json")
    return ClientTrustConfig.from_json(response.text)


def attestation(signing_index: PublishingIndex, file: tuple[str, bytes]) -> Attestation:
    filename, content = file
    context = SigningContext.from_trust_config(config(signing_index))
    token = IdentityToken(signing_index.token(aud="sigstore"))
    with context.signer(token) as signer:
        return Attestation.sign(signer, Distribution(name=filename, digest=sha256(content)))


def identity(signing_index: PublishingIndex) -> policy.VerificationPolicy:
    """Return the policy of the index for a publisher, with the issuer of the test."""
    claims = signing_index.claims()
    host = "https://github.com"
    return policy.AllOf(
        [
            policy.OIDCIssuerV2(signing_index.issuer.url),
            policy.OIDCSourceRepositoryURI(f"{host}/{claims['repository']}"),
            policy.OIDCBuildConfigURI(f"{host}/{claims['workflow_ref']}"),
            policy.OIDCSourceRepositoryDigest(str(claims["sha"])),
        ]
    )


def test_client_signs_without_a_request_to_another_server(
    signing_index: PublishingIndex, folder_of_sigstore: Path
) -> None:
    trusted_root = config(signing_index).trusted_root
    verifier = Verifier(trusted_root=trusted_root)
    for version in ("1.0", "1.1", "1.2"):
        signed = attestation(signing_index, wheel("strict", version))
        _, payload = verifier.verify_dsse(signed.to_bundle(), identity(signing_index))
        assert json.loads(payload)["subject"][0]["name"] == wheel("strict", version)[0]
    assert list(folder_of_sigstore.iterdir()) == []


def test_index_trusts_its_signing_servers(signing_index: PublishingIndex) -> None:
    """The chain of the certificate is valid. The live index accepts no other issuer."""
    file = wheel("strict", "2.0")
    text = json.dumps([json.loads(attestation(signing_index, file).model_dump_json())])
    response = signing_index.front.send_upload(
        file, password=signing_index.mint(), attestations=text
    )
    assert "Certificate's OIDCIssuerV2 does not match" in response.reason
    assert signing_index.issuer.url in response.reason


def certificate_request(key: Key | None = None) -> dict[str, str]:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign((key or Key()).private, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    return {"certificateSigningRequest": base64_text(pem)}


def post(signing_index: PublishingIndex, token: str, body: Any) -> requests.Response:
    url = f"{signing_index.front.upload}/api/v2/signingCert"
    headers = {"Authorization": f"Bearer {token}"}
    return signing_index.front.shared_session.post(url, json=body, headers=headers, timeout=30)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"aud": "pypi"}, "aud"),
        ({"exp": 1}, "exp"),
        ({"iss": "https://issuer.invalid"}, "unknown issuer"),
        ({"workflow_ref": None}, "workflow_ref"),
    ],
)
def test_certificate_needs_an_identity_for_signing(
    signing_index: PublishingIndex, changes: dict[str, Any], reason: str
) -> None:
    token = signing_index.token(**{"aud": "sigstore", **changes})
    response = post(signing_index, token, certificate_request())
    assert response.status_code == (400 if reason else 200)
    assert reason in response.json().get("message", "")


def test_forged_token_gets_no_certificate(signing_index: PublishingIndex) -> None:
    header = {"alg": "RS256", "kid": str(signing_index.issuer.key.kid)}
    token = sign(signing_index.claims(aud="sigstore"), new_key(), header)
    assert post(signing_index, token, certificate_request()).status_code == 400
    assert post(signing_index, "", certificate_request()).status_code == 400


@pytest.mark.parametrize("body", [None, {}, {"certificateSigningRequest": "x"}, "text"])
def test_request_without_a_key_gets_no_certificate(
    signing_index: PublishingIndex, body: Any
) -> None:
    response = post(signing_index, signing_index.token(aud="sigstore"), body)
    assert response.status_code == 400
    assert "certificateSigningRequest" in response.json()["message"]


def test_log_refuses_what_is_not_signed(signing_index: PublishingIndex) -> None:
    url = f"{signing_index.front.upload}/api/v1/log/entries"
    for body in (b"no json", b"{}"):
        response = signing_index.front.shared_session.post(url, data=body, timeout=30)
        assert response.status_code == 400
        assert response.json()["code"] == 400


def test_other_hosts_and_other_indexes_have_no_signing_servers(
    signing_index: PublishingIndex, index: PublishingIndex
) -> None:
    path = "/client-trust-config.json"
    assert signing_index.front.get(path).status_code == 404
    assert index.front.get(f"{index.front.upload}{path}").status_code == 404
