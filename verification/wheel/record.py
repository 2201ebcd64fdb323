"""Check that RECORD lists the files of the wheel correctly (PEP 427, PEP 376)."""

from __future__ import annotations

import base64
import csv
import re
from collections import Counter
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive, WheelMember

# RECORD and its signatures cannot contain their own hash.
_UNHASHED = re.compile(r"[^/]+\.dist-info/RECORD(\.jws|\.p7s)?")
_SIGNATURE = re.compile(r".*\.(jws|p7s)")
_HASHES = {"sha256", "sha384", "sha512"}  # PEP 427: sha256 or stronger


def causes(archive: Archive) -> Iterator[Cause]:
    """Yield causes for the differences between RECORD and the files, and for unreadable files."""
    for name, reason in archive.unreadable.items():
        yield _fault(name, f"cannot be unpacked ({reason})", kind="unreadable")
    for name, count in Counter(archive.names).items():
        if count > 1:
            yield _fault(name, f"is in the archive {count} times", kind="repeated-file")
    text = archive.metadata_file("RECORD")
    if text is None:
        yield _fault(archive.name, "has no RECORD", kind="no-record")
        return
    try:
        rows = record_rows(text)
    except csv.Error as error:
        yield _fault("RECORD", f"is not valid CSV ({error})", kind="not-csv")
        return
    listed = Counter(row[0] for row in rows)
    for name, count in listed.items():
        if count > 1:
            yield _fault(name, f"is in RECORD {count} times", kind="repeated-row")
    for row in rows:
        yield from _row_causes(archive, row)
    for name in dict.fromkeys(archive.names):
        if name not in listed and not _SIGNATURE.fullmatch(name):
            yield _fault(name, "is in the archive, but not in RECORD", kind="not-listed")


def record_rows(text: str) -> list[list[str]]:
    """Return the rows of RECORD.

    Raises:
        csv.Error: the text is not CSV.
    """
    return [row for row in csv.reader(text.splitlines(), strict=True) if row]


def _row_causes(archive: Archive, row: list[str]) -> Iterator[Cause]:
    name, digest, size = (*row, "", "")[:3]
    if len(row) != 3:
        yield _fault(name, f"has {len(row)} fields in RECORD instead of 3", kind="fields")
    if name not in archive.names:
        yield _fault(name, "is in RECORD, but not in the archive", kind="not-in-archive")
    if _UNHASHED.fullmatch(name) or name not in archive.files:
        return
    member = archive.files[name]
    algorithm, _, value = digest.partition("=")
    if algorithm not in _HASHES:
        message = f"has the hash {digest!r} in RECORD" if digest else "has no hash in RECORD"
        yield _fault(name, message, kind="weak-hash")
    elif value.rstrip("=") != _encoded(_digest(member, algorithm)):
        yield _fault(name, "has another hash than RECORD states", kind="hash")
    if size and size != str(member.size):
        yield _fault(name, f"has {member.size} bytes, but RECORD states {size}", kind="size")


def _digest(member: WheelMember, algorithm: str) -> bytes:
    return bytes.fromhex(member.sha256) if algorithm == "sha256" else member.digest(algorithm)


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _fault(where: str, message: str, *, kind: str) -> Cause:
    return catalogue().cause("record-mismatch", where, message, kind=kind)
