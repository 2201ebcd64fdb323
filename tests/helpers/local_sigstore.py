"""The signing servers in the process of a test: attestations (PEP 740) with any content."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from index.signing.authority import CertificateAuthority
from index.signing.keys import Key, base64_text
from index.signing.transparency_log import TransparencyLog
from index.signing.trust import trust_root
from pypi_attestations import AttestationType

PUBLISH = AttestationType.PYPI_PUBLISH_V1.value
SLSA = AttestationType.SLSA_PROVENANCE_V1.value
_STATEMENT = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class LocalSigstore:
    """A certificate authority and a transparency log."""

    authority: CertificateAuthority = field(default_factory=CertificateAuthority)
    log: TransparencyLog = field(default_factory=lambda: TransparencyLog("log.invalid"))

    def trust_root(self) -> bytes:
        """Return the trust root: the file that sigstore's clients get by TUF."""
        return json.dumps(trust_root(self.authority, self.log)).encode()

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
        key = Key()
        certificate = self.authority.issue(key.private.public_key(), claims)
        entry = proposed_entry(statement, key, certificate)
        (logged,) = self.log.add(entry).values()
        envelope = json.loads(entry["spec"]["proposedContent"]["envelope"])
        der = certificate.public_bytes(serialization.Encoding.DER)
        return {
            "version": 1,
            "verification_material": {
                "certificate": base64_text(der),
                "transparency_entries": [_in_bundle(logged)],
            },
            "envelope": {
                "statement": envelope["payload"],
                "signature": envelope["signatures"][0]["sig"],
            },
        }


def proposed_entry(statement: bytes, key: Key, certificate: x509.Certificate) -> dict[str, Any]:
    """Return the request of a client for a log entry about a signed statement (DSSE)."""
    kind = _STATEMENT.encode()
    signature = key.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(statement), statement))
    envelope = {
        "payload": base64_text(statement),
        "payloadType": _STATEMENT,
        "signatures": [{"sig": base64_text(signature)}],
    }
    verifier = base64_text(certificate.public_bytes(serialization.Encoding.PEM))
    content = {"envelope": json.dumps(envelope), "verifiers": [verifier]}
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": content}}


def _in_bundle(entry: Any) -> dict[str, Any]:
    """Return a log entry in the format of a bundle (protobuf JSON)."""
    proof = entry["verification"]["inclusionProof"]
    return {
        "logIndex": str(entry["logIndex"]),
        "logId": {"keyId": _base64_of_hex(entry["logID"])},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": str(entry["integratedTime"]),
        "inclusionPromise": {
            "signedEntryTimestamp": entry["verification"]["signedEntryTimestamp"],
        },
        "inclusionProof": {
            "logIndex": str(proof["logIndex"]),
            "rootHash": _base64_of_hex(proof["rootHash"]),
            "treeSize": str(proof["treeSize"]),
            "hashes": [_base64_of_hex(value) for value in proof["hashes"]],
            "checkpoint": {"envelope": proof["checkpoint"]},
        },
        "canonicalizedBody": entry["body"],
    }


def _base64_of_hex(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()
