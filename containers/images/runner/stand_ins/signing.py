"""Signs files as pypa/gh-action-pypi-publish does: a publish attestation (PEP 740) for each file.

The libraries are those of the real action, sigstore and pypi-attestations. They sign with the
servers of the run: the client gets a configuration, so it asks no other server for keys.
"""

from __future__ import annotations

from pathlib import Path

import id as identities
import requests

from .toolkit import Failure, testbed_failure

SERVERS = "https://sigstore.test"
"""The address of the signing servers of the run (``images/index/signing``)."""
_AUDIENCE = "sigstore"
_SUFFIXES = (".tar.gz", ".zip", ".whl")
_SECONDS = 30


def attest(folder: Path, servers: str = SERVERS) -> list[Path]:
    """Write an attestation next to each file of a release. Return the attestations.

    Raises:
        Failure: the job gets no identity, a path is not a file, or a file has an attestation.
        requests.RequestException: the signing servers do not answer.
    """
    # The libraries are slow to import, and not every workflow signs.
    from pypi_attestations import Attestation, Distribution
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import SigningContext

    print(f"[command]attest {folder}", flush=True)
    attestations = _attestations(folder)
    try:
        identity = identities.detect_credential(_AUDIENCE)
    except identities.IdentityError as error:
        raise Failure(
            "Attestation generation failure: OpenID Connect token retrieval failed: "
            f"{error}. The job needs `permissions: id-token: write`"
        ) from None
    except requests.RequestException as error:
        testbed_failure("forge-unreachable", str(error))
    response = requests.get(f"{servers}/client-trust-config.json", timeout=_SECONDS)
    response.raise_for_status()
    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(response.text))
    with context.signer(IdentityToken(str(identity)), cache=True) as signer:
        for file, path in attestations.items():
            attestation = Attestation.sign(signer, Distribution.from_file(file))
            path.write_text(attestation.model_dump_json(), "utf-8")
    return list(attestations.values())


def _attestations(folder: Path) -> dict[Path, Path]:
    """Return the path of the attestation of each file.

    Raises:
        Failure: a path is not a file, or a file already has an attestation.
    """
    files = sorted(path for path in folder.glob("*") if path.name.endswith(_SUFFIXES))
    if others := [str(path) for path in files if not path.is_file()]:
        raise Failure(
            f"Attestation generation failure: these paths are not files: {', '.join(others)}"
        )
    attestations = {path: path.with_name(f"{path.name}.publish.attestation") for path in files}
    if existing := [str(path) for path in attestations.values() if path.exists()]:
        raise Failure(
            "Attestation generation failure: these publish attestations already exist: "
            f"{', '.join(existing)}"
        )
    return attestations
