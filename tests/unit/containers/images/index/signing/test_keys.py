"""The keys of the signing servers."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from index.signing.keys import Key, base64_text


def test_signature_belongs_to_the_key_and_the_data() -> None:
    key = Key()
    signature, algorithm = key.sign(b"data"), ec.ECDSA(hashes.SHA256())
    key.private.public_key().verify(signature, b"data", algorithm)
    with pytest.raises(InvalidSignature):
        key.private.public_key().verify(signature, b"other", algorithm)
    with pytest.raises(InvalidSignature):
        Key().private.public_key().verify(signature, b"data", algorithm)


def test_id_is_the_digest_of_the_public_key() -> None:
    key = Key()
    assert key.id == hashlib.sha256(key.public_der).digest()
    assert Key().id != key.id


def test_base64_text_can_be_decoded() -> None:
    assert base64.b64decode(base64_text(b"\xff\0")) == b"\xff\0"
