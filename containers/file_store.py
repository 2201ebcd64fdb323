"""The files that runs used, stored by their hash. A replay reads them long after its run."""

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
"""How much is kept; beyond it the least recently used go."""


class DamagedCopy(Exception):
    """The kept copy of a file was damaged and has been removed."""


def _folder() -> Path:
    return state_folder() / "files"


def keep(paths: Iterable[Path], *, max_bytes: int = MAX_BYTES) -> dict[Path, str]:
    """Keep a copy of each file; return the sha256 by path.

    Other files go, the least recently used first, until ``max_bytes`` bytes are left; these stay.

    Raises:
        OSError: they cannot be kept.
    """
    found = {path: file_sha256(path) for path in dict.fromkeys(paths)}
    with locked("files"):
        for path, digest in found.items():
            target = _folder() / digest / path.name
            if not _is_kept(path, digest, target):
                _copy(path, target)
            os.utime(target)
        _evict(set(found.values()), max_bytes)
    return found


def find(digest: str, name: str) -> Path | None:
    """Return the kept file with this content and this name; None if there is none any more.

    Raises:
        DamagedCopy: the content of the kept copy changed; it is removed.
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


def _is_kept(path: Path, digest: str, target: Path) -> bool:
    """Return whether the copy of ``path`` at ``target`` is there and has this sha256."""
    return target.exists() and (target.samefile(path) or file_sha256(target) == digest)


def _copy(path: Path, target: Path) -> None:
    """Link or copy the file to ``target``, which is there as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent.with_name(f"{target.parent.name}.partial")
    partial.unlink(missing_ok=True)
    # A hard link costs no space: what is kept in the state folder is replaced, never written to.
    # Whoever gave us a file of another folder may do so.
    if state_folder() in path.parents:
        with contextlib.suppress(OSError):
            partial.hardlink_to(path)
    if not partial.exists():
        shutil.copyfile(path, partial)
    partial.replace(target)


def _evict(spared: set[str], max_bytes: int) -> None:
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
        if folder.name not in spared:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
