"""Read from the live index which publisher uploaded the last release.

The module uses the public integrity API (PEP 740 provenance). A run without network access cannot
show which publisher the live index trusts.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from urllib.parse import quote

import pypi_simple
import requests
from packaging.version import InvalidVersion, Version
from pypi_simple import DistributionPackage, PyPISimple

from verification.models.pipeline import LivePublisherCheck
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.pipeline.provenance import ProvenanceFile, UnusableAnswer, check_provenance

_PROVENANCE = "application/vnd.pypi.integrity.v1+json"
_SECONDS = 20
_PRINT_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.url)"


def default_index() -> str:
    """Return the address of the index that pip uses by default.

    Raises:
        UnusableAnswer: this Python has no pip.
    """
    pip = subprocess.run(
        (sys.executable, "-c", _PRINT_INDEX), capture_output=True, text=True, check=False
    )
    if pip.returncode:
        raise UnusableAnswer(
            "the default index is unknown: pip is not installed in this environment"
        )
    return pip.stdout.strip().rstrip("/")


def check_live_publisher(
    publisher: TrustedPublisher,
    *,
    index: str | None = None,
    version: str = "",
    verify: Callable[[ProvenanceFile, bytes], str] | None = None,
) -> LivePublisherCheck:
    """Compare the publisher of a release with a registration.

    ``index`` is the address of the index; None means pip's default. ``version`` is that of the
    release; empty means the last release. ``verify`` is the check of the signatures; None means
    `signature_fault`. If the index does not answer or a signature is not verified, the verdict is
    *unverified*.
    """
    try:
        base = default_index() if index is None else index
        with requests.Session() as session:
            newest, files = _release(session, base, publisher.project, version)
            version = str(newest)
            answers = {
                ProvenanceFile(file.filename, file.digests.get("sha256", "")): _provenance(
                    session, f"{base}/integrity/{publisher.project}/{version}", file.filename
                )
                for file in files
            }
    except UnusableAnswer as error:
        return LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason=str(error), version=version)
    return check_provenance(publisher, version, answers, verify or signature_fault)


def signature_fault(file: ProvenanceFile, answer: bytes) -> str:
    """Return why the signatures in a provenance object are not verified; empty if they are.

    pypi-attestations verifies them for the publisher in the provenance, first with the keys of
    sigstore that the locked library contains, then with the newest keys, for which it needs the
    network. sigstore caches the keys in the user's folders.
    """
    import sigstore.errors  # these libraries are slow to import
    from pypi_attestations import AttestationError, Distribution, Provenance

    try:
        provenance = Provenance.model_validate_json(answer)
        distribution = Distribution(name=file.name, digest=file.sha256)
    except ValueError:
        return "its provenance has no attestations that can be verified"
    fault = ""
    for is_offline in (True, False):
        try:
            for bundle in provenance.attestation_bundles:
                for attestation in bundle.attestations:
                    attestation.verify(bundle.publisher, distribution, offline=is_offline)
            return ""
        except AttestationError as error:
            fault = f"an attestation does not verify: {_line(error)}"
        except (sigstore.errors.Error, OSError, ValueError) as error:
            return fault or f"an attestation cannot be verified: {_line(error)}"
    return fault


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _release(
    session: requests.Session, base: str, project: str, version: str
) -> tuple[Version, list[DistributionPackage]]:
    """Return the version and the files of a release of a project.

    Without a ``version`` it is the newest final release that is not yanked.
    """
    page_name = f"the page of {project}"
    client = PyPISimple(f"{base}/simple/", session=session, accept=pypi_simple.ACCEPT_JSON_ONLY)
    try:
        page = client.get_project_page(project, timeout=_SECONDS)
    except pypi_simple.NoSuchProjectError:
        raise _missing(page_name) from None
    except requests.RequestException as error:
        raise _failed(page_name, error) from error
    except (ValueError, RecursionError, pypi_simple.UnsupportedRepoVersionError) as error:
        raise UnusableAnswer(
            f"the index answered the request for {page_name} with data that is no page of PEP 691"
        ) from error
    files = [
        (file_version, file)
        for file in page.packages
        if (file_version := _version(file)) is not None
    ]
    if version:
        selected = Version(version)
    else:
        final = [v for v, file in files if not file.is_yanked and not v.is_prerelease]
        if not final:
            raise UnusableAnswer(f"{page_name} lists no final release")
        selected = max(final)
        files = [(v, file) for v, file in files if not file.is_yanked]
    of_release = [file for v, file in files if v == selected]
    if not of_release:
        raise UnusableAnswer(f"{page_name} lists no file of {version}")
    return selected, of_release


def _version(file: DistributionPackage) -> Version | None:
    """Return the version of a file, or None if it is not valid."""
    try:
        return Version(file.version or "")
    except InvalidVersion:
        return None


def _provenance(session: requests.Session, release: str, name: str) -> bytes:
    """Return the provenance of a file, as the index serves it."""
    resource = f"the provenance of {name}"
    url = f"{release}/{quote(name)}/provenance"
    try:
        answer = session.get(url, headers={"Accept": _PROVENANCE}, timeout=_SECONDS)
        if answer.status_code == 404:
            raise _missing(resource)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _failed(resource, error) from error
    return answer.content


def _missing(resource: str) -> UnusableAnswer:
    return UnusableAnswer(
        f"the index does not have {resource}: 404; many mirrors have no provenance"
    )


def _failed(resource: str, error: requests.RequestException) -> UnusableAnswer:
    if error.response is not None:
        status = error.response.status_code
        return UnusableAnswer(f"the index answered the request for {resource} with {status}")
    return UnusableAnswer(
        f"the index did not answer the request for {resource}: {type(error).__name__}"
    )
