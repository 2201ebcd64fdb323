"""The transparency log: it accepts signed statements only, and proves each entry."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from index.signing.authority import CertificateAuthority
from index.signing.keys import Key
from index.signing.transparency_log import (
    InvalidEntry,
    TransparencyLog,
    inclusion_path,
    root_hash,
)

from tests.helpers.local_sigstore import proposed_entry
from tests.unit.containers.images.index.signing.test_authority import CLAIMS

Change = Callable[[dict[str, Any]], object]


def entry(statement: bytes = b"{}") -> dict[str, Any]:
    key = Key()
    certificate = CertificateAuthority().issue(key.private.public_key(), CLAIMS)
    return proposed_entry(statement, key, certificate)


def parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def test_root_hash_of_seven_leaves_has_the_tree_of_the_standard() -> None:
    """The tree of RFC 6962, section 2.1.3."""
    leaves = [bytes([number]) * 32 for number in range(7)]
    pairs = [parent(leaves[number], leaves[number + 1]) for number in (0, 2, 4)]
    left, right = parent(pairs[0], pairs[1]), parent(pairs[2], leaves[6])
    assert root_hash(leaves) == parent(left, right)
    assert inclusion_path(0, leaves) == [leaves[1], pairs[1], right]
    assert inclusion_path(3, leaves) == [leaves[2], pairs[0], right]
    assert inclusion_path(6, leaves) == [pairs[2], left]


def test_each_entry_has_the_next_index_and_the_tree_at_its_time() -> None:
    log = TransparencyLog("log.invalid")
    added: list[Any] = [value for _ in range(3) for value in log.add(entry()).values()]
    assert [item["logIndex"] for item in added] == [0, 1, 2]
    proofs = [item["verification"]["inclusionProof"] for item in added]
    assert [proof["treeSize"] for proof in proofs] == [1, 2, 3]
    leaves = [hashlib.sha256(b"\0" + base64.b64decode(item["body"])).digest() for item in added]
    assert [proof["rootHash"] for proof in proofs] == [
        root_hash(leaves[:size]).hex() for size in (1, 2, 3)
    ]
    assert proofs[2]["checkpoint"].startswith("log.invalid - ")


def test_body_has_the_digest_of_the_statement() -> None:
    (added,) = TransparencyLog("log.invalid").add(entry(b"a statement")).values()
    spec = json.loads(base64.b64decode(added["body"]))["spec"]  # type: ignore[index,call-overload,arg-type]
    assert spec["payloadHash"]["value"] == hashlib.sha256(b"a statement").hexdigest()


def with_envelope(proposed: dict[str, Any], **changes: Any) -> None:
    content = proposed["spec"]["proposedContent"]
    content["envelope"] = json.dumps({**json.loads(content["envelope"]), **changes})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda proposed: with_envelope(proposed, payload="b3RoZXI="), "the signature is not"),
        (lambda proposed: with_envelope(proposed, signatures=[]), "malformed entry"),
        (lambda proposed: proposed.update(kind="hashedrekord"), "unsupported entry"),
        (lambda proposed: proposed.pop("spec"), "malformed entry"),
        (lambda proposed: proposed["spec"]["proposedContent"].update(verifiers=["x"]), "malformed"),
    ],
)
def test_entry_without_a_valid_signature_is_refused(change: Change, reason: str) -> None:
    proposed = entry()
    change(proposed)
    log = TransparencyLog("log.invalid")
    with pytest.raises(InvalidEntry, match=reason):
        log.add(proposed)
    (added,) = log.add(entry()).values()
    assert added["logIndex"] == 0  # type: ignore[index,call-overload]


def test_request_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidEntry, match="malformed entry"):
        TransparencyLog("log.invalid").add(None)
