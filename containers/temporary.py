"""The folder of a process for its temporary files. The next command removes that of a killed one.

All temporary files of a command are in it, also those of libraries and of other programs: a key, a
password for an upload, copies of sources. Only the user can read it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from containers.owner import identity, is_dead
from verification.models.errors import WrongUse

_SHARED = "QUIVERDB_E2E_TMPDIR"
"""The variable with the folder of temporary files that a command got from its user."""


def shared_folder() -> Path:
    """Return the folder for temporary files of all programs of this host, such as ``/tmp``."""
    return Path(os.environ.get(_SHARED) or tempfile.gettempdir())


def user_folder() -> Path:
    """Return the folder in which each command of this user has its temporary folder."""
    return shared_folder() / f"quiverdb-e2e-{os.getuid()}"


@contextlib.contextmanager
def process_folder() -> Iterator[Path]:
    """Use a new folder for the temporary files of this process and of its children.

    The name of the folder names its owner. The folders of processes that have ended are removed
    first.

    Raises:
        WrongUse: the folder of this user belongs to another user.
        OSError: the folder cannot be made.
    """
    shared = shared_folder()
    folder = _private(user_folder()) / identity(os.getpid()).replace(":", "_")
    sweep()
    folder.mkdir(mode=0o700, exist_ok=True)
    before = tempfile.tempdir, os.environ.get("TMPDIR"), os.environ.get(_SHARED)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    os.environ[_SHARED] = str(shared)
    try:
        yield folder
    finally:
        tempfile.tempdir = before[0]
        for name, value in zip(("TMPDIR", _SHARED), before[1:], strict=True):
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> int:
    """Remove the folders of this user's processes that have ended. Return their number."""
    removed = 0
    for folder in user_folder().glob("*"):
        with contextlib.suppress(OSError):  # another process removes it
            age_hours = (time.time() - folder.lstat().st_mtime) / 3600
            if is_dead(folder.name.replace("_", ":"), age_hours):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _private(folder: Path) -> Path:
    """Make a folder that only this user can enter.

    Raises:
        WrongUse: another user has made it.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise WrongUse(f"{folder}: it belongs to another user; remove it, or set TMPDIR")
    folder.chmod(0o700)
    return folder
