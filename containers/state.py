"""Where this project keeps what outlives a run: downloads, wheels and logs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":  # where the images for Windows containers are made
    import msvcrt
else:
    import fcntl


def state_dir() -> Path:
    """Return the state folder, made when missing.

    ``QUIVERDB_E2E_STATE`` names another one; else it is in the user's cache folder (XDG base
    directory specification).
    """
    named = os.environ.get("QUIVERDB_E2E_STATE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(named) if named else cache / "quiverdb-e2e"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock ``name`` among all runs of this user; it is freed when its holder dies."""
    with _lock_file(name) as file:
        _lock(file)
        yield


@contextlib.contextmanager
def held_if_free(name: str) -> Iterator[bool]:
    """Hold the lock ``name`` if no run of this user has it; say whether it is held."""
    with _lock_file(name) as file:
        yield _try_lock(file)


def _lock_file(name: str) -> IO[str]:
    path = state_dir() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8")


if sys.platform == "win32":

    def _try_lock(file: IO[str]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:  # another has it
            return False
        return True

    def _lock(file: IO[str]) -> None:
        while not _try_lock(file):
            time.sleep(0.2)

else:

    def _try_lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
