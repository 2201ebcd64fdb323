"""The details of a distribution file: digest, metadata, required Python."""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packaging.metadata import parse_email
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

_WHEEL_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_SDIST_METADATA = re.compile(r"[^/]+/PKG-INFO")


@dataclass(frozen=True, slots=True)
class FileDetails:
    """The details of one file."""

    size: int
    mtime: float
    sha256: str
    metadata: bytes | None
    requires_python: str | None
    summary: str | None

    @property
    def metadata_sha256(self) -> str | None:
        """The digest of the metadata, or None without metadata."""
        return None if self.metadata is None else hashlib.sha256(self.metadata).hexdigest()


class FileDetailsCache:
    """Reads each file once, and again when its size, mtime or inode changes."""

    def __init__(self) -> None:
        self._entries: dict[Path, tuple[tuple[int, int, int], FileDetails]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> FileDetails:
        """Return the details of a file.

        Raises:
            OSError: the file cannot be read.
        """
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        # Locked while reading, so that simultaneous requests read the file only once.
        with self._lock:
            entry = self._entries.get(path)
            if entry is None or entry[0] != stamp:
                entry = (stamp, _read(path, status.st_size, status.st_mtime))
                self._entries[path] = entry
        return entry[1]


def version_of(filename: str) -> str | None:
    """Return the version in a file name, or None if the name is not valid."""
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def read_metadata(content: IO[bytes], filename: str) -> bytes | None:
    """Return the METADATA of a wheel or the PKG-INFO of an sdist.

    Return None if the file has none or several, or is not readable.
    """
    try:
        if filename.endswith((".whl", ".zip")):
            pattern = _WHEEL_METADATA if filename.endswith(".whl") else _SDIST_METADATA
            with zipfile.ZipFile(content) as archive:
                names = [name for name in archive.namelist() if pattern.fullmatch(name)]
                return archive.read(names[0]) if len(names) == 1 else None
        with tarfile.open(fileobj=content, mode="r:*") as archive_tar:
            members = [item for item in archive_tar if _SDIST_METADATA.fullmatch(item.name)]
            member = archive_tar.extractfile(members[0]) if len(members) == 1 else None
            return None if member is None else member.read()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, NotImplementedError):
        # The index serves a broken file without a change, so that a test can show its effect.
        return None


def _read(path: Path, size: int, mtime: float) -> FileDetails:
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        metadata = read_metadata(content, path.name)
    raw = parse_email(metadata)[0] if metadata is not None else {}
    return FileDetails(
        size=size,
        mtime=mtime,
        sha256=sha256,
        metadata=metadata,
        requires_python=raw.get("requires_python"),
        summary=raw.get("summary"),
    )
