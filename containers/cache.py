"""Files that are fetched or built once and used by many runs. Each use checks their sha256.

Files that are fetched together share a folder. The folder contains a record with the sha256 of each
file. A file from the upstream index is checked against the sha256 on the page of the index.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from containers.progress import print_line
from containers.state import locked, state_folder
from verification.models.errors import TestbedFailure
from verification.models.release import file_sha256

RECORD = ".sha256"
"""The file of a folder that lists the sha256 of each other file, in the format of `sha256sum`."""


def cached_folder(folder: Path, fetch: Callable[[Path], None]) -> Path:
    """Return ``folder`` with the files that ``fetch`` writes into an empty folder.

    A folder without a record was never complete: its files are fetched. If a file is missing,
    changed or not recorded, a line reports this and all files are fetched again.

    Raises:
        TestbedFailure: ``cache-damaged``: a file is damaged and cannot be fetched again.
    """
    with locked(_lock(folder)):
        damaged = _damaged(folder)
        if damaged:
            print_damage(damaged, "fetching it")
            _replace(damaged[0], lambda: _fill(folder, fetch))
        elif damaged is None:
            _fill(folder, fetch)
    return folder


def built_folder(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return ``folder`` with the files that ``build`` writes into an empty folder.

    It works like `cached_folder`, but it always raises the error of ``build`` unchanged. It raises
    no ``cache-damaged``.
    """
    with locked(_lock(folder)):
        damaged = _damaged(folder)
        if damaged:
            print_damage(damaged, "building it")
        if damaged != []:
            _fill(folder, build)
    return folder


def cached_file(path: Path, sha256: str, fetch: Callable[[], bytes]) -> Path:
    """Return the file at ``path`` with this sha256. ``fetch`` returns its content.

    A missing file is fetched. If the sha256 differs, a line reports this and the file is fetched
    again.

    Raises:
        TestbedFailure: ``cache-damaged``: the file is damaged and cannot be fetched again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(_lock(path.parent)):
        if not path.exists():
            _write(path, fetch())
        elif file_sha256(path) != sha256:
            print_damage([path.name], "fetching it")
            _replace(path.name, lambda: _write(path, fetch()))
    return path


def replace_folder(folder: Path, fetch: Callable[[Path], None]) -> None:
    """Replace the files of ``folder`` with the files that ``fetch`` writes, and record them."""
    with locked(_lock(folder)):
        _fill(folder, fetch)


def is_intact(folder: Path) -> bool:
    """Return True if the folder is complete and all its files are as recorded."""
    with locked(_lock(folder)):
        return _damaged(folder) == []


def _replace(name: str, replace: Callable[[], None]) -> None:
    """Call ``replace``, which fetches the damaged file ``name`` again.

    Raises:
        TestbedFailure: ``cache-damaged`` or ``disk-full``: the file cannot be fetched.
    """
    try:
        replace()
    except TestbedFailure as error:
        if error.cause == "disk-full":
            raise
        raise damaged_file(name, error.message) from error
    except Exception as error:
        raise damaged_file(name, str(error)) from error


def damaged_file(name: str, reason: str) -> TestbedFailure:
    """Return the failure ``cache-damaged`` of the file. ``reason`` says why the fetch failed."""
    reason_line = " ".join(reason.split())[:300]
    message = f"the cached copy is damaged and cannot be fetched again: {reason_line}"
    return TestbedFailure("cache-damaged", name, message)


def _lock(folder: Path) -> str:
    """Return the name of the lock of a folder."""
    state = state_folder()
    parts = folder.relative_to(state).parts if folder.is_relative_to(state) else folder.parts[1:]
    return f"cache-{'-'.join(parts)}"


def print_damage(names: Sequence[str], action: str) -> None:
    """Print that files are damaged. ``action`` names what is done again: "fetching it"."""
    count = f" and {len(names) - 1} other files" if len(names) > 1 else ""
    print_line(f"{names[0]}{count}: the cached copy is damaged; {action} again")


# ---- a folder with its record ----


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files of the folder except its record and links."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path != folder / RECORD:
            yield path


def _damaged(folder: Path) -> list[str] | None:
    """Return the names of the files that differ from the record, or None without a record."""
    try:
        lines = (folder / RECORD).read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        lines = []
    recorded = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if not recorded:
        return [f"{folder.name}/{RECORD}"]
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    return sorted(
        {name.rpartition("/")[2] for name in recorded.keys() ^ present.keys()}
        | {
            path.name
            for name, path in present.items()
            if name in recorded and file_sha256(path) != recorded[name]
        }
    )


def _fill(folder: Path, fetch: Callable[[Path], None]) -> None:
    """Replace the files of the folder. An interrupted call leaves a folder without a record."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # from a killed run; this run holds the lock
    partial.mkdir(parents=True)
    try:
        fetch(partial)
        lines = [
            f"{file_sha256(path)}  {path.relative_to(partial).as_posix()}\n"
            for path in _files(partial)
        ]
        (partial / RECORD).write_text("".join(lines), "utf-8")
        if folder.exists():
            _move_into(partial, folder)
        else:
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_into(partial: Path, folder: Path) -> None:
    """Move all files into the folder, the record last, and remove its other files.

    Another run may be reading the folder. Each file is therefore replaced in one operation.
    """
    (folder / RECORD).unlink(missing_ok=True)
    names = {path.relative_to(partial) for path in partial.rglob("*") if not _is_folder(path)}
    for path in folder.rglob("*"):
        if not _is_folder(path) and path.relative_to(folder) not in names:
            path.unlink()
    for name in sorted(names, key=lambda name: name == Path(RECORD)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).replace(folder / name)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
