"""Tar archives that contain only files, to copy into an existing folder of a container."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files (path to content). It contains no folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            add_file(tar, name, content)
    return buffer.getvalue()
