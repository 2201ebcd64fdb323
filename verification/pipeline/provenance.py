"""Which publisher the last release really came from, by the live index's public integrity API.

This is the one look at the live index. It tells what no closed run can: the publisher that the
index itself trusted. Its answers are structured as PEP 740 says (provenance objects) and are
compared with the registrations of `publishers.toml`. The attestations' signatures are not verified
here: their names and digests are, and the index is taken at its word for the publisher.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from verification.models.cause import Cause
from verification.pipeline.publishers import Publisher
from verification.rules.catalogue import catalogue
from verification.verdict import Verdict

_PAGE = "application/vnd.pypi.simple.v1+json"
_PROVENANCE = "application/vnd.pypi.integrity.v1+json"
_SECONDS = 20
_MAX_SIZE = 16 << 20
_ASK_PIP = "from pip._internal.models.index import PyPI; print(PyPI.url)"


class Unanswered(Exception):
    """The live index gives no usable answer; the message, one line, says which and why."""


@dataclass(frozen=True)
class Finding:
    """What is known of a release's publisher."""

    verdict: Verdict
    causes: tuple[Cause, ...] = ()
    reason: str = ""
    """Why it is unverified, or what the comparison leaves out."""
    version: str = ""
    publishers: Mapping[str, str] = field(default_factory=dict)
    """The publisher that each file's provenance names, in words."""


@dataclass(frozen=True)
class PublishedFile:
    """A file as the index lists it."""

    name: str
    version: Version
    sha256: str


