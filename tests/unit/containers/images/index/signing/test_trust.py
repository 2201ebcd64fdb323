"""The files for sigstore's clients."""

from __future__ import annotations

import json

from index.signing.authority import CertificateAuthority
from index.signing.transparency_log import TransparencyLog
from index.signing.trust import client_config, trust_root
from sigstore.models import ClientTrustConfig


def test_sigstore_reads_the_configuration() -> None:
    authority, log = CertificateAuthority(), TransparencyLog("log.invalid")
    text = json.dumps(client_config(trust_root(authority, log), "https://servers.invalid"))
    config = ClientTrustConfig.from_json(text)
    assert config.trusted_root.get_fulcio_certs() == [authority.root]
    assert config.trusted_root.get_timestamp_authorities() == []
    assert config.signing_config.get_fulcio().url == "https://servers.invalid"
    assert len(config.signing_config.get_tlogs()) == 1
    assert config.signing_config.get_tsas() == []
