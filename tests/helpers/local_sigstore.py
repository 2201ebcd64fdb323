"""A sigstore for tests: keys that sign attestations (PEP 740), and their trust root.

The formats are those of sigstore's client: the trust root and the log entry of Rekor v1 (protobuf
JSON), the certificate of Fulcio (its oid-info.md) with an embedded timestamp of a certificate log
(RFC 6962), the checkpoint of the log (C2SP, tlog-checkpoint) and DSSE.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pypi_attestations import AttestationType

PUBLISH = AttestationType.PYPI_PUBLISH_V1.value
SLSA = AttestationType.SLSA_PROVENANCE_V1.value
_STATEMENT = "application/vnd.in-toto+json"
_ORIGIN = "rekor.invalid"
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_CLAIMS = "1.3.6.1.4.1.57264.1."


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class LocalSigstore:
    """The keys of a certificate authority, of a certificate log and of a transparency log."""

    ca_key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key)
    log_key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key)

    def trust_root(self) -> bytes:
        """Return the trust root: the file that sigstore's clients get by TUF."""
        start = {"start": "2020-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey, url: str) -> dict[str, Any]:
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": start,
                },
                "logId": {"keyId": _b64(_key_id(key))},
            }

        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": "https://fulcio.invalid",
            "certChain": {"certificates": [{"rawBytes": _b64(_der(self._root()))}]},
            "validFor": start,
        }
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log_key, f"https://{_ORIGIN}")],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self.ct_key, "https://ct.invalid")],
            "timestampAuthorities": [],
        }
        return json.dumps(root).encode()

    def attest(
        self, filename: str, content: bytes, claims: dict[str, Any], predicate: str = PUBLISH
    ) -> dict[str, Any]:
        """Return an attestation for a file, signed by the job with these claims."""
        subject = {"name": filename, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
        statement = json.dumps(
            {
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [subject],
                "predicateType": predicate,
                "predicate": None,
            }
        ).encode()
        key = _new_key()
        certificate = self._certificate(key, claims)
        encoded = b"DSSEv1 %d %b %d %b" % (
            len(_STATEMENT),
            _STATEMENT.encode(),
            len(statement),
            statement,
        )
        signature = _sign(key, encoded)
        return {
            "version": 1,
            "verification_material": {
                "certificate": _b64(_der(certificate)),
                "transparency_entries": [self._log_entry(statement, signature, certificate)],
            },
            "envelope": {"statement": _b64(statement), "signature": _b64(signature)},
        }

    def _root(self) -> x509.Certificate:
        name = _name("test-authority")
        usage = _usage(sign_certificates=True)
        return (
            _builder(name, name, self.ca_key, days=3650)
            .serial_number(1)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.ca_key, hashes.SHA256())
        )

    def _certificate(
        self, key: ec.EllipticCurvePrivateKey, claims: dict[str, Any]
    ) -> x509.Certificate:
        host = "https://github.com/"
        texts = {
            8: claims["iss"],
            9: host + claims["job_workflow_ref"],
            12: host + claims["repository"],
            13: claims["sha"],
            14: claims["ref"],
            18: host + claims["workflow_ref"],
        }
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key())
        builder = (
            _builder(x509.Name([]), _name("test-authority"), key, days=1)
            .serial_number(2)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(issuer, critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(texts[9])]), True
            )
        )
        for number, text in texts.items():
            oid = x509.ObjectIdentifier(f"{_CLAIMS}{number}")
            value = _tlv(0x0C, text.encode())
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        unlogged = builder.sign(self.ca_key, hashes.SHA256())
        timestamps = _tlv(0x04, self._timestamps(unlogged.tbs_certificate_bytes))
        signed = builder.add_extension(
            x509.UnrecognizedExtension(_SCT_LIST, timestamps), critical=False
        ).sign(self.ca_key, hashes.SHA256())
        return x509.load_der_x509_certificate(_der(signed))

    def _timestamps(self, tbs: bytes) -> bytes:
        """Return the list with the timestamp of the certificate log (RFC 6962, section 3.2)."""
        now = int(datetime.datetime.now(datetime.UTC).timestamp()) * 1000
        entry = _key_id(self.ca_key) + len(tbs).to_bytes(3, "big") + tbs
        signed = struct.pack("!BBQH", 0, 0, now, 1) + entry + bytes(2)
        signature = _sign(self.ct_key, signed)
        timestamp = (
            struct.pack("!B32sQHBBH", 0, _key_id(self.ct_key), now, 0, 4, 3, len(signature))
            + signature
        )
        return struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp

    def _log_entry(
        self, statement: bytes, signature: bytes, certificate: x509.Certificate
    ) -> dict[str, Any]:
        """Return the only entry of a log, with the proof that the log has it."""
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        digest = {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()}
        spec = {
            "envelopeHash": digest,
            "payloadHash": digest,
            "signatures": [{"signature": _b64(signature), "verifier": _b64(pem)}],
        }
        body = _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"{_ORIGIN} - 1\n1\n{_b64(root)}\n"
        signed_note = _key_id(self.log_key)[:4] + _sign(self.log_key, note.encode())
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        promise = _canonical(
            {
                "body": _b64(body),
                "integratedTime": now,
                "logID": _key_id(self.log_key).hex(),
                "logIndex": 0,
            }
        )
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(_key_id(self.log_key))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(now),
            "inclusionPromise": {"signedEntryTimestamp": _b64(_sign(self.log_key, promise))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\N{EM DASH} {_ORIGIN} {_b64(signed_note)}\n"},
            },
            "canonicalizedBody": _b64(body),
        }


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


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


def _tlv(tag: int, value: bytes) -> bytes:
    """Return a value in DER (ITU-T X.690)."""
    size = len(value)
    if size < 0x80:
        return bytes([tag, size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
