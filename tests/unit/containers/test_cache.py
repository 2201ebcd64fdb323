from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from containers import cache
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import file_sha256

CONTENT = {"a.whl": b"first", "deep/b.js": b"second"}


class _Source:
    """A fake download. It writes files, counts its calls and can fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def fetch(self, folder: Path) -> None:
        self.calls += 1
        for name, content in CONTENT.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        if self.error:
            raise self.error


def _content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != cache.RECORD
    }


@pytest.fixture
def source() -> _Source:
    return _Source()


@pytest.fixture
def folder(isolated: Path, source: _Source) -> Path:
    return cache.cached_folder(isolated / "downloads" / "x", source.fetch)


def test_intact_folder_is_fetched_once_and_prints_nothing(
    folder: Path, source: _Source, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert cache.cached_folder(folder, source.fetch) == folder
    assert source.calls == 1
    assert _content(folder) == CONTENT
    assert cache.is_intact(folder)
    assert capsys.readouterr() == ("", "")


def _remove(folder: Path) -> None:
    (folder / "a.whl").unlink()


def _change(folder: Path) -> None:
    (folder / "a.whl").write_bytes(b"fIrst")


def _truncate(folder: Path) -> None:
    (folder / "a.whl").write_bytes(b"")


def _add(folder: Path) -> None:
    (folder / "c.whl").write_bytes(b"third")


def _empty_record(folder: Path) -> None:
    (folder / cache.RECORD).write_bytes(b"")


def _damage_record(folder: Path) -> None:
    (folder / cache.RECORD).write_bytes(b"\xff")


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (_remove, "a.whl"),
        (_change, "a.whl"),
        (_truncate, "a.whl"),
        (_add, "c.whl"),
        (_empty_record, f"x/{cache.RECORD}"),
        (_damage_record, f"x/{cache.RECORD}"),
    ],
)
def test_damaged_folder_is_replaced_and_reported_in_one_line(
    folder: Path,
    source: _Source,
    damage: Callable[[Path], None],
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(folder)
    assert not cache.is_intact(folder)
    cache.cached_folder(folder, source.fetch)
    assert (source.calls, _content(folder)) == (2, CONTENT)
    printed = capsys.readouterr()
    (line,) = (printed.out + printed.err).splitlines()
    assert f" {name}: " in line
    cache.cached_folder(folder, source.fetch)
    assert source.calls == 2


@pytest.mark.parametrize(
    "error",
    [TestbedFailure("index-unreachable", "x", "reason"), WrongUse("reason"), OSError("reason")],
    ids=["testbed failure", "wrong use", "system error"],
)
def test_damage_that_cannot_be_replaced_is_a_testbed_failure(
    folder: Path, error: Exception
) -> None:
    _change(folder)
    for _ in range(2):  # a second call does not accept the damaged file
        with pytest.raises(TestbedFailure, match="reason") as raised:
            cache.cached_folder(folder, _Source(error).fetch)
        assert (raised.value.cause, raised.value.where) == ("cache-damaged", "a.whl")


def test_full_disk_keeps_its_cause(folder: Path) -> None:
    _change(folder)
    with pytest.raises(TestbedFailure) as raised:
        cache.cached_folder(folder, _Source(TestbedFailure("disk-full", "x", "reason")).fetch)
    assert raised.value.cause == "disk-full"


def test_failed_first_fetch_raises_its_error_and_leaves_no_files(isolated: Path) -> None:
    folder = isolated / "downloads" / "x"
    with pytest.raises(WrongUse, match="reason"):
        cache.cached_folder(folder, _Source(WrongUse("reason")).fetch)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["x", "x.partial"])
def test_folder_of_an_interrupted_fetch_is_not_used(
    isolated: Path, source: _Source, name: str
) -> None:
    incomplete = isolated / "downloads" / name
    incomplete.mkdir(parents=True)
    (incomplete / "a.whl").write_bytes(b"fir")
    folder = cache.cached_folder(isolated / "downloads" / "x", source.fetch)
    assert _content(folder) == CONTENT


def test_folder_of_an_interrupted_replacement_is_not_used(folder: Path, source: _Source) -> None:
    _change(folder)
    with pytest.raises(KeyboardInterrupt):
        cache.replace_folder(folder, _interrupt)
    cache.cached_folder(folder, source.fetch)
    assert _content(folder) == CONTENT


def _interrupt(folder: Path) -> None:
    (folder / "a.whl").write_bytes(b"fir")
    raise KeyboardInterrupt


def test_open_file_is_not_changed_by_its_replacement(folder: Path, source: _Source) -> None:
    with (folder / "deep" / "b.js").open("rb") as reader:
        _change(folder)
        cache.cached_folder(folder, source.fetch)
        assert reader.read() == b"second"


def test_concurrent_runs_fetch_a_folder_once(isolated: Path, source: _Source) -> None:
    folder = isolated / "downloads" / "x"
    threads = [
        threading.Thread(target=cache.cached_folder, args=(folder, source.fetch)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.calls == 1


# ---- a folder of built files ----


def test_damaged_build_is_repeated_and_raises_the_error_of_the_build(
    isolated: Path, source: _Source, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cache.built_folder(isolated / "wheels" / "x", source.fetch)
    cache.built_folder(folder, source.fetch)
    assert source.calls == 1
    _change(folder)
    with pytest.raises(WrongUse, match="reason"):
        cache.built_folder(folder, _Source(WrongUse("reason")).fetch)
    cache.built_folder(folder, source.fetch)
    assert _content(folder) == CONTENT
    assert "a.whl" in capsys.readouterr().out


# ---- one file of an index ----


def test_file_is_checked_against_the_sha256_of_its_page(
    isolated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_bytes(b"content")
    digest = file_sha256(tmp_path / "x")
    path = isolated / "releases" / "x.whl"
    for content in (None, None, b"cOntent", b""):
        if content is not None:
            path.write_bytes(content)
        assert cache.cached_file(path, digest, lambda: b"content").read_bytes() == b"content"
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("x.whl: ") == 2
    path.write_bytes(b"other")
    with pytest.raises(TestbedFailure) as raised:
        cache.cached_file(path, digest, _offline)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", "x.whl")


def _offline() -> bytes:
    raise OSError("offline")