def default_index() -> str:
    """Return the address of the index that pip takes when nobody tells it another.

    Raises:
        Unanswered: this Python has no pip.
    """
    asked = subprocess.run(
        (sys.executable, "-c", _ASK_PIP), capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise Unanswered("pip, which is asked for its default index, is not installed")
    return asked.stdout.strip().rstrip("/")


def check(publisher: Publisher, *, index: str | None = None) -> Finding:
    """Compare the last release's publisher with a registration; never raises for the index's sake.

    `index` is the address of the index, without it pip's default.
    """
    version = ""
    try:
        base = default_index() if index is None else index
        with requests.Session() as session:
            files = last_release(session, base, publisher.project)
            version = str(files[0].version)
            told = {}
            for file in files:
                where = (
                    f"{base}/integrity/{publisher.project}/{version}/{quote(file.name)}/provenance"
                )
                told[file] = _get(session, where, _PROVENANCE, f"the provenance of {file.name}")
    except Unanswered as error:
        return Finding(Verdict.UNVERIFIED, reason=str(error), version=version)
    return judge(publisher, version, told)


def last_release(session: requests.Session, base: str, project: str) -> tuple[PublishedFile, ...]:
    """Return the files of a project's newest release that is final and not yanked.

    Raises:
        Unanswered: the index does not answer, or has no such release.
    """
    page = _get(session, f"{base}/simple/{project}/", _PAGE, f"the page of {project}")
    listed = page.get("files")
    if not isinstance(listed, list):
        raise Unanswered(f"the page of {project} lists no files")
    files = [file for file in map(_published, listed) if file and not file.version.is_prerelease]
    if not files:
        raise Unanswered(f"the page of {project} has no final release")
    newest = max(file.version for file in files)
    return tuple(file for file in files if file.version == newest)


def judge(publisher: Publisher, version: str, told: Mapping[PublishedFile, object]) -> Finding:
    """Compare what the index told of each file of a release with a registration."""
    causes: list[Cause] = []
    named: dict[str, str] = {}
    for file, provenance in told.items():
        try:
            bundles = _bundles(provenance, file)
        except Unanswered as error:
            return Finding(
                Verdict.UNVERIFIED, tuple(causes), str(error), version=version, publishers=named
            )
        named[file.name] = "; ".join(_words(bundle) for bundle in bundles)
        causes += _differences(publisher, file, bundles)
    reason = "the attestations' signatures are not verified"
    if publisher.stand_in_owner:
        reason += "; the repository's owner is not compared, as publishers.toml has a stand-in"
    verdict = Verdict.FAILED if causes else Verdict.VERIFIED
    return Finding(verdict, tuple(causes), reason, version, named)


def _differences(
    publisher: Publisher, file: PublishedFile, bundles: Iterable[dict[str, Any]]
) -> list[Cause]:
    wanted = {
        "kind": "GitHub",
        "repository": publisher.repository if publisher.stand_in_owner else publisher.slug,
        "workflow": publisher.workflow,
        "environment": publisher.environment,
    }
    causes = []
    for bundle in bundles:
        found = dict.fromkeys(wanted, "") | {key: bundle.get(key) or "" for key in wanted}
        if publisher.stand_in_owner:
            found["repository"] = str(found["repository"]).rpartition("/")[2]
        # The index compares names of repositories and environments without regard to case.
        differing = [key for key in wanted if str(found[key]).lower() != wanted[key].lower()]
        if differing:
            seen = ", ".join(
                f"{key} {bundle.get(key)!r} instead of {wanted[key]!r}" for key in differing
            )
            causes.append(
                catalogue().cause(
                    "publisher-mismatch",
                    where=file.name,
                    seen=f"was published with {seen} according to the index's provenance",
                )
            )
    return causes


def _bundles(provenance: object, file: PublishedFile) -> list[dict[str, Any]]:
    """Return the publishers that a file's provenance names, after a look at what they attest.

    Raises:
        Unanswered: it is not structured as PEP 740 says, or attests another file.
    """
    if not isinstance(provenance, dict):
        raise Unanswered(f"{file.name}: not a provenance object as PEP 740 has it")
    try:
        if provenance["version"] != 1:
            raise Unanswered(f"{file.name}: unknown version of a provenance object")
        bundles = provenance["attestation_bundles"]
        attested = [
            (subject["name"], subject["digest"]["sha256"])
            for bundle in bundles
            for attestation in bundle["attestations"]
            for subject in _statement(attestation)["subject"]
        ]
        publishers = [dict(bundle["publisher"]) for bundle in bundles]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise Unanswered(f"{file.name}: not a provenance object as PEP 740 has it") from None
    if not publishers or not attested:
        raise Unanswered(f"{file.name}: its provenance attests nothing")
    for name, digest in attested:
        if (name, digest) != (file.name, file.sha256):
            raise Unanswered(f"{file.name}: its provenance attests another file, {name}")
    return publishers


def _statement(attestation: dict[str, Any]) -> dict[str, Any]:
    data = base64.b64decode(attestation["envelope"]["statement"], validate=True)
    return dict(json.loads(data))


def _words(bundle: dict[str, Any]) -> str:
    keys = ("kind", "repository", "workflow", "environment")
    return " ".join(f"{key}={bundle.get(key)}" for key in keys)


def _published(listed: object) -> PublishedFile | None:
    """Return a file of the page, or None if it is yanked, or named or described in no known way."""
    if not isinstance(listed, dict) or listed.get("yanked"):
        return None
    name, hashes = listed.get("filename"), listed.get("hashes")
    if not isinstance(name, str) or not isinstance(hashes, dict):
        return None
    try:
        if name.endswith(".whl"):
            version = parse_wheel_filename(name)[1]
        else:
            version = parse_sdist_filename(name)[1]
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return PublishedFile(name, version, str(hashes.get("sha256", "")))


def _get(session: requests.Session, url: str, kind: str, what: str) -> dict[str, Any]:
    try:
        with session.get(url, headers={"Accept": kind}, timeout=_SECONDS, stream=True) as answer:
            if answer.status_code == 404:
                raise Unanswered(f"the index has not {what}: 404; a mirror may have none at all")
            if answer.status_code != 200:
                raise Unanswered(f"the index does not give {what}: {answer.status_code}")
            body = answer.raw.read(_MAX_SIZE, decode_content=True)
        table = json.loads(body)
    except (requests.RequestException, OSError) as error:
        raise Unanswered(
            f"the index does not answer, asked for {what}: {type(error).__name__}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise Unanswered(f"the index's answer for {what} is not JSON") from error
    if not isinstance(table, dict):
        raise Unanswered(f"the index's answer for {what} is not a JSON object")
    return table
