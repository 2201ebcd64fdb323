"""The folder of a report: check it before a run, and restore it after wrong use."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from verification.models.errors import WrongUse

REPORT_MARKER = ".quiverdb-e2e"
"""A file in each folder that a report was written to."""


def check(folder: Path) -> None:
    """Check that a report can be written to ``folder`` and overwrites only an earlier report.

    The check removes folders that it created.

    Raises:
        WrongUse: the folder cannot be written to, or a report would overwrite other files.
    """
    missing = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        raise unusable(folder, error) from None
    finally:
        _remove_empty(missing)
    if foreign := _foreign_file(folder, names):
        raise WrongUse(
            f"--report {folder}: a report would overwrite {foreign}, and no report is there; empty "
            "the folder or name another one"
        )


def unusable(folder: Path, error: OSError) -> WrongUse:
    """Return the error for a folder that cannot be written to."""
    reason = error.strerror or str(error)
    return WrongUse(f"--report {folder}: cannot be written to ({reason}); name another folder")


@dataclass(frozen=True)
class FolderState:
    """The state of a report's folder before a run wrote to it."""

    missing: tuple[Path, ...]
    """The folders that did not exist, the deepest first."""
    files: Mapping[Path, tuple[bytes, int] | None]
    """Content and mtime in nanoseconds of each file; None for a file that did not exist."""

    @classmethod
    def read(cls, folder: Path, names: Iterable[str]) -> FolderState:
        """Return the state of the folder and of its files with these names.

        Raises:
            OSError: a file cannot be read.
        """
        files = [folder / name for name in names]
        return cls(
            _missing(folder),
            {path: _content(path) for path in files if path.is_file() or not path.exists()},
        )

    def restore(self) -> None:
        """Restore the files.

        Raises:
            OSError: a file cannot be written.
        """
        for path, content in self.files.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content[0])
                os.utime(path, ns=(content[1], content[1]))
        _remove_empty(self.missing)


def _content(path: Path) -> tuple[bytes, int] | None:
    return (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else None


def _missing(folder: Path) -> tuple[Path, ...]:
    """Return `folder` and its parents that do not exist, the deepest first."""
    # Path.exists() raises an error for a name that is too long; this returns False.
    parents = (folder, *folder.parents)
    return tuple(path for path in parents if not os.path.exists(path))  # noqa: PTH110


def _remove_empty(folders: Iterable[Path]) -> None:
    for path in folders:
        with contextlib.suppress(OSError):  # another program wrote to it
            path.rmdir()


_FORMATS = {"results.json", "index.html", "VERIFICATION.md", "junit.xml", "reply.md"}
_DATA = {"pipeline.json", "contents.json", "shard.json"}
_FOLDERS = {"evidence", "cells", "required", "kept", "replay"}
"""The parts of a report. A new report replaces them."""


def clear(folder: Path) -> None:
    """Remove the evidence and the other data of an earlier report. `check` comes first.

    The formats stay, because the unfinished report of the new run has already replaced them.
    """
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in _DATA:
        (folder / name).unlink(missing_ok=True)


def would_remove(folder: Path, source: Path) -> bool:
    """Return True if a new report in `folder` would remove or replace the report in `source`."""
    own, other = folder.resolve(), source.resolve()
    return other == own or any(other.is_relative_to(own / name) for name in _FOLDERS)


def _foreign_file(folder: Path, names: set[str]) -> str:
    """Return the name of something that a report would overwrite, but no report wrote, or ''."""
    if REPORT_MARKER in names or _is_report(folder / "results.json"):
        return ""
    # A run that was killed early, or that only collected, leaves some of these behind.
    leftovers = {"junit.xml", *_FOLDERS}
    for name in sorted(names & (_FORMATS | _DATA | _FOLDERS)):
        content = (folder / name).rglob("*")
        if name not in leftovers or any(p.is_file() and p.suffix != ".json" for p in content):
            return name
    return ""


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"schema", "verdict"} <= content.keys()
