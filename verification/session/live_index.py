"""Ask the live index which publisher uploaded the last release, by its public integrity API.

This is the suite's only request to the live index about the publisher. It shows what a closed run
cannot: the publisher that the index itself trusted.
"""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote

import pypi_simple
import requests
from packaging.version import InvalidVersion, Version
from pypi_simple import DistributionPackage, PyPISimple

from verification.models.pipeline import LivePublisherCheck
from verification.models.publisher import TrustedPublisher
from verification.models.verdict import Verdict
from verification.pipeline.provenance import PublishedFile, Unanswered, check_provenance

_PROVENANCE = "application/vnd.pypi.integrity.v1+json"
_SECONDS = 20
_ASK_PIP = "from pip._internal.models.index import PyPI; print(PyPI.url)"


def default_index() -> str:
    """Return the address of the index that pip uses by default.

    Raises:
        Unanswered: this Python has no pip.
    """
    asked = subprocess.run(
        (sys.executable, "-c", _ASK_PIP), capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise Unanswered("pip, which is asked for its default index, is not installed")
    return asked.stdout.strip().rstrip("/")


def check_live_publisher(
    publisher: TrustedPublisher, *, index: str | None = None
) -> LivePublisherCheck:
    """Compare the last release's publisher with a registration; unverified if the index is silent.

    ``index`` is the address of the index, without it pip's default.
    """
    version = ""
    try:
        base = default_index() if index is None else index
        with requests.Session() as session:
            newest, files = _last_release(session, base, publisher.project)
            version = str(newest)
            answers = {
                PublishedFile(file.filename, file.digests.get("sha256", "")): _provenance(
                    session, f"{base}/integrity/{publisher.project}/{version}", file.filename
                )
                for file in files
            }
    except Unanswered as error:
        return LivePublisherCheck(verdict=Verdict.UNVERIFIED, reason=str(error), version=version)
    return check_provenance(publisher, version, answers)


def _last_release(
    session: requests.Session, base: str, project: str
) -> tuple[Version, list[DistributionPackage]]:
    """Return the version and files of a project's newest release, final and not yanked."""
    what = f"the page of {project}"
    client = PyPISimple(f"{base}/simple/", session=session, accept=pypi_simple.ACCEPT_JSON_ONLY)
    try:
        page = client.get_project_page(project, timeout=_SECONDS)
    except pypi_simple.NoSuchProjectError:
        raise _missing(what) from None
    except requests.RequestException as error:
        raise _failed(what, error) from error
    except (ValueError, RecursionError, pypi_simple.UnsupportedRepoVersionError) as error:
        raise Unanswered(
            f"the index's answer for {what} is not a page as PEP 691 has it"
        ) from error
    final = [
        (version, file) for file in page.packages if (version := _final_version(file)) is not None
    ]
    if not final:
        raise Unanswered(f"{what} has no final release")
    newest = max(version for version, _ in final)
    return newest, [file for version, file in final if version == newest]


def _final_version(file: DistributionPackage) -> Version | None:
    """Return the version of a file, or None if it is yanked, a pre-release or not readable."""
    try:
        version = Version(file.version or "")
    except InvalidVersion:
        return None
    return None if file.is_yanked or version.is_prerelease else version


def _provenance(session: requests.Session, release: str, name: str) -> bytes:
    """Return the index's answer for the provenance of a file."""
    what = f"the provenance of {name}"
    url = f"{release}/{quote(name)}/provenance"
    try:
        answer = session.get(url, headers={"Accept": _PROVENANCE}, timeout=_SECONDS)
        if answer.status_code == 404:
            raise _missing(what)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _failed(what, error) from error
    return answer.content


def _missing(what: str) -> Unanswered:
    return Unanswered(f"the index has not {what}: 404; a mirror may have none at all")


def _failed(what: str, error: requests.RequestException) -> Unanswered:
    if error.response is not None:
        return Unanswered(f"the index does not give {what}: {error.response.status_code}")
    return Unanswered(f"the index does not answer, asked for {what}: {type(error).__name__}")
