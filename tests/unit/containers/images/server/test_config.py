"""Configuration files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from server import config
from server.json_reader import ObjectReader


def read_name(reader: ObjectReader) -> str:
    return reader.required("name", str)


@pytest.mark.parametrize("text", [None, "{", "[]", "\0"])
def test_unreadable_configuration_is_an_error_of_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "broken.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(config.ConfigError) as error:
        config.load(path, read_name)
    assert len(str(error.value).splitlines()) == 1


def test_missing_file_has_a_separate_error_while_the_server_runs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        config.read(tmp_path / "missing.json", read_name)


def test_missing_paths_are_reported_together_with_their_keys(tmp_path: Path) -> None:
    files = [("key", tmp_path / "k"), ("present", Path(__file__))]
    with pytest.raises(config.ConfigError) as error:
        config.check_paths(files, [("folder", tmp_path / "f"), ("tmp", tmp_path)])
    message = str(error.value)
    assert str(tmp_path / "k") in message
    assert str(tmp_path / "f") in message
    assert "present" not in message
    assert len(message.splitlines()) == 1
