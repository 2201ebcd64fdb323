"""The transparency log: it stores a signed statement and proves that it has stored it.

The entries and the responses are those of sigstore's Rekor, version 1, for the type `dsse` 0.0.1.
The proof is that of RFC 6962, section 2.1. The checkpoint is a signed note (C2SP, tlog-checkpoint).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import threading
import time
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from server.json_reader import Json, JsonObject

from .keys import Key, base64_text


class InvalidEntry(Exception):
    """The log does not accept a proposed entry. The message is one line."""


class TransparencyLog:
    """A log with the name ``origin``. Without ``key``, its key is new."""

    def __init__(self, origin: str, key: Key | None = None) -> None:
        self.origin = origin
        self.key = key or Key()
        self._tree = secrets.randbits(62)
        self._leaves: list[bytes] = []
        self._lock = threading.Lock()

    def add(self, proposed: Json) -> JsonObject:
        """Add a proposed entry. Return the entry with its proof, by its id.

        Raises:
            InvalidEntry: it has another type, or the signature is not that of its certificate.
        """
        body = _canonical(_entry(proposed))
        with self._lock:
            self._leaves.append(hashlib.sha256(b"\0" + body).digest())
            leaves = list(self._leaves)
        index = len(leaves) - 1
        promised: JsonObject = {
            "body": base64_text(body),
            "integratedTime": int(time.time()),
            "logID": self.key.id.hex(),
            "logIndex": index,
        }
        root = root_hash(leaves)
        proof: JsonObject = {
            "logIndex": index,
            "treeSize": len(leaves),
            "rootHash": root.hex(),
            "hashes": [part.hex() for part in inclusion_path(index, leaves)],
            "checkpoint": self._checkpoint(len(leaves), root),
        }
        promise = base64_text(self.key.sign(_canonical(promised)))
        verification: JsonObject = {"inclusionProof": proof, "signedEntryTimestamp": promise}
        return {f"{self._tree:016x}{leaves[-1].hex()}": {**promised, "verification": verification}}

    def _checkpoint(self, size: int, root: bytes) -> str:
        note = f"{self.origin} - {self._tree}\n{size}\n{base64_text(root)}\n"
        signature = base64_text(self.key.id[:4] + self.key.sign(note.encode()))
        return f"{note}\n\N{EM DASH} {self.origin} {signature}\n"


def root_hash(leaves: list[bytes]) -> bytes:
    """Return the hash of a tree with these leaf hashes, at least one."""
    if len(leaves) == 1:
        return leaves[0]
    middle = _middle(leaves)
    return _parent(root_hash(leaves[:middle]), root_hash(leaves[middle:]))


def inclusion_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return the hashes that lead from a leaf to the hash of the tree."""
    if len(leaves) == 1:
        return []
    middle = _middle(leaves)
    left, right = leaves[:middle], leaves[middle:]
    if index < middle:
        return [*inclusion_path(index, left), root_hash(right)]
    return [*inclusion_path(index - middle, right), root_hash(left)]


def _middle(leaves: list[bytes]) -> int:
    """Return the largest power of two that is smaller than the number of leaves."""
    return 1 << ((len(leaves) - 1).bit_length() - 1)


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _entry(proposed: Any) -> JsonObject:
    """Return the entry for a proposed one, after the check of its signature."""
    try:
        kind = (proposed["kind"], proposed["apiVersion"])
        content = proposed["spec"]["proposedContent"]
        envelope, (verifier,) = json.loads(content["envelope"]), content["verifiers"]
        payload_type = envelope["payloadType"].encode()
        payload = base64.b64decode(envelope["payload"])
        (signature,) = (item["sig"] for item in envelope["signatures"])
        certificate = x509.load_pem_x509_certificate(base64.b64decode(verifier))
        key = certificate.public_key()
        if kind != ("dsse", "0.0.1") or not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidEntry(f"unsupported entry {kind}")
        signed = b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)
        key.verify(base64.b64decode(signature), signed, ec.ECDSA(hashes.SHA256()))
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise InvalidEntry(f"malformed entry: {type(error).__name__}: {error}") from error
    except InvalidSignature as error:
        raise InvalidEntry("the signature is not that of the certificate") from error
    return {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": _digest(_canonical(envelope)),
            "payloadHash": _digest(payload),
            "signatures": [{"signature": signature, "verifier": verifier}],
        },
    }


def _digest(data: bytes) -> JsonObject:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _canonical(value: Json) -> bytes:
    """Return JSON in its canonical form (RFC 8785)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
