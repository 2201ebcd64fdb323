from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from containers.state import default_folder, locked, state_folder, try_lock


def _is_held(path: Path) -> bool:
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_state_folder_is_that_of_the_variable_and_is_created(isolated: Path) -> None:
    assert not isolated.exists()
    assert state_folder() == isolated
    assert isolated.is_dir()


def test_default_state_folder_is_in_the_cache_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QUIVERDB_E2E_STATE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert state_folder() == tmp_path / "cache" / "quiverdb-e2e"


@pytest.mark.parametrize("cache", [None, ""])
def test_default_cache_folder_is_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | None
) -> None:
    monkeypatch.delenv("QUIVERDB_E2E_STATE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".cache" / "quiverdb-e2e"


def test_lock_is_held_in_the_block_and_free_afterwards(isolated: Path) -> None:
    path = isolated / "locks" / "engine.lock"
    with locked("engine"):
        assert _is_held(path)
    assert not _is_held(path)


def test_lock_is_free_after_an_error_of_its_holder(isolated: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"), locked("engine"):
        raise RuntimeError("broken")
    assert not _is_held(isolated / "locks" / "engine.lock")


def test_locks_with_different_names_are_independent(isolated: Path) -> None:
    with locked("one"), locked("two"):
        assert _is_held(isolated / "locks" / "one.lock")
        assert _is_held(isolated / "locks" / "two.lock")


def test_try_lock_does_not_wait(isolated: Path) -> None:
    with try_lock("engine") as first, try_lock("engine") as second:
        assert (first, second) == (True, False)
        assert _is_held(isolated / "locks" / "engine.lock")
    with try_lock("engine") as is_held:
        assert is_held


def test_locked_waits_and_another_thread_can_release_the_lock(isolated: Path) -> None:
    lock = contextlib.ExitStack()
    assert lock.enter_context(try_lock("engine"))
    order: list[str] = []

    def wait() -> None:
        with locked("engine"):
            order.append("second")

    waiting = threading.Thread(target=wait)
    waiting.start()
    order.append("first")
    closing = threading.Thread(target=lock.close)
    closing.start()
    closing.join()
    waiting.join()
    assert order == ["first", "second"]
    assert not _is_held(isolated / "locks" / "engine.lock")


def test_lock_is_free_after_its_holder_is_killed(
    isolated: Path, pytestconfig: pytest.Config
) -> None:
    script = (
        "import time; from containers.state import locked\n"
        "with locked('engine'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=pytestconfig.rootpath,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert _is_held(isolated / "locks" / "engine.lock")
        holder.kill()
    assert not _is_held(isolated / "locks" / "engine.lock")


def test_default_folder_is_in_the_checkout_or_in_the_state_folder_if_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_folder(tmp_path, "report") == tmp_path / "report"
    monkeypatch.setattr(os, "access", lambda path, _mode: tmp_path not in (path, path.parent))
    assert default_folder(tmp_path, "report") == state_folder() / "report"
    (tmp_path / "report").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _mode: path == tmp_path / "report")
    assert default_folder(tmp_path, "report") == tmp_path / "report"
