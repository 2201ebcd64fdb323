"""Attestations (PEP 740): the index verifies, stores and serves them.

The checks, their order and the messages are those of the default index, 2026:
`parse_attestations` in warehouse/attestations/services.py and `provenance_for_file` in
warehouse/api/integrity.py. pypi-attestations verifies the signatures, as there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from server.routing import json_response
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from .file_details import version_of
from .oidc.publishers import WorkflowIdentity
from .routing import Request, Route
from .store import PackageStore
from .upload_form import UploadRefused

if TYPE_CHECKING:
    from pypi_attestations import Attestation, Distribution

_CONTENT_TYPES = ("application/vnd.pypi.integrity.v1+json", "application/json")
_MAX_ATTESTATIONS = 2
_TUF_REPOSITORY = "https://tuf-repo-cdn.sigstore.dev"


class IntegrityApi:
    """Serves the provenance of each file that was uploaded with attestations."""

    def __init__(self, store: PackageStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        return [Route("/integrity/<project>/<version>/<filename>/provenance", self._provenance)]

    def _provenance(self, request: Request, project: str, version: str, filename: str) -> Response:
        kind = _content_type(request.accept_mimetypes)
        if kind is None:
            return json_response({"message": "Request not acceptable"}, 406)
        files = self._store.files(project)
        if version_of(filename) != version or all(file.path.name != filename for file in files):
            raise NotFound
        provenance = self._store.provenance(filename)
        if provenance is None:
            message = f"No provenance available for {filename}"
            return json_response({"message": message}, 404)
        return Response(provenance, content_type=kind, headers={"Vary": "Accept"})


def _content_type(accept: MIMEAccept) -> str | None:
    return accept.best_match(_CONTENT_TYPES) if accept else _CONTENT_TYPES[0]


def path_of(project: str, filename: str) -> str:
    """Return the path of the provenance of a file."""
    version = version_of(filename) or ""
    return f"/integrity/{quote(project)}/{quote(version)}/{quote(filename)}/provenance"


def trust(root: bytes, folder: Path) -> None:
    """Let sigstore trust only the keys of a trust root, in sigstore's format.

    Without this call, it trusts the keys of the live index, which it contains. The process never
    fetches keys. sigstore reads the trust root of a process without a network from its cache, which
    is in ``folder``.

    Raises:
        OSError: the cache cannot be written.
    """
    cache = Path(os.environ.setdefault("XDG_CACHE_HOME", str(folder / "cache")))
    targets = cache / "sigstore-python" / "tuf" / quote(_TUF_REPOSITORY, safe="")
    targets.mkdir(parents=True, exist_ok=True)
    (targets / "trusted_root.json").write_bytes(root)


def provenance(
    text: str, workflow: WorkflowIdentity | None, filename: str, sha256: str
) -> tuple[bytes, int]:
    """Return the provenance of a file and the number of its attestations, after their check.

    Raises:
        UploadRefused: the index does not accept the attestations.
    """
    # The libraries are slow to import, and most uploads have no attestations.
    from pypi_attestations import AttestationBundle, Distribution, GitHubPublisher, Provenance

    if workflow is None:
        raise _refused("Attestations are only supported when using Trusted Publishing")
    publisher = GitHubPublisher(
        repository=workflow.slug, workflow=workflow.file, environment=workflow.environment or None
    )
    attestations = _read(text)
    distribution = Distribution(name=filename, digest=sha256)
    seen: set[str] = set()
    for attestation in attestations:
        kind = _verified_type(attestation, publisher, distribution)
        if kind in seen:
            raise _refused(
                "Multiple attestations for the same file with the same predicate type "
                f"({kind}) are not supported"
            )
        seen.add(kind)
    bundle = AttestationBundle(publisher=publisher, attestations=attestations)
    data = Provenance(attestation_bundles=[bundle]).model_dump_json().encode()
    return data, len(attestations)


def _read(text: str) -> list[Attestation]:
    from pydantic import TypeAdapter, ValidationError
    from pypi_attestations import Attestation

    try:
        attestations = TypeAdapter(list[Attestation]).validate_json(text)
    except ValidationError as error:
        raise _refused(f"Malformed attestations: {error}") from error
    if not attestations:
        raise _refused("Malformed attestations: an empty attestation set is not permitted")
    if len(attestations) > _MAX_ATTESTATIONS:
        raise _refused(f"A maximum of {_MAX_ATTESTATIONS} attestations per file are supported")
    return attestations


def _verified_type(attestation: Attestation, publisher: object, distribution: Distribution) -> str:
    from pypi_attestations import VerificationError

    try:
        kind, _ = attestation.verify(publisher, distribution, offline=True)  # type: ignore[arg-type]
    except VerificationError as error:
        raise _refused(
            f"Could not verify the uploaded artifact using the included attestation: {error}"
        ) from error
    except Exception as error:  # as the default index does
        raise _refused(
            f"Unknown error while trying to verify included attestations: {error}"
        ) from error
    return kind


def _refused(reason: str) -> UploadRefused:
    return UploadRefused(f"Invalid attestations supplied during upload: {reason}")
