from __future__ import annotations

from pathlib import Path

import pytest

from verification.session import user_files


def test_relative_path_is_relative_to_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert user_files.user_path("a") == tmp_path / "a"
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", "/elsewhere")
    assert user_files.user_path("a") == Path("/elsewhere/a")
    assert user_files.user_path("/a") == Path("/a")


def test_history_is_in_the_state_folder_or_in_the_named_file(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user_files.history().file == isolated / "history.sqlite3"
    assert user_files.history_to_write() == user_files.history()
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", str(tmp_path / "other"))
    assert user_files.history().file == tmp_path / "other"


def test_no_history_is_written_if_its_name_is_empty(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_HISTORY", "")
    assert user_files.history_to_write() is None
    assert user_files.history().file == isolated / "history.sqlite3"
