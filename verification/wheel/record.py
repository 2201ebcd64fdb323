"""Check that RECORD lists the files of the wheel correctly (PEP 427, PEP 376)."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive

# RECORD itself and its signatures cannot hold their own hash.
_UNHASHED = re.compile(r"[^/]+\.dist-info/RECORD(\.jws|\.p7s)?")
_SIGNATURE = re.compile(r".*\.(jws|p7s)")
_HASHES = {"sha256", "sha384", "sha512"}  # PEP 427: sha256 or better


def faults(archive: Archive) -> Iterator[Cause]:
    """Yield where RECORD and the files disagree, and files that cannot be read."""
    for name, reason in archive.unreadable.items():
        yield _fault(name, f"cannot be unpacked ({reason})")
    for name, count in Counter(archive.names).items():
        if count > 1:
            yield _fault(name, f"is in the archive {count} times")
    text = archive.metadata_file("RECORD")
    if text is None:
        yield _fault(archive.name, "has no RECORD")
        return
    try:
        rows = record_rows(text)
    except csv.Error as error:
        yield _fault("RECORD", f"cannot be read ({error})")
        return
    listed = Counter(row[0] for row in rows)
    for name, count in listed.items():
        if count > 1:
            yield _fault(name, f"is in RECORD {count} times")
    for row in rows:
        yield from _row_faults(archive, row)
    for name in dict.fromkeys(archive.names):
        if name not in listed and not _SIGNATURE.fullmatch(name):
            yield _fault(name, "is in the archive and not in RECORD")


def record_rows(text: str) -> list[list[str]]:
    """Return the rows of RECORD.

    Raises:
        csv.Error: the text is not CSV.
    """
    return [row for row in csv.reader(text.splitlines(), strict=True) if row]


def _row_faults(archive: Archive, row: list[str]) -> Iterator[Cause]:
    name, digest, size = (*row, "", "")[:3]
    if len(row) != 3:
        yield _fault(name, f"has {len(row)} fields in RECORD, not three")
    if name not in archive.names:
        yield _fault(name, "is in RECORD and not in the archive")
    if _UNHASHED.fullmatch(name) or name not in archive.files:
        return
    data = archive.files[name]
    algorithm, _, value = digest.partition("=")
    if algorithm not in _HASHES:
        yield _fault(name, f"has the hash {digest or 'of no kind'!r} in RECORD")
    elif value.rstrip("=") != _encoded(hashlib.new(algorithm, data).digest()):
        yield _fault(name, "does not have the hash that RECORD gives")
    if size and size != str(len(data)):
        yield _fault(name, f"has {len(data)} bytes, and RECORD gives {size}")


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _fault(where: str, observed: str) -> Cause:
    return catalogue().cause("record-mismatch", where=where, observed=observed)
