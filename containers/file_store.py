"""Copies of the files that runs used, stored by sha256. A replay of an earlier run reads them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from containers.cache import print_damage
from containers.state import locked, state_folder
from verification.models.release import file_sha256

MAX_BYTES = 1_000_000_000
"""The maximum size of the store. Beyond it, the least recently used files are removed."""


class DamagedCopy(Exception):
    """The stored copy of a file was damaged. It is removed."""


def _folder() -> Path:
    return state_folder() / "files"


def store(paths: Iterable[Path], *, max_bytes: int = MAX_BYTES) -> dict[Path, str]:
    """Store a copy of each file. Return the sha256 by path.

    If the store is larger than ``max_bytes`` bytes, the least recently used of its other files are
    removed.

    Raises:
        OSError: a file cannot be stored.
    """
    digests = {path: file_sha256(path) for path in dict.fromkeys(paths)}
    with locked("files"):
        for path, digest in digests.items():
            target = _folder() / digest / path.name
            if not _is_stored(path, digest, target):
                _copy(path, target)
            os.utime(target)
        _evict(set(digests.values()), max_bytes)
    return digests


def find(digest: str, name: str) -> Path | None:
    """Return the stored file with this sha256 under this name, or None if there is none.

    Raises:
        DamagedCopy: the content of the stored copy has changed. The copy is removed.
    """
    folder = _folder() / digest
    is_damaged = False
    with locked("files"):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if file_sha256(path) != digest:
                path.unlink()
                is_damaged = True
                continue
            target = folder / name
            if path != target and not target.exists():
                _copy(path, target)  # the same content under another name
            os.utime(target)
            return target
    if is_damaged:
        print_damage([name], "fetching it")
        raise DamagedCopy(name)
    return None


def _is_stored(path: Path, digest: str, target: Path) -> bool:
    """Return True if ``target`` is a copy of ``path`` with this sha256."""
    return target.exists() and (target.samefile(path) or file_sha256(target) == digest)


def _copy(path: Path, target: Path) -> None:
    """Link or copy the file to ``target``. An interrupted call leaves no ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent.with_name(f"{target.parent.name}.partial")
    partial.unlink(missing_ok=True)
    # A hard link needs no space. It is safe only in the state folder, whose files are replaced and
    # never modified. Other programs may modify a file in another folder.
    if state_folder() in path.parents:
        with contextlib.suppress(OSError):
            partial.hardlink_to(path)
    if not partial.exists():
        shutil.copyfile(path, partial)
    partial.replace(target)


def _evict(protected: set[str], max_bytes: int) -> None:
    folders = []
    total = 0
    for folder in _folder().iterdir():
        files = [path.stat() for path in folder.iterdir()] if folder.is_dir() else []
        size = sum(info.st_size for info in files)
        total += size
        folders.append((max((info.st_mtime for info in files), default=0.0), size, folder))
    for _, size, folder in sorted(folders):
        if total <= max_bytes:
            break
        if folder.name not in protected:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
