"""The folder for data that outlives a run (downloads, wheels, logs), and the locks between runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import filelock
from platformdirs.unix import Unix


def state_folder() -> Path:
    """Return the state folder. Create it if it does not exist.

    It is the folder that ``QUIVERDB_E2E_STATE`` names, otherwise a folder in the user's cache
    folder (XDG base directory specification, on every system). The launcher ``e2e`` uses the same.
    """
    variable = os.environ.get("QUIVERDB_E2E_STATE")
    folder = Path(variable) if variable else Unix("quiverdb-e2e").user_cache_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def default_folder(root: Path, name: str) -> Path:
    """Return the folder ``name`` in the checkout, or in the state folder if that is read-only."""
    folder = root / name
    is_writable = os.access(folder if folder.exists() else root, os.W_OK)
    return folder if is_writable else state_folder() / name


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Wait for the lock ``name``, which all runs of this user share, and hold it for the block.

    If the process of a holder ends, the lock is free.
    """
    with _lock(name):
        yield


@contextlib.contextmanager
def try_lock(name: str) -> Iterator[bool]:
    """Acquire the lock ``name`` for the block, without waiting.

    Yield True if it is acquired, or False if another run or thread has it.
    """
    lock = _lock(name)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock(name: str) -> filelock.BaseFileLock:
    path = state_folder() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another thread than the one that acquired a lock may release it.
    return filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
