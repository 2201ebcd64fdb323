"""Keys of the signing servers: ECDSA with P-256 and SHA-256."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _generate() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Key:
    """A key pair of a server. Without an argument, it is new."""

    private: ec.EllipticCurvePrivateKey = field(default_factory=_generate, repr=False)

    @property
    def public_der(self) -> bytes:
        """The public key: a SubjectPublicKeyInfo (RFC 5280), DER."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def id(self) -> bytes:
        """The id of a log with this key: the SHA-256 of the public key (RFC 6962, section 3.2)."""
        return hashlib.sha256(self.public_der).digest()

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``, DER."""
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


def base64_text(data: bytes) -> str:
    """Return ``data`` in base64."""
    return base64.b64encode(data).decode()
