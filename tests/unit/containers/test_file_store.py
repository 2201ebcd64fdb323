"""Files are stored by content; the least recently used files are removed first."""

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


def test_a_kept_file_outlives_the_one_that_it_was_copied_from(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.keep([path])[path]
    path.unlink()
    found = file_store.find(digest, "x.whl")
    assert found is not None
    assert found.read_bytes() == b"content"
    assert file_store.find("0" * 64, "x.whl") is None


def test_one_content_is_kept_once_and_found_under_each_of_its_names(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.keep([path])[path]
    found = file_store.find(digest, "y.whl")
    assert found is not None
    assert found.name == "y.whl"


def test_a_damaged_copy_is_reported_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.keep([path])[path]
    kept = file_store.find(digest, "x.whl")
    assert kept is not None
    kept.write_bytes(b"other")
    with pytest.raises(file_store.DamagedCopy):
        file_store.find(digest, "x.whl")
    assert capsys.readouterr().err.count("x.whl: the cached copy is damaged") == 1
    assert file_store.find(digest, "x.whl") is None


def test_a_damaged_copy_is_replaced_when_the_file_is_kept_again(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = file_store.keep([path])[path]
    kept = file_store.find(digest, "x.whl")
    assert kept is not None
    kept.write_bytes(b"other")
    file_store.keep([path])
    assert file_store.find(digest, "x.whl") == kept


def test_the_least_recently_used_goes_first_and_the_runs_own_stay(tmp_path: Path) -> None:
    paths = [_file(tmp_path / "a", f"{n}.whl", bytes([n]) * 100) for n in range(4)]
    digests = file_store.keep(paths[:3])
    for age, path in enumerate(paths[:3]):
        kept = file_store.find(digests[path], path.name)
        assert kept is not None
        os.utime(kept, (1000 + age, 1000 + age))
    last = file_store.keep([paths[3]], max_bytes=250)[paths[3]]
    present = [file_store.find(digests[path], path.name) is not None for path in paths[:3]]
    assert present == [False, False, True]
    assert file_store.find(last, "3.whl") is not None
    file_store.keep(paths, max_bytes=1)
    assert file_store.find(last, "3.whl") is not None, "what a run uses stays, whatever its size"
