"""The rules of the default index for the file of a source distribution.

The checks, their order and the messages are those of 2026: `_is_valid_dist_file` and `file_upload`
in warehouse/forklift/legacy.py.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from .wheel_rules import (
    SCANNED_SIZE,
    Refusal,
    UploadClaim,
    distribution_refusal,
    encrypted_file,
    invalid_file,
    license_fault,
    obfuscator,
)


def sdist_refusal(content: IO[bytes], filename: str, claim: UploadClaim) -> Refusal | None:
    """Return why the index refuses a source distribution; None if it accepts the file."""
    members: frozenset[str] = frozenset()
    if filename.endswith(".zip"):
        refusal = distribution_refusal(content, filename)
    else:
        refusal, members = _tar(content)
    if refusal:
        return refusal
    if reason := _name_fault(filename, claim):
        return Refusal(reason)
    folder = _top(members)
    for licence in claim.license_files:
        target = f"{folder}/{licence}"
        if target not in members:
            return Refusal(license_fault(licence, filename, target))
    return None


def _tar(content: IO[bytes]) -> tuple[Refusal | None, frozenset[str]]:
    content.seek(0)
    is_zip = zipfile.is_zipfile(content)
    content.seek(0)
    is_tar = tarfile.is_tarfile(content)
    content.seek(0)
    if is_zip and is_tar:
        return invalid_file("File is both a zip and a tar file"), frozenset()
    if not is_tar:
        return invalid_file("File is not a tarfile"), frozenset()
    try:
        with tarfile.open(fileobj=content, mode="r:gz") as archive:
            return _members_refusal(archive), frozenset(archive.getnames())
    except (tarfile.ReadError, EOFError, zlib.error, OSError, ValueError):
        return invalid_file("None"), frozenset()


def _members_refusal(archive: tarfile.TarFile) -> Refusal | None:
    names = archive.getnames()
    if any(member.issparse() for member in archive.getmembers()):
        return invalid_file(
            "tar archive not accepted: Sparse members are not allowed.", ("docs", "/archives")
        )
    top = _top(frozenset(names))
    if top in {".", "/", ""}:
        return invalid_file("Incorrect number of top-level directories in sdist")
    if f"{top}/PKG-INFO" not in names:
        return invalid_file(f"PKG-INFO not found at {top}/PKG-INFO")
    for member in archive.getmembers():
        suffix = PurePosixPath(member.name).suffix.lower()
        if member.isfile() and suffix in {".py", ".pye"} and member.size <= SCANNED_SIZE:
            file = archive.extractfile(member)
            if file and (product := obfuscator(file.read())):
                return encrypted_file(product)
    return None


def _top(names: frozenset[str]) -> str:
    return os.path.commonpath(names) if names else ""


def _name_fault(filename: str, claim: UploadClaim) -> str | None:
    try:
        name = str(parse_sdist_filename(filename)[0])
    except InvalidSdistFilename:
        return f"Invalid source distribution filename: {filename}"
    project = canonicalize_name(claim.name)
    if claim.version.is_postrelease and name != project and filename.count("-") >= 2:
        # The version of a post-release can contain a hyphen.
        name = filename.rpartition("-")[0].rpartition("-")[0]
    if canonicalize_name(name) != project:
        return f"Start filename for {claim.name!r} with {claim.escaped!r}."
    expected = f"{claim.escaped}-{claim.version}.tar.gz"
    if filename != expected:
        return f"Filename {filename!r} is invalid, should be {expected!r}."
    return None
