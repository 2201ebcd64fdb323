"""Files are stored by content. The least recently used files are removed first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containers import file_store


def _file(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def _find(digest: str, name: str) -> Path:
    """Return a stored file. It must exist."""
    path = file_store.find(digest, name)
    assert path is not None
    return path


def test_stored_file_exists_after_the_original_is_removed(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.store([path])[path]
    path.unlink()
    assert _find(digest, "x.whl").read_bytes() == b"content"
    assert file_store.find("0" * 64, "x.whl") is None


def test_stored_file_is_found_under_another_name(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.store([path])[path]
    assert _find(digest, "y.whl").name == "y.whl"


def test_damaged_copy_is_reported_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.store([path])[path]
    _find(digest, "x.whl").write_bytes(b"other")
    with pytest.raises(file_store.DamagedCopy):
        file_store.find(digest, "x.whl")
    assert capsys.readouterr().out.count("x.whl: ") == 1
    assert file_store.find(digest, "x.whl") is None


def test_damaged_copy_is_replaced_when_the_file_is_stored_again(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.store([path])[path]
    stored = _find(digest, "x.whl")
    stored.write_bytes(b"other")
    file_store.store([path])
    assert _find(digest, "x.whl") == stored
    assert stored.read_bytes() == b"content"


def test_least_recently_used_files_are_removed_first(tmp_path: Path) -> None:
    paths = [_file(tmp_path / "a", f"{n}.whl", bytes([n]) * 100) for n in range(4)]
    digests = file_store.store(paths[:3])
    for age, path in enumerate(paths[:3]):
        os.utime(_find(digests[path], path.name), (1000 + age, 1000 + age))
    newest = file_store.store([paths[3]], max_bytes=250)[paths[3]]
    present = [file_store.find(digests[path], path.name) is not None for path in paths[:3]]
    assert present == [False, False, True]
    assert file_store.find(newest, "3.whl") is not None
    file_store.store(paths, max_bytes=1)
    assert file_store.find(newest, "3.whl") is not None, "the files of the current run stay"
