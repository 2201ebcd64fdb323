"""The certificate authority: it issues a certificate for the identity of a job.

The certificate has the profile of sigstore's Fulcio (its docs/certificate-specification.md), with
the extensions for GitHub's tokens (docs/oid-info.md). A certificate log confirms each certificate
with a timestamp in it (RFC 6962, section 3).
"""

from __future__ import annotations

import datetime
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from server.json_reader import JsonObject

from .keys import Key

_HOST = "https://github.com"
_REQUIRED_CLAIMS = ("iss", "job_workflow_ref", "workflow_ref", "repository", "ref", "sha")
_CLAIMS = "1.3.6.1.4.1.57264.1."
_EXTENSIONS = {
    8: "{iss}",
    9: f"{_HOST}/{{job_workflow_ref}}",
    10: "{job_workflow_sha}",
    11: "{runner_environment}",
    12: f"{_HOST}/{{repository}}",
    13: "{sha}",
    14: "{ref}",
    15: "{repository_id}",
    16: f"{_HOST}/{{repository_owner}}",
    17: "{repository_owner_id}",
    18: f"{_HOST}/{{workflow_ref}}",
    19: "{workflow_sha}",
    20: "{event_name}",
    21: f"{_HOST}/{{repository}}/actions/runs/{{run_id}}/attempts/{{run_attempt}}",
    22: "{repository_visibility}",
}
"""The value of each extension, by the last number of its id."""
_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_UTF8_STRING, _OCTET_STRING = 0x0C, 0x04
_LIFETIME = datetime.timedelta(minutes=10)
_ROOT_LIFETIME = datetime.timedelta(days=30)
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signing authority of the run")])


class MissingClaim(Exception):
    """The identity has no usable value of a claim. The message is the name of the claim."""


class CertificateAuthority:
    """A certificate authority and its certificate log. Without arguments, their keys are new."""

    def __init__(self, key: Key | None = None, log_key: Key | None = None) -> None:
        self._key = key or Key()
        self.log_key = log_key or Key()
        self.root = (
            _builder(_NAME, self._key.private.public_key(), _ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(self._key.private, hashes.SHA256())
        )

    def issue(self, public_key: ec.EllipticCurvePublicKey, claims: JsonObject) -> x509.Certificate:
        """Return a certificate for a key and for the claims of an identity token.

        Raises:
            MissingClaim: a claim that each token of GitHub has is missing or not a string.
        """
        for name in _REQUIRED_CLAIMS:
            if not isinstance(claims.get(name), str):
                raise MissingClaim(name)
        builder = (
            _builder(x509.Name([]), public_key, _LIFETIME)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.private.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(_EXTENSIONS[9].format_map(claims))]
                ),
                critical=True,
            )
        )
        for number, template in _EXTENSIONS.items():
            try:
                text = template.format_map(claims)
            except KeyError:  # a claim that some tokens do not have
                continue
            builder = _with_value(
                builder, x509.ObjectIdentifier(f"{_CLAIMS}{number}"), _UTF8_STRING, text.encode()
            )
        unconfirmed = builder.sign(self._key.private, hashes.SHA256())
        timestamps = self._timestamps(unconfirmed.tbs_certificate_bytes)
        builder = _with_value(builder, _TIMESTAMPS, _OCTET_STRING, timestamps)
        confirmed = builder.sign(self._key.private, hashes.SHA256())
        return x509.load_der_x509_certificate(confirmed.public_bytes(serialization.Encoding.DER))

    def _timestamps(self, certificate: bytes) -> bytes:
        """Return the list with the timestamp of the log, for a certificate without it."""
        milliseconds = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
        entry = self._key.id + len(certificate).to_bytes(3, "big") + certificate
        signature = self.log_key.sign(
            struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + bytes(2)
        )
        sha256, ecdsa = 4, 3
        timestamp = struct.pack("!B32sQH", 0, self.log_key.id, milliseconds, 0)
        timestamp += struct.pack("!BBH", sha256, ecdsa, len(signature)) + signature
        return struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp


def _builder(
    subject: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_NAME)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _with_value(
    builder: x509.CertificateBuilder, oid: x509.ObjectIdentifier, tag: int, value: bytes
) -> x509.CertificateBuilder:
    """Add an extension with one value of the ASN.1 type ``tag`` (DER, ITU-T X.690)."""
    size = len(value)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    if size >= 0x80:
        length = bytes([0x80 | len(length)]) + length
    extension = x509.UnrecognizedExtension(oid, bytes([tag]) + length + value)
    return builder.add_extension(extension, critical=False)
