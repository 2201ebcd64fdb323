"""The files with the trusted keys and the signing servers, which sigstore's clients read.

Their formats are those of sigstore's protobuf-specs: TrustedRoot and ClientTrustConfig.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from server.json_reader import JsonObject

from .authority import CertificateAuthority
from .keys import Key, base64_text
from .transparency_log import TransparencyLog

_PREFIX = "application/vnd.dev.sigstore."
_ALWAYS: JsonObject = {"start": "2020-01-01T00:00:00Z"}


def trust_root(authority: CertificateAuthority, log: TransparencyLog) -> JsonObject:
    """Return the keys and certificates that a verifier trusts."""
    url = f"https://{log.origin}"
    root = base64_text(authority.root.public_bytes(serialization.Encoding.DER))
    certificate_authority: JsonObject = {
        "subject": {"organization": "run", "commonName": "run"},
        "uri": url,
        "certChain": {"certificates": [{"rawBytes": root}]},
        "validFor": _ALWAYS,
    }
    return {
        "mediaType": f"{_PREFIX}trustedroot+json;version=0.1",
        "tlogs": [_log(log.key, url)],
        "certificateAuthorities": [certificate_authority],
        "ctlogs": [_log(authority.log_key, url)],
        "timestampAuthorities": [],
    }


def client_config(root: JsonObject, url: str) -> JsonObject:
    """Return the configuration of a client that signs with the servers at ``url``."""
    service: JsonObject = {
        "url": url,
        "majorApiVersion": 1,
        "validFor": _ALWAYS,
        "operator": "run",
    }
    return {
        "mediaType": f"{_PREFIX}clienttrustconfig.v0.1+json",
        "trustedRoot": root,
        "signingConfig": {
            "mediaType": f"{_PREFIX}signingconfig.v0.2+json",
            "caUrls": [service],
            "oidcUrls": [],
            "rekorTlogUrls": [service],
            "rekorTlogConfig": {"selector": "ANY"},
            # The time in the entry of the log is sufficient; see 0036-signing.md.
            "tsaUrls": [],
            "tsaConfig": {"selector": "ANY"},
        },
    }


def _log(key: Key, url: str) -> JsonObject:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": base64_text(key.public_der),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": _ALWAYS,
        },
        "logId": {"keyId": base64_text(key.id)},
    }
