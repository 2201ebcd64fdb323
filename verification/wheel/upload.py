"""Check that the default index accepts a wheel: its archive, its name, its files, its metadata.

The rules are those of the index of the run. What only the live index knows is not checked here,
such as existing files, prohibited names and the limit for the size of a project.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.metadata import Metadata, parse_email
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.wheel_rules import UploadClaim, wheel_refusal


def causes(archive: Archive) -> Iterator[Cause]:
    """Yield the reason why the default index refuses a wheel, if it does."""
    reason = _metadata_fault(archive) or _file_fault(archive)
    if reason is not None:
        message = f"is refused by the index: {reason}"
        yield catalogue().cause("upload-refused", archive.name, message, reason=reason)


def _metadata_fault(archive: Archive) -> str | None:
    """Return why the index refuses METADATA. Clients send it as the form of the upload."""
    from verification.wheel import metadata_rules  # its libraries are slow to import

    text = archive.metadata_file("METADATA")
    if text is None:
        return None  # a fault of the file
    try:
        metadata = _metadata(text)
    except ExceptionGroup as group:
        return str(metadata_rules.first_fault(group.exceptions))
    if faults := list(metadata_rules.faults(metadata)):
        return str(metadata_rules.first_fault(faults))
    return metadata_rules.description_fault(metadata)


def _metadata(text: str) -> Metadata:
    raw, _ = parse_email(text)
    if raw.get("metadata_version", "") < "2.4":
        # setuptools wrote this field before a specification had it. Clients do not send it.
        raw.pop("license_files", None)
    return Metadata.from_raw(raw)


def _file_fault(archive: Archive) -> str | None:
    with archive.path.open("rb") as content:
        refusal = wheel_refusal(content, archive.name, _claim(archive))
    return refusal.reason if refusal else None


def _claim(archive: Archive) -> UploadClaim:
    """Return what the form of an upload says about the wheel: from METADATA, else the file name."""
    if text := archive.metadata_file("METADATA"):
        metadata = _metadata(text)  # valid: `_metadata_fault` is None
        return UploadClaim(metadata.name, metadata.version, tuple(metadata.license_files or ()))
    try:
        name, version, *_ = parse_wheel_filename(archive.name)
    except InvalidWheelFilename:
        name, version = canonicalize_name(archive.name.partition("-")[0]), Version("0")
    return UploadClaim(name, version)
