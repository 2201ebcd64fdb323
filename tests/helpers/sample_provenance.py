"""Sample responses of an index's integrity API (PEP 740).

They have the keys and value types of the real response about sigstore 3.6.1.
"""

from __future__ import annotations

import base64
import json

from pydantic import JsonValue

from verification.models.publisher import TrustedPublisher

PUBLISHER = TrustedPublisher(
    project="quiverdb",
    owner="octo-org",
    owner_id="42",
    repository="quiver2",
    workflow="publish.yml",
    environment="pypi",
    pending=False,
)
STAND_IN = PUBLISHER.model_copy(update={"owner": "nobody", "stand_in_owner": True})
UPLOADER: dict[str, JsonValue] = {
    "kind": "GitHub",
    "repository": "octo-org/quiver2",
    "workflow": "publish.yml",
    "environment": "pypi",
}
WHEELS = ("quiverdb-1.2.0-cp313-cp313-win_amd64.whl", "quiverdb-1.2.0-py3-none-any.whl")
DIGEST = "ab" * 32


def provenance(name: str, uploader: JsonValue = UPLOADER, *, digest: str = DIGEST) -> JsonValue:
    """Return the provenance object of a file."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": "publish",
        "predicate": None,
    }
    encoded = base64.b64encode(json.dumps(statement).encode()).decode()
    attestation: JsonValue = {
        "version": 1,
        "envelope": {"statement": encoded, "signature": "AAAA"},
    }
    bundle: JsonValue = {"publisher": uploader, "attestations": [attestation]}
    return {"version": 1, "attestation_bundles": [bundle]}
